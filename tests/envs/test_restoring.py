"""A state is taken over at any moment, and what follows is what followed the first time, by every interface."""

import numpy as np
import pytest
import torch
from grids import grid

from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.registry import make_rule
from snn_plasticity_gym.utils.state import clone_state

IMAGES = {"dataset": "digits", "num_steps": 10, "history_length": 6, "events_per_step": 512, "max_rate": 0.03}
CASES = {
    "unsup": ("SNNPlastic-Unsup1-v0", {**IMAGES, "n_exc": 8, "gain_input_exc": 10.0}),
    "split": ("SNNPlastic-Unsup2-v0", {**IMAGES, "n_exc": 8, "gain_input_exc": 10.0, "event_kinds": "split"}),
    "feedback": ("SNNPlastic-Semi-v0", {**IMAGES, "hidden_sizes": (8,), "third_factor": "feedback"}),
    "groups": (
        "SNNPlastic-Semi-v0",
        {**IMAGES, "network": "rwta", "hidden_sizes": (6, 4), "wta_size": 2, "third_factor": "reward"},
    ),
    "grad": ("SNNPlastic-Grad-v0", {**IMAGES, "hidden_sizes": (8,), "layer_scalars": (0.5, 1.0)}),
    "world": (
        "SNNPlastic-CartPole-v0",
        {"history_length": 6, "events_per_step": 512, "steps_per_action": 5, "max_actions": 6},
    ),
    "world of groups": (
        "SNNPlastic-CartPole-v0",
        {
            "history_length": 6,
            "events_per_step": 512,
            "steps_per_action": 5,
            "max_actions": 6,
            "network": "rwta",
            "hidden_sizes": (6,),
            "wta_size": 3,
        },
    ),
    "held back": ("SNNPlastic-Unsup1-v0", {**IMAGES, "n_exc": 8, "gain_input_exc": 10.0, "modulation": "reward"}),
}
RULE: Rule = make_rule("stdp")


def make(case):
    env_id, settings = CASES[case]
    return PlasticityVectorEnv(env_id, num_envs=2, **settings)


def answer(events):
    return (((events.weight * 1e5).long() + events.kind) % 201 / 100 - 1).float()


def by_events(env, episodes):
    for _ in range(episodes):
        while (events := env.events()) is not None:
            env.apply(answer(events))
        result = env.finish()
        yield result.reward, result.length, result.num_events, result.rates


def by_run_episode(env, episodes):
    for _ in range(episodes):
        result = env.run_episode(RULE)
        yield result.reward, result.length, result.num_events, result.rates


def by_slots(env, episodes):
    """Whole vectors of slots until each lifetime has gone through so many episodes."""
    observation, done = env._interface.observe(), np.zeros(2, int)
    while done.min() < episodes:
        code = (observation["weight"] * 1e5).astype(np.int64) + observation["kind"]
        observation, rewards, terminated, truncated, _ = env.step((code % 201 / 100 - 1).astype(np.float32))
        done += terminated | truncated
        yield tuple(torch.from_numpy(values.copy()) for values in (rewards, terminated, observation["weight"]))


WAYS = {"events": by_events, "run_episode": by_run_episode, "slots": by_slots}


def fresh(env):
    return None


def within_events(env):
    env.events()
    for _ in range(3):
        env.apply(answer(env.events()))


def within_slots(env):
    for _ in range(4):
        env.step(np.zeros((2, 512), np.float32))


def at_the_end(env):
    while (events := env.events()) is not None:
        env.apply(answer(events))


def over_several(env):
    list(by_run_episode(env, 2))


MOMENTS = [fresh, within_events, within_slots, at_the_end, over_several]


@pytest.mark.parametrize(
    ("case", "way", "moment"),
    grid(CASES, WAYS, MOMENTS, every=3, ids=[CASES, WAYS, [moment.__name__ for moment in MOMENTS]]),
)
def test_what_follows_a_state_is_the_same_from_any_moment(case, way, moment):
    env = make(case)
    env.reset(seed=5)
    list(by_run_episode(env, 1))
    saved = env.state_dict()
    expected = list(WAYS[way](env, 2))
    weights = env.engine.network.weights.clone()
    env.reset(seed=1)
    moment(env)
    env.load_state_dict(saved)
    for one, other in zip(WAYS[way](env, 2), expected, strict=True):
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))
    assert torch.equal(env.engine.network.weights, weights)
    if way != "slots" and not case.startswith("world"):
        assert all((lengths == 10).all() for _, lengths, *_ in expected)  # whole images


@pytest.mark.parametrize("case", CASES)
def test_a_state_in_memory_does_not_change_while_networks_live_on(case):
    env = make(case)
    env.reset(seed=5)
    list(by_run_episode(env, 1))
    saved = env.state_dict()
    kept = clone_state(saved)
    list(by_events(env, 2))
    env.reset(seed=9)
    np.testing.assert_equal(plain(saved), plain(kept))
    env.load_state_dict(saved)
    list(by_events(env, 2))
    np.testing.assert_equal(plain(saved), plain(kept))  # nor while what was restored lives on


def plain(values):
    """Tensors as arrays, which assert_equal looks into."""
    if isinstance(values, dict):
        return {name: plain(part) for name, part in values.items()}
    if isinstance(values, list | tuple):
        return [plain(part) for part in values]
    return values.numpy() if isinstance(values, torch.Tensor) else values


@pytest.mark.parametrize("moment", [within_events, within_slots])
def test_there_is_no_state_within_an_episode(moment):
    env = make("unsup")
    env.reset(seed=5)
    moment(env)
    with pytest.raises(RuntimeError, match="between two episodes only"):
        env.state_dict()
