"""Pictures: what they show is what happened, and looking changes nothing."""

import math
import pickle
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.envs.making import make_engine
from snn_plasticity_gym.envs.rendering import (
    HEIGHT,
    WIDTH,
    bars_of,
    check_render_mode,
    moment_of,
    render_frame,
    scene_of,
)
from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.tasks.image_task import image_task

ENV_ID = "SNNPlastic-Unsup1-v0"
SMALL = {  # a lively network of little work: some twelve E spikes and 10,000 events an episode
    "dataset": "digits",
    "n_exc": 16,
    "num_steps": 20,
    "history_length": 20,
    "events_per_step": 1000,
    "max_rate": 0.02,
    "gain_input_exc": 5.0,
    "gain_inh_exc": 15.0,
    "w_exc_init_max": 0.3,
    "w_exc_init_power": 1.0,
    "image_pool": 3,
}


def frame_of(engine, row):
    """What the scene of an image task shows, by name."""
    scene, moment = scene_of(engine, row), moment_of(engine, row)
    image, counts, field, worth = scene.panels
    words = re.fullmatch(
        r"label (\d+)   \|   image (\d+) of this lifetime   \|   step (\d+)/20   \|   ([\d,]+) exc spikes?   \|   "
        r"([\d,]+) events?",
        scene.title,
    )
    label, number, steps, spikes, events = (int(word.replace(",", "")) for word in words.groups())
    accent = scene.raster.accent
    leader = -1 if accent is None else int(accent.any(axis=0).argmax())
    neuron = re.match(r"exc neuron (\d+) (won last|won|leads)", field.title)
    assert spikes == scene.raster.spikes.sum() and steps == scene.raster.steps == moment.steps
    if accent is not None:
        assert np.array_equal(accent, scene.raster.spikes & (np.arange(16) == leader))
    return SimpleNamespace(
        image=image.pixels,
        label=label,
        number=number,
        steps=steps,
        num_events=events,
        input_counts=counts.pixels,
        readout=scene.raster.population,
        raster=scene.raster.spikes,
        leader=leader,
        field_neuron=int(neuron[1]) if neuron else -1,
        field=field.pixels,
        field_range=field.limits,
        last=dict(worth.values),
        judged=moment.finished,
    )


def make(**settings):
    env = PlasticityEnv(ENV_ID, "rgb_array", **{**SMALL, **settings})
    env.reset(seed=5)
    return env


def advance(env, steps=10**6):
    """Go on by `steps` time steps, but not beyond the end; every spike of a post neuron strengthens."""
    while steps and (events := env.events()) is not None:
        env.apply((events.kind > 0).float())
        steps -= 1


def until_spikes(env):
    """Go on to the first time step with spikes of the answering population."""
    while not frame_of(env.engine, 0).raster.any():
        advance(env, 1)


# The numbers


def test_a_frame_shows_the_present_moment():
    env = make()
    events = 0
    counts = np.zeros(784, int)
    spikes = np.zeros((20, 16), bool)
    for step in range(20):
        events += len(env.events().weight)
        counts += env.engine.raster["input"][0, step].numpy()
        spikes[step] = env.engine.raster["exc"][0, step].numpy()
        frame = frame_of(env.engine, 0)
        shown = image_task(env.engine.task).shown(0)
        assert np.array_equal(frame.image, image_task(env.engine.task).dataset.train.images[shown.image].numpy())
        assert (frame.label, frame.number, frame.steps, frame.num_events) == (shown.label, 1, step + 1, events)
        assert np.array_equal(frame.input_counts, counts.reshape(28, 28))
        assert np.array_equal(frame.raster, spikes)  # the future is empty
        assert (frame.readout, frame.last, frame.judged) == ("exc", {}, False)
        advance(env, 1)
    assert spikes.any()


def test_the_future_stays_empty_although_the_engine_still_holds_the_last_image():
    env = make()
    advance(env)
    assert env.finish().spikes["exc"] > 0
    assert env.engine.raster["exc"][0].any()
    assert frame_of(env.engine, 0).steps == 0  # before the second image
    assert not frame_of(env.engine, 0).raster.any() and not frame_of(env.engine, 0).input_counts.any()
    env.events()
    assert frame_of(env.engine, 0).steps == 1 and not frame_of(env.engine, 0).raster.any()
    assert frame_of(env.engine, 0).input_counts.sum() == env.engine.raster["input"][0, 0].sum() > 0


def test_the_leader_is_who_would_win_now():
    env = make()
    leaders = []
    while env.events() is not None:
        leaders.append(frame_of(env.engine, 0).leader)
        advance(env, 1)
    before_finish = frame_of(env.engine, 0)
    assert leaders[0] == -1
    first = next(frame for frame in leaders if frame != -1)
    assert env.engine.raster["exc"][0, leaders.index(first)][first]
    assert before_finish.leader == env.finish().info["winner"][0]


