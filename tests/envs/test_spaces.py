"""Spaces: bounds that are known, and what stands in slots without an event."""

import gymnasium
import numpy as np
import pytest

from snn_plasticity_gym.config.control import ControlConfig
from snn_plasticity_gym.config.environments import ENVIRONMENTS
from snn_plasticity_gym.envs.single import PlasticityEnv

DIGITS = {"dataset": "digits", "num_steps": 6, "history_length": 4, "events_per_step": 64}
SMALL = {**DIGITS, "hidden_sizes": (8,)}


def space(env_id, **settings):
    return PlasticityEnv(env_id, **settings).observation_space


@pytest.mark.parametrize("env_id", [name for name in ENVIRONMENTS if name.startswith("SNNPlastic-")])
def test_all_bounds_of_default_spaces_are_finite(env_id):
    fields = {"fields": 3, "low": [None, -1, None, -1], "high": [None, 1, None, 1], "period": 2}
    needed = {"world": "CartPole-v1", "encoder_kwargs": fields} if "Control" in env_id else {}
    if not issubclass(ENVIRONMENTS[env_id], ControlConfig):
        needed = {"dataset": "digits"}
    for part in space(env_id, **needed).values():
        assert isinstance(part, gymnasium.spaces.Box)
        assert np.isfinite(part.low).all() and np.isfinite(part.high).all() and (part.low < part.high).all()


@pytest.mark.parametrize(
    ("scalars", "low", "high"),
    [((0.2, 0.7), 0.0, 0.7), ((-0.5, -0.1), -0.5, 0.0), ((0.0, 0.0), 0.0, 1.0)],
)
def test_layers_are_bounded_by_their_scalars_and_by_0_of_empty_slots(scalars, low, high):
    layer = space("SNNPlastic-Grad-v0", **SMALL, layer_scalars=scalars)["layer"]
    assert layer.low == pytest.approx(np.full(64, low)) and layer.high == pytest.approx(np.full(64, high))


@pytest.mark.parametrize(
    ("name", "settings", "bounds"),
    [
        ("factor", {"third_factor": "teaching"}, (-1.0, 1.0)),
        ("factor", {"third_factor": "feedback"}, (-np.inf, np.inf)),
        ("surrogate", {"local_state": ("surrogate",)}, (0.0, 1.0)),
        ("theta", {"local_state": ("theta",)}, (0.0, np.inf)),
        ("potential", {"local_state": ("potential",)}, (-np.inf, np.inf)),
    ],
)
def test_bounds_of_local_scalars_hold(name, settings, bounds):
    env = PlasticityEnv("SNNPlastic-Semi-v0", **SMALL, **settings)
    box = env.observation_space[name]
    assert (box.low[0], box.high[0]) == bounds
    observation, _ = env.reset(seed=0)
    seen, over = [], False
    while not over:
        assert observation in env.observation_space
        seen.append(observation[name][observation["mask"] == 1])
        observation, _, over, _, _ = env.step(np.ones(64, np.float32))
    assert observation in env.observation_space
    assert np.concatenate(seen).any() or name == "theta"


def test_slots_without_an_event_belong_to_no_group_and_no_kind():
    env = PlasticityEnv("SNNPlastic-Unsup2-v0", **DIGITS, n_exc=4)
    space, (observation, _) = env.observation_space, env.reset(seed=0)
    assert (space["group"].high == 1).all() and (space["kind"].high == 2).all()
    empty = 0
    for _ in range(40):
        unused = observation["mask"] == 0
        empty += unused.sum()
        for name in ("group", "kind"):
            assert (observation[name][unused] == -1).all() and (observation[name][~unused] >= 0).all()
        observation, _, over, _, _ = env.step(np.zeros(64, np.float32))
        if over:
            observation, _ = env.reset()
    assert empty
