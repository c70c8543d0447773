"""Scenes: what a task of anybody's shows, and a network that acts."""

import logging
import sys

import gymnasium
import numpy as np
import pytest
import torch
from toys_worlds import CORRIDOR

from snn_plasticity_gym.envs.rendering import moment_of, scene_of
from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.tasks.base import Task
from snn_plasticity_gym.tasks.control import ControlTask
from snn_plasticity_gym.tasks.episode_record import EpisodeRecord
from snn_plasticity_gym.tasks.scene import Bars, Panel, grid, recent_spikes

CONTROL = "SNNPlastic-Control-v0"
TOY = {
    "world": CORRIDOR,
    "world_kwargs": {"cells": 6},
    "steps_per_action": 4,
    "history_length": 4,
    "max_actions": 20,
    "hidden_sizes": (3,),
    "encoder": "rate",
    "encoder_kwargs": {},
    "decoder_kwargs": {"group_size": 2},
    "w_init_min": 0.1,
    "w_init_max": 0.9,
}


def toy(render_mode="rgb_array", **settings) -> PlasticityEnv:
    env = PlasticityEnv(CONTROL, render_mode, **{**TOY, **settings})
    env.reset(seed=1)
    return env


def advance(env, steps: int) -> list[np.ndarray]:
    """Go on by so many time steps; return the motor spikes of all that were taken since the episode began."""
    seen = []
    for _ in range(steps):
        kept = env.engine.raster["motor"]
        seen.append(kept[0, (int(env.engine.steps[0]) - 1) % kept.shape[1]].numpy().copy())
        env.apply(torch.zeros(len(env.events().weight)))
    return seen


def record_of(raster: torch.Tensor) -> EpisodeRecord:
    return EpisodeRecord(network=None, raster={"a": raster}, potentials={})


# Helpers


@pytest.mark.parametrize("steps", [0, 1, 4, 5, 6, 9, 10, 13])
def test_recent_spikes_are_those_of_the_last_steps(steps):
    """Step t stands at t modulo 5; neuron n fires in steps that n + 2 divides."""

    def fired(step):
        return [step % (neuron + 2) == 0 for neuron in range(3)]

    kept = torch.ones(2, 5, 3, dtype=torch.bool)  # of an earlier episode
    for step in range(steps):
        kept[1, step % 5] = torch.tensor(fired(step))
    raster = recent_spikes(record_of(kept), "a", 1, steps)
    assert (raster.population, raster.first, raster.steps) == ("a", max(steps - 5, 0), min(steps, 5))
    for place in range(5):
        step = raster.first + place
        assert raster.spikes[place].tolist() == (fired(step) if step < steps else [False] * 3)
    raster.spikes[:] = True
    assert recent_spikes(record_of(kept), "a", 1, steps).spikes.sum() < 15


@pytest.mark.parametrize(
    ("size", "shape"), [(1, (1, 1)), (4, (2, 2)), (5, (2, 3)), (7, (3, 3)), (9, (3, 3)), (12, (3, 4))]
)
def test_numbers_are_laid_out_in_a_grid(size, shape):
    laid = grid(np.arange(1, size + 1))
    assert (
        laid.shape == shape
        and laid.flatten()[:size].tolist() == list(range(1, size + 1))
        and laid.sum() == size * (size + 1) / 2
    )


# Any task


def test_any_task_can_be_seen(monkeypatch):
    """Input spikes, weights, raster, and beside them what the last episode was worth."""
    monkeypatch.setattr(ControlTask, "scene", Task.scene)
    env = toy()
    motor = advance(env, 6)
    env.events()
    scene = scene_of(env.engine, 0)
    assert scene.title.startswith(f"{CORRIDOR}   |   episode 1 of this lifetime   |   step 7/80   |   ")
    spikes, weights, worth = scene.panels
    assert spikes.title == "spikes of input" and spikes.pixels.shape == (2, 3)
    assert spikes.pixels.sum() == env.engine.raster["input"][0, :7].sum()
    assert weights.title == "input to hidden 1" and weights.limits == (-1.0, 1.0)
    assert np.array_equal(weights.pixels, env.engine.network.weights_of("input_to_hidden_1")[0].numpy())
    assert worth.values == {} and worth.caption == "no episode finished yet"
    assert np.array_equal(scene.raster.spikes[:6], motor)
    assert env.render().shape == (520, 900, 3)
    while env.events() is not None:
        advance(env, 1)
    result = env.finish()
    assert scene_of(env.engine, 0).panels[-1].values == {"reward": pytest.approx(float(result.reward))}


