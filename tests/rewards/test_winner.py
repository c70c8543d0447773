"""Who answered, by hand and against a sort."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.networks.spike_counts import SpikeCounts
from snn_plasticity_gym.rewards.winner import NO_WINNER, winner


def tensor(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows)


@pytest.mark.parametrize(
    ("counts", "first_spike", "expected"),
    [
        ([0, 3, 2], [0, 9, 1], 1),  # most spikes
        ([3, 0, 2], [99, 0, 1], 0),
        ([2, 5, 5, 1], [0, 7, 4, 0], 2),  # of equals, the first to spike
        ([4, 4, 4], [3, 3, 3], 0),  # of those, the lowest index
        ([1, 4, 4], [0, 0, 0], 1),
        ([0, 0, 1], [0, 0, 99], 2),  # a silent neuron never wins, however early its entry
        ([0, 0, 0], [0, 0, 0], NO_WINNER),
        ([0, 0, 0], [5, -1, 100], NO_WINNER),
        ([1, 0, 1], [8, -1, 6], 2),
        ([0, 1], [100, 3], 1),
        ([7], [0], 0),
        ([0], [0], NO_WINNER),
        ([1, 0, 2], [3, torch.iinfo(torch.int64).max, 5], 2),  # any value may stand for a silent neuron
        ([1, 0, 2], [3, torch.iinfo(torch.int64).min, 5], 2),
    ],
)
def test_winner_by_hand(counts: list[int], first_spike: list[int], expected: int) -> None:
    assert winner(SpikeCounts(tensor(counts), tensor(first_spike))).tolist() == [expected]


@given(seed=st.integers(0, 2**31), rows=st.integers(1, 5), size=st.integers(1, 8), steps=st.integers(1, 12))
def test_winner_against_a_sort(seed: int, rows: int, size: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    raster = rng.random((rows, steps, size)) < rng.choice([0.0, 0.1, 0.5])
    expected = []
    for network in raster:
        fired = [(-network[:, k].sum(), network[:, k].argmax(), k) for k in range(size) if network[:, k].any()]
        expected.append(min(fired)[2] if fired else NO_WINNER)
    counts, first_spike = torch.from_numpy(raster.sum(1)), torch.from_numpy(raster.argmax(1))
    assert winner(SpikeCounts(counts, first_spike)).tolist() == expected