def test_the_receptive_field_is_of_the_leader_then_of_the_last_winner():
    env = make()
    frame = frame_of(env.engine, 0)
    assert (frame.field_neuron, frame.field) == (-1, None)
    until_spikes(env)
    advance(env, 3)
    frame = frame_of(env.engine, 0)
    assert frame.field_neuron == frame.leader != -1
    weights = env.engine.network.weights_of("input_to_exc")[0]
    assert np.array_equal(frame.field, weights[:, frame.leader].view(28, 28).numpy())
    assert frame.field_range == (0.0, 1.0)
    advance(env)
    winner = int(env.finish().info["winner"][0])
    frame = frame_of(env.engine, 0)
    assert (frame.leader, frame.field_neuron) == (-1, winner)
    assert np.array_equal(frame.field, weights[:, winner].view(28, 28).numpy())


def test_the_range_of_weights_is_that_of_the_projection():
    env = make(w_exc_max=0.5)
    until_spikes(env)
    assert frame_of(env.engine, 0).field_range == (0.0, 0.5)


def test_the_last_reward_is_of_the_episode_before():
    env = make(image_pool=1)
    for number in (1, 2, 3):
        frame = frame_of(env.engine, 0)
        assert frame.number == number
        assert (frame.last == {}) == (number == 1)
        advance(env)
        result = env.finish()
        last = frame_of(env.engine, 0).last
        assert list(last) == ["sparsity", "diversity", "stability", "reward"]
        assert math.isnan(last["stability"]) == (number == 1)
        expected = {**result.terms, "reward": result.reward}
        np.testing.assert_equal(last, {name: float(values[0]) for name, values in expected.items()})
    env.reset(options={"new_lifetime": True})
    frame = frame_of(env.engine, 0)
    assert (frame.last, frame.number, frame.field_neuron) == ({}, 1, -1)


def test_an_episode_that_step_has_ended_is_still_the_one_shown():
    env = make()
    for number in (1, 2):
        over = False
        while not over:
            assert frame_of(env.engine, 0).number == number
            _, reward, over, _, info = env.step(np.zeros(1000, np.float32))
        frame = frame_of(env.engine, 0)
        assert frame.judged
        assert (frame.number, frame.steps, frame.label) == (number, 20, info["label"])
        assert frame.last["reward"] == pytest.approx(reward)
        assert frame.raster.sum() == info["spikes"]["exc"]
        assert frame.num_events == info["num_events"]
        assert frame.field_neuron == info["winner"]
        env.reset()
        assert not frame_of(env.engine, 0).judged


def test_each_row_has_a_picture_of_its_own():
    env = PlasticityVectorEnv(ENV_ID, 2, "rgb_array", **SMALL)
    env.reset(seed=5)
    advance(env, 9)
    for row in range(2):
        single = make()
        single.reset(seed=5 + row)
        advance(single, 9)
        np.testing.assert_equal(vars(frame_of(env.engine, row)), vars(frame_of(single.engine, 0)))
        assert np.array_equal(env.render()[row], single.render())


def test_a_frame_is_a_copy():
    env = make()
    until_spikes(env)
    before = state_of(env)
    frame = frame_of(env.engine, 0)
    for array in (frame.image, frame.input_counts, frame.raster, frame.field):
        array[...] = 1
    assert state_of(env) == before
    held = frame_of(env.engine, 0)
    raster, field = held.raster.copy(), held.field.copy()
    advance(env)
    env.finish()
    assert np.array_equal(held.raster, raster) and np.array_equal(held.field, field)


# The picture


def state_of(env):
    """Everything an environment holds, down to its random streams, as bytes."""
    images = image_task(env.engine.task).dataset.train.images.numpy().tobytes()  # shared by all environments
    return images + pickle.dumps(env)


def test_rendering_leaves_all_state_alone():
    env = make()
    generators = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    for _ in range(2):
        until_spikes(env)
        before = state_of(env)
        picture = env.render()
        assert state_of(env) == before
        assert np.array_equal(env.render(), picture)
        advance(env)
        env.finish()
    assert (np.random.get_state()[1] == generators[0]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), generators[1])


def test_pictures_differ_where_the_moments_do():
    env = make()
    pictures = [env.render()]
    until_spikes(env)
    pictures.append(env.render())
    advance(env, 1)
    pictures.append(env.render())
    advance(env)
    pictures.append(env.render())
    env.finish()
    pictures.append(env.render())
    for place, picture in enumerate(pictures):
        assert picture.shape == (HEIGHT, WIDTH, 3) == (520, 900, 3)
        assert picture.dtype == np.uint8 and picture.flags.writeable and picture.flags.c_contiguous
        assert (picture[0] == 255).all() and picture.min() < 60  # white margin, dark ink
        assert not any(np.array_equal(picture, other) for other in pictures[:place])