# Networks that act


def test_what_is_shown_of_a_network_that_acts():
    env = toy()
    motor = np.array(advance(env, 46))  # beyond the ten actions that are kept
    env.events()
    engine, task = env.engine, env.engine.task
    actions = [int(action) for action in task.worlds.actions(0)]
    scene = scene_of(engine, 0)
    reward = moment_of(engine, 0).reward
    assert len(actions) == 11 and reward == pytest.approx(-0.11, abs=1e-5)
    assert scene.title.startswith(
        f"{CORRIDOR}   |   episode 1   |   11 of 20 actions   |   reward -0.11   |   step 47/80   |   "
    )
    total = int(motor.sum() + engine.raster["motor"][0, 46 % 40].sum())
    assert f"|   {total} motor spikes   |" in scene.title
    world, encoding, weights, action = scene.panels
    cell = int(task.observation(0).argmax())
    assert world.pixels.shape == (4, 24, 3) and world.pixels[0, :, 0].argmax() == 4 * cell
    assert encoding.pixels.tolist() == [[float(place == cell)] for place in range(6)] and encoding.limits == (0, 1)
    assert np.array_equal(weights.pixels, engine.network.weights_of("hidden_1_to_motor")[0].numpy())
    last = motor[40:44].sum(axis=0).reshape(2, 2).sum(axis=1)
    assert action.title == f"last action {actions[-1]}" and action.accent == str(actions[-1])
    assert action.values == {"0": last[0], "1": last[1]}
    raster = scene.raster
    assert (raster.population, raster.first, raster.steps) == ("motor", 7, 40)
    assert np.array_equal(raster.spikes[:39], motor[7:46])
    assert list(raster.boundaries) == list(range(8, 47, 4))
    for step in range(7, 47):
        chosen = np.repeat([actions[step // 4] == 0, actions[step // 4] == 1], 2) if step < 44 else np.zeros(4, bool)
        assert np.array_equal(raster.accent[step - 7], raster.spikes[step - 7] & chosen)
    assert raster.accent.any()


def test_before_the_first_action_there_is_none_to_show():
    scene = scene_of(toy().engine, 0)
    assert (scene.panels[3].values, scene.panels[3].caption, scene.raster.caption) == ({}, "none yet", "")
    assert not scene.raster.accent.any()


def test_box_actions_are_shown_as_numbers_in_their_range():
    env = toy(
        world="Pendulum-v1",
        world_kwargs={},
        encoder="value-current",
        encoder_kwargs={"amplitude": 0.4, "offset": 0.1},
        decoder="population",
    )
    advance(env, 9)
    scene = scene_of(env.engine, 0)
    bars = scene.panels[3]
    assert bars.values == {"0": pytest.approx(float(env.engine.task.last_action[0, 0]))} and bars.limits == (-2.0, 2.0)
    currents = env.engine.task.encoder.currents(env.engine.task.observations, 0)[0].numpy()
    assert scene.panels[1].title == "current of the input"
    assert np.array_equal(scene.panels[1].pixels.flatten(), currents)


def test_an_encoder_that_does_not_tell_is_shown_by_its_spikes(monkeypatch):
    from snn_plasticity_gym.networks.encoder_registry import ENCODERS

    class Mute:
        size = 5

        def spikes(self, observation, step, uniform):
            return torch.tensor([[True, False, True, False, False]])

    monkeypatch.setitem(ENCODERS, "mute", lambda space, device: Mute())
    env = toy(encoder="mute")
    advance(env, 3)
    env.events()
    panel = scene_of(env.engine, 0).panels[1]
    assert panel.pixels.tolist() == [[4, 0, 4, 0, 0]] and panel.title == "spikes of the input"


def test_many_actions_are_a_picture():
    class Many(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
        action_space = gymnasium.spaces.Discrete(12)

        def reset(self, *, seed=None, options=None):
            return np.ones(1, np.float32), {}

        def step(self, action):
            return np.ones(1, np.float32), 0.0, False, False, {}

    gymnasium.register("toys/Many-v0", entry_point=Many)
    try:
        env = toy(world="toys/Many-v0", world_kwargs={}, decoder_kwargs={"group_size": 1})
        advance(env, 9)
        panel = scene_of(env.engine, 0).panels[3]
        assert isinstance(panel, Panel) and panel.pixels.shape == (1, 12)
        env.render()
    finally:
        gymnasium.registry.pop("toys/Many-v0")


def test_worlds_are_drawn_only_where_pictures_are_asked_for(monkeypatch):
    made = []
    make = gymnasium.make
    monkeypatch.setattr(gymnasium, "make", lambda id, **kwargs: made.append(kwargs) or make(id, **kwargs))
    env = toy(render_mode=None)
    advance(env, 5)
    assert made and not any("render_mode" in kwargs for kwargs in made)
    assert scene_of(env.engine, 0).panels[0].caption == "made without\npictures"


def test_without_the_rendering_package_the_panel_says_so_and_one_warning_why(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "pygame", None)
    env = PlasticityEnv("SNNPlastic-CartPole-v0", "rgb_array")
    env.reset(seed=0)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert env.render().shape == (520, 900, 3)
            advance(env, 2)
    assert scene_of(env.engine, 0).panels[0].caption == "no picture:\nsee the warning"
    (said,) = [line for line in caplog.messages if "CartPole-v1" in line]
    assert "pygame" in said and "pip install" in said


def test_cartpole_is_drawn():
    pytest.importorskip("pygame")
    env = PlasticityEnv("SNNPlastic-CartPole-v0", "rgb_array")
    env.reset(seed=0)
    frames = [scene_of(env.engine, 0).panels[0].pixels]
    while len(env.engine.task.worlds.actions(0)) < 5:
        advance(env, 1)
    frames.append(scene_of(env.engine, 0).panels[0].pixels)
    assert frames[0].shape == (400, 600, 3) and not np.array_equal(*frames)
    assert env.render()[75 : 75 + 130, 30 : 30 + 194].min() < 60  # the cart is black


def test_each_lifetime_is_shown_by_itself():
    env = PlasticityVectorEnv(CONTROL, 2, "rgb_array", **TOY)
    env.reset(seed=1)
    advance(env, 21)
    single = toy()
    single.reset(seed=2)
    advance(single, 21)
    one, other = scene_of(env.engine, 1), scene_of(single.engine, 0)
    assert one.title == other.title
    for mine, theirs in zip(one.panels, other.panels, strict=True):
        assert (
            np.array_equal(mine.values, theirs.values)
            if isinstance(mine, Bars)
            else np.array_equal(mine.pixels, theirs.pixels)
        )
    assert np.array_equal(env.render()[1], single.render())


def test_looking_changes_nothing():
    seen, unseen = toy(), toy()
    for _ in range(8):
        seen.render()
        for env in (seen, unseen):
            advance(env, 1)
    assert torch.equal(seen.engine.network.weights, unseen.engine.network.weights)
    assert torch.equal(seen.engine.task.observations, unseen.engine.task.observations)
    assert seen.engine.task.streams[0].random() == unseen.engine.task.streams[0].random()


def test_an_episode_that_is_over_is_still_shown():
    env = toy(max_actions=2)
    for _ in range(2):
        over = cut = False
        while not (over or cut):
            _, _, over, cut, _ = env.step(np.zeros(env.action_space.shape, np.float32))
        moment = moment_of(env.engine, 0)
        assert moment.finished and "2 of 2 actions" in scene_of(env.engine, 0).title
        env.reset()
        assert not moment_of(env.engine, 0).finished
    assert moment.number == 2


def test_an_episode_that_is_over_but_not_finished_keeps_its_number():
    env = toy(max_actions=2)
    for number in (1, 2):
        while env.events() is not None:
            advance(env, 1)
        assert moment_of(env.engine, 0).number == number and not moment_of(env.engine, 0).finished
        env.finish()
