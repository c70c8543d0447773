"""Actions of a network: the decoders of `networks/decoders.py`, for one lifetime.

Axes: N motor neurons, n groups of them, A dimensions of a Box action.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.tables import Bool, Float32, Int64

WINNER, SOFTMAX, POPULATION = range(3)
RANDOM, NONE, LAST = range(3)  # how ties are resolved

_NO_LEVELS = np.zeros((0, 0), dtype=np.float32)
_NO_ENDS = np.zeros((3, 0), dtype=np.float32)


class Choice(NamedTuple):
    """`WinnerDecoder` or `SoftmaxDecoder`, also behind `LevelsDecoder`, or `PopulationDecoder`."""

    way: int  # WINNER, SOFTMAX or POPULATION
    num_groups: int  # n: of actions to choose from, or A
    group_size: int
    tie: int = RANDOM  # or NONE or LAST; of WINNER
    tie_action: int = 0
    beta: float = 0.0  # of SOFTMAX
    levels: Float32 = _NO_LEVELS  # (n, A) actions of worlds that take numbers; (0, 0): the choice is the action
    slope: float = 0.0  # of POPULATION: share of the range per spike of difference between the halves
    ends: Float32 = _NO_ENDS  # (3, A) of POPULATION: low, middle and high
    population: int = 0  # of the motor neurons
    first: int = 0  # index of the first of them among all neurons


class Votes(NamedTuple):
    """State of one lifetime's motor neurons."""

    counts: Int64  # (N,) their spikes until the last action
    stands: Bool  # (N,) which of them code for the last action


def num_motors(choice: Choice) -> int:
    """Return N."""
    return choice.num_groups * choice.group_size


def room_for_votes(choice: Choice) -> Votes:
    """Allocate `Votes`."""
    return Votes(np.zeros(num_motors(choice), np.int64), np.zeros(num_motors(choice), np.bool_))


@inlined()
def decide(choice, last, stream, votes, num_times, values):
    """Choose an action by the spikes since the last one.

    Args:
        choice: The decoder.
        last: The choice before; -1: there is none.
        stream: Random generator of the episode.
        votes: Updated.
        num_times: Spikes of each neuron of the network since the episode began.
        values: Output: the action, (A,), where it is numbers.

    Returns:
        Number of the choice; of POPULATION 0.
    """
    size, action = choice.group_size, 0
    if choice.way == POPULATION:
        for d in range(choice.num_groups):
            half = d * size + size // 2
            surplus = _votes(d * size, half, choice, votes, num_times)
            surplus -= _votes(half, (d + 1) * size, choice, votes, num_times)
            signed = min(max(np.float32(choice.slope) * np.float32(surplus), np.float32(-1.0)), np.float32(1.0))
            share = (signed + np.float32(1.0)) / np.float32(2.0)
            values[d] = choice.ends[0, d] * (np.float32(1.0) - share) + choice.ends[2, d] * share
    else:
        if choice.way == WINNER:
            action = _winner(choice, last, stream, votes, num_times)
        else:
            action = _drawn(choice, stream, votes, num_times)
        for d in range(choice.levels.shape[1]):
            values[d] = choice.levels[action, d]
    for k in range(choice.num_groups * size):
        votes.counts[k] = num_times[choice.first + k]
        if choice.way == POPULATION:
            d, up = k // size, k % size < size // 2
            middle = choice.ends[1, d]
            votes.stands[k] = values[d] > middle if up else values[d] < middle
        else:
            votes.stands[k] = k // size == action
    return action


@inlined()
def _votes(first, last, choice, votes, num_times):
    """Return the number of spikes of motor neurons `first` to `last` - 1 since the last action."""
    total = 0
    for k in range(first, last):
        total += num_times[choice.first + k] - votes.counts[k]
    return total


@inlined()
def _of_group(a, choice, votes, num_times):
    return _votes(a * choice.group_size, (a + 1) * choice.group_size, choice, votes, num_times)


@inlined()
def _winner(choice, last, stream, votes, num_times):
    """Return the action whose group has most spikes."""
    best, winner, rivals = np.int64(-1), 0, 0
    for a in range(choice.num_groups):
        own = _of_group(a, choice, votes, num_times)
        if own > best:
            best, winner, rivals = own, a, 1
        elif own == best:
            rivals += 1
    if choice.tie == RANDOM:
        place = min(np.int64(stream.random(dtype=np.float32) * np.float32(rivals)), rivals - 1)
        for a in range(choice.num_groups):
            if _of_group(a, choice, votes, num_times) == best:
                if place == 0:
                    winner = a
                place -= 1
    elif rivals > 1:
        winner = last if choice.tie == LAST and last >= 0 else choice.tie_action
    return winner


@inlined()
def _drawn(choice, stream, votes, num_times):
    """Sample an action by the spikes of its group."""
    most = 0
    for a in range(choice.num_groups):
        most = max(most, _of_group(a, choice, votes, num_times))
    total = 0.0
    for a in range(choice.num_groups):
        total += np.exp(choice.beta * _of_group(a, choice, votes, num_times) - choice.beta * most)
    draw = np.float64(stream.random(dtype=np.float32))
    passed, action = 0.0, 0
    for a in range(choice.num_groups):
        passed += np.exp(choice.beta * _of_group(a, choice, votes, num_times) - choice.beta * most) / total
        action += passed <= draw
    return min(action, choice.num_groups - 1)