def test_the_image_stands_in_the_picture():
    """Its panel, read back from the pixels, is the image."""
    env = make()
    frame = frame_of(env.engine, 0)
    panel = env.render()[75 : 75 + 146, 30 : 30 + 146].astype(int)
    assert (abs(panel[..., 0] - panel[..., 2]) <= 1).mean() > 0.98  # grey, but for the border
    centers = (3 + np.arange(28) * 146 / 28).astype(int)
    assert abs(panel[np.ix_(centers, centers)][..., 0] - frame.image)[1:-1, 1:-1].max() <= 2


def test_the_leaders_spikes_stand_out_in_the_raster():
    env = make()

    def orange(picture):
        return (np.abs(picture[300:472, 70:878].astype(int) - [0xD5, 0x5E, 0x00]) < 30).all(axis=2).sum()

    assert orange(env.render()) == 0
    until_spikes(env)
    assert orange(env.render()) > 20


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"n_exc": 1}, marks=pytest.mark.slow),
        pytest.param({"num_steps": 1, "history_length": 1}, marks=pytest.mark.slow),
        {"n_exc": 1, "num_steps": 1, "history_length": 1, "max_rate": 1.0},
        {"max_rate": 0.0},
        pytest.param({"n_exc": 1600, "num_steps": 3, "history_length": 3, "gain_inh_exc": 0.0}, marks=pytest.mark.slow),
        pytest.param({"num_steps": 400, "max_rate": 0.001}, marks=pytest.mark.slow),
        pytest.param(
            {"c_sparsity": 5.0, "c_diversity": 5.0, "c_stability": 0.0, "image_pool": 1}, marks=pytest.mark.slow
        ),
        {"eta_exc": 0.0, "w_exc_init_min": 0.3, "w_exc_init_max": 0.3, "w_exc_max": 0.3},
        {"image_pool": 0, "split": "test", "dt": 0.5, "reward_form": "product"},
    ],
)
def test_odd_networks_can_be_drawn(settings):
    env = make(**settings)
    for _ in range(2):
        assert env.render().shape == (HEIGHT, WIDTH, 3)
        advance(env)
        assert env.render().shape == (HEIGHT, WIDTH, 3)
        env.finish()
    env.render()


def test_an_engine_without_direct_input_weights_can_be_drawn(monkeypatch):
    """As in a deep network, where the answering population sees no image."""
    env = make()
    until_spikes(env)
    kept = tuple(p for p in env.engine.network.projections if p.name != "input_to_exc")
    monkeypatch.setattr(env.engine.network, "projections", kept)
    frame = frame_of(env.engine, 0)
    assert frame.leader != -1 and frame.field is None
    assert env.render().shape == (HEIGHT, WIDTH, 3)


def test_the_picture_has_room_for_the_first_terms_and_the_reward():
    env = make()
    advance(env)
    env.finish()
    last = env.engine.last_episodes[0]
    assert list(bars_of(last)) == ["sparsity", "diversity", "stability", "reward"]
    assert bars_of(last)["reward"] == last.reward
    many = last._replace(terms={f"term_{k}": k / 20 for k in range(20)})
    assert list(bars_of(many)) == ["term_0", "term_1", "term_2", "term_3", "reward"]


def test_rewards_below_zero_and_missing_terms_can_be_drawn():
    env = make()
    advance(env)
    env.finish()
    last = env.engine.last_episodes[0]
    plain = env.render()
    env.engine.last_episodes[0] = last._replace(reward=-1.5, terms={"margin": math.nan})
    assert not np.array_equal(env.render(), plain)


@pytest.mark.slow
def test_a_users_matplotlib_is_left_alone():
    """Neither settings nor figures nor the backend are touched."""
    program = (
        "import sys, matplotlib\n"
        "from snn_plasticity_gym.envs.single import PlasticityEnv\n"
        f"env = PlasticityEnv({ENV_ID!r}, 'rgb_array', **{SMALL!r}); env.reset(seed=0)\n"
        "settings = lambda: {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != 'backend'}\n"
        "before = settings()\n"
        "env.render()\n"
        "print('matplotlib.pyplot' in sys.modules, before == settings())\n"  # asking for the backend imports pyplot
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.split() == ["False", "True"]


def test_there_is_nothing_to_draw_before_the_first_step():
    engine = make_engine(ENV_ID, environment_config(ENV_ID, **SMALL), 1)
    for call in (scene_of, render_frame):
        with pytest.raises(RuntimeError, match=r"^there is nothing to render yet; call reset\(\) first$"):
            call(engine, 0)


def test_render_modes_are_checked():
    assert check_render_mode(None, ["rgb_array"]) is None
    assert check_render_mode("rgb_array", ["rgb_array", "human"]) == "rgb_array"
    with pytest.raises(ValueError, match=r"^render_mode must be one of rgb_array, human or None, got 'ansi'$"):
        check_render_mode("ansi", ["rgb_array", "human"])
