"""Worlds of MuJoCo with changed bodies: what is changed, and that it is felt."""

import numpy as np
import pytest

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.tasks.changed_body import CHANGED_BODY
from snn_plasticity_gym.tasks.worlds import Worlds

mujoco = pytest.importorskip("mujoco")


def after(steps: int = 15, **changes) -> np.ndarray:
    """Observation after the same actions."""
    worlds = Worlds(CHANGED_BODY, 1, world_kwargs={"world": "HalfCheetah-v5", **changes})
    worlds.reset([0], [3])
    rng = np.random.default_rng(0)
    for _ in range(steps):
        observation = worlds.move(0, rng.uniform(-1, 1, 6).astype(np.float32)).observation
    worlds.close()
    return observation


def model_of(**changes):
    worlds = Worlds(CHANGED_BODY, 1, world_kwargs={"world": "HalfCheetah-v5", **changes})
    return worlds._env(0).unwrapped.model


def test_nothing_changes_unless_it_is_asked():
    plain = Worlds("HalfCheetah-v5", 1)
    plain.reset([0], [3])
    rng = np.random.default_rng(0)
    for _ in range(15):
        observation = plain.move(0, rng.uniform(-1, 1, 6).astype(np.float32)).observation
    assert np.array_equal(after(), observation)


@pytest.mark.parametrize("changes", [{"friction": 0.1}, {"mass": 2.0}, {"joint": 2, "strength": 0.0}])
def test_a_change_is_felt(changes):
    assert np.abs(after(40, **changes) - after(40)).max() > 0.01


def test_factors_are_those_of_the_model():
    usual, changed = model_of(), model_of(friction=0.5, mass=2.0, joint=3, strength=0.25)
    assert np.allclose(changed.geom_friction, 0.5 * usual.geom_friction)
    assert np.allclose(changed.body_mass, 2 * usual.body_mass) and usual.body_mass.sum() > 10
    assert np.allclose(changed.body_subtreemass, 2 * usual.body_subtreemass)
    gears = usual.actuator_gear[:, 0] * [1, 1, 1, 0.25, 1, 1]
    assert np.allclose(changed.actuator_gear[:, 0], gears)


def test_episodes_end_as_those_of_the_world():
    worlds = Worlds(CHANGED_BODY, 1, world_kwargs={"world": "HalfCheetah-v5", "world_kwargs": {"max_episode_steps": 3}})
    worlds.reset([0], [0])
    assert [worlds.move(0, np.zeros(6, np.float32)).truncated for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"world": "CartPole-v1"}, "in worlds of MuJoCo only, and 'CartPole-v1' is none"),
        ({"world": "HalfCheetah-v5", "joint": 6}, "has motors 0 to 5, got 6"),
        ({"world": "HalfCheetah-v5", "mass": 0.0}, "mass positive"),
        ({"world": "HalfCheetah-v5", "strength": 2.0}, r"strength in \[0, 1\]"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message) as error:
        Worlds(CHANGED_BODY, 1, world_kwargs=arguments)
    assert "\n" not in str(error.value)
