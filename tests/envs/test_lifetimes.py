"""Where lifetimes stand, and the seeds that follow from it."""

import pytest

from snn_plasticity_gym.envs.lifetimes import Lifetimes
from snn_plasticity_gym.tasks.base import Seed


def started(**common: bool) -> Lifetimes:
    lifetimes = Lifetimes(3, common.get("network", False), common.get("noise", False))
    lifetimes.start([0, 1, 2], [5, 6, 7])
    return lifetimes


def test_episodes_and_lifetimes_are_counted():
    lifetimes = started()
    assert lifetimes.seed(1) == Seed(own=6, shown=6, generation=0, episode=0, attempt=0)
    for _ in range(2):  # the first is given up
        lifetimes.begin([1])
    assert lifetimes.seed(1) == Seed(6, 6, 0, 0, attempt=1)
    lifetimes.finish([1])
    assert lifetimes.seed(1) == Seed(6, 6, 0, episode=1) and lifetimes.ages.tolist() == [0, 1, 0]
    lifetimes.start([1, 2], [None, 9])
    assert lifetimes.seed(1) == Seed(6, 6, generation=1) and lifetimes.seed(2) == Seed(9, 9, 0)


@pytest.mark.parametrize(("common", "own", "shown"), [({"network": True}, 5, 7), ({"noise": True}, 7, 5)])
def test_what_is_common_comes_from_the_first_seed_or_the_one_that_is_set(common, own, shown):
    lifetimes = started(**common)
    assert lifetimes.seed(2)[:2] == (own, shown)
    lifetimes.common_seed = 11
    assert lifetimes.seed(2)[:2] == (11 if own == 5 else own, 11 if shown == 5 else shown)


def test_a_state_is_all_that_seeds_follow_from():
    lifetimes, other = started(), started()
    lifetimes.begin(slice(None))
    lifetimes.finish([0, 2])
    lifetimes.start([2], [None])
    lifetimes.begin([0])
    other.load_state_dict(lifetimes.state_dict())
    assert [other.seed(row) for row in range(3)] == [lifetimes.seed(row) for row in range(3)]
    assert other.state_dict() == lifetimes.state_dict()
