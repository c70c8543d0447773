"""Observations and actions between Gymnasium's spaces and flat numbers."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.tasks.world_spaces import (
    check_actions,
    flat_observations,
    flatten_observation,
    world_action,
)

MIXED = Dict(
    {
        "picture": Box(0, 255, (2, 2), np.uint8),
        "room": Discrete(3, start=1),
        "arm": Tuple((Box(-np.inf, 1e300, (2,), np.float64), MultiBinary(2))),
    }
)


def test_a_box_keeps_its_bounds():
    flat = flat_observations("w", Box(-2, 3, (2, 2), np.float64))
    assert flat == Box(-2, 3, (4,), np.float32)
    assert flatten_observation(Box(-2, 3, (2, 2)), [[1, 2], [3, 4]]).tolist() == [1, 2, 3, 4]
    assert flatten_observation(Box(-2, 3, ()), 1.5).tolist() == [1.5]


def test_compound_spaces_lie_end_to_end():
    flat = flat_observations("w", MIXED)
    assert flat.shape == (2 + 2 + 4 + 3,) and flat.dtype == np.float32
    arm = (np.array([-4.0, 0.5]), np.array([1, 0], np.int8))
    observation = {"picture": np.array([[1, 2], [3, 255]], np.uint8), "room": 2, "arm": arm}
    assert sorted(MIXED.spaces) == list(MIXED.spaces)  # arm, picture, room
    assert flatten_observation(MIXED, observation).tolist() == [-4, 0.5, 1, 0, 1, 2, 3, 255, 0, 1, 0]
    assert flat.low[0] == -np.inf and flat.high[0] == np.inf  # 1e300 is no bound in single precision


@pytest.mark.parametrize("space", [MIXED, MultiDiscrete([2, 3]), Discrete(4), Box(0, 1, (3, 1)), Tuple((Discrete(2),))])
def test_samples_fit_the_flat_space(space):
    space.seed(0)
    flat = flat_observations("w", space)
    for _ in range(20):
        assert flatten_observation(space, space.sample()).shape == flat.shape


def test_what_a_world_gave_is_copied():
    given = np.zeros(2, np.float32)
    kept = flatten_observation(Box(0, 1, (2,)), given)
    given[:] = 1
    assert kept.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Text(3), "world 'w': observations must be Box, .* got Text"),
        (spaces.Sequence(Box(0, 1, (1,))), "world 'w': observations must be Box, .* got Sequence"),
        (
            Dict({"a": Box(0, 1, (1,)), "b": Tuple((spaces.Text(2),))}),
            "world 'w': observations must be Box, .* got Dict",
        ),
        (Box(0, 1, (0,)), "world 'w': observations must hold a number at least"),
    ],
)
def test_spaces_that_are_refused(space, message):
    with pytest.raises(ConfigError, match=message):
        flat_observations("w", space)


@pytest.mark.parametrize("space", [MultiDiscrete([2, 2]), MultiBinary(3), Dict({"a": Discrete(2)})])
def test_actions_that_are_refused(space):
    with pytest.raises(ConfigError, match="world 'w': actions must be Discrete or Box, got"):
        check_actions("w", space)


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int64]),
        hnp.array_shapes(min_dims=0, max_dims=2, max_side=4),
        elements=st.integers(-3, 3),
    )
)
def test_an_observation_has_its_shape_or_is_refused(observation):
    try:
        assert flatten_observation(Box(-3, 3, (3,)), observation).tolist() == observation.tolist()
    except ValueError as error:
        assert observation.shape != (3,)
        assert str(error) == f"the observation must have shape (3,), got {observation.shape}"


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ([1.0, np.nan, 2.0], r"the observation must be numbers, got NaN at \[1\]"),
        (None, "the observation must have shape|float"),
        ("text", "could not convert"),
    ],
)
def test_observations_that_are_none(observation, message):
    with pytest.raises((ValueError, TypeError), match=message):
        flatten_observation(Box(-3, 3, (3,)), observation)


def act(space: Any, action: Any) -> Any:
    return world_action(space, np.asarray(action))


def test_discrete_actions_count_from_the_start():
    assert [act(Discrete(3), k) for k in range(3)] == [0, 1, 2]
    assert [act(Discrete(3, start=-1), k) for k in range(3)] == [-1, 0, 1]
    assert type(act(Discrete(3, start=5), 2)) is int


def test_box_actions_get_shape_and_type():
    action = act(Box(-1, 1, (2, 2), np.float64), np.float32([0, 0.25, 0.5, 1]))
    assert action.tolist() == [[0, 0.25], [0.5, 1]] and action.dtype == np.float64
    assert act(Box(0, 9, (2,), np.int32), np.float32([1.4, 8.6])).tolist() == [1, 9]


def test_rounding_to_single_precision_is_no_excess():
    space = Box(-0.4, 0.4, (1,), np.float64)
    end = np.float32([0.4])
    assert float(end[0]) > 0.4
    assert act(space, end).tolist() == [0.4] and space.contains(act(space, end))


@pytest.mark.parametrize(
    ("space", "action", "message"),
    [
        (Discrete(3), 3, "the action must be an integer from 0 to 2, got 3"),
        (Discrete(3, start=5), -1, "the action must be an integer from 0 to 2, got -1"),
        (Discrete(3), 1.0, "the action must be an integer from 0 to 2, got 1.0"),
        (Discrete(3), [1], "the action must be an integer from 0 to 2"),
        (Box(-1, 1, (1,)), [1.1], "the action must be one of Box"),
        (Box(-1, 1, (1,)), [np.nan], "the action must be one of Box"),
        (Box(-1, 1, (2,)), [0.0], "the action must be one of Box"),
        (Box(-1, 1, (1,)), 0.0, "the action must be one of Box"),
    ],
)
def test_actions_of_another_space(space, action, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        act(space, action)
