"""Cue association: report after a rest which of two cues came more often, from noisy spikes.

After Schmidgall et al. (2021), supplement: seven cues of 25 ms, each left or right, a rest, and a decision cue of 25 ms
in which the decision is read out. Four groups of ten neurons: left, right, decision, and noise; one step is 1 ms.

Axes: T steps, B trials, C cues.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.config.schema import unknown

GROUP = 10  # neurons of each group
LEFT, RIGHT, DECISION, NOISE = range(4)
NUM_INPUTS = 4 * GROUP
NUM_ANSWERS = 2
CUE_STEPS = 25
NUM_CUES = 7
RESTS = (45, 75, 105)


class Chances(NamedTuple):
    """Spike probabilities per step."""

    cue: float  # of the group whose cue is on
    rest: float  # of the other two
    noise: float


CONDITIONS = {"normal": Chances(0.75, 0.05, 0.2), "noisy": Chances(0.65, 0.25, 0.4)}


class Trials(NamedTuple):
    """A batch of trials, aligned at their ends; shorter ones start with silence."""

    spikes: NDArray[np.float32]  # (T, B, NUM_INPUTS) 0 or 1
    answers: NDArray[np.int64]  # (B,) the cue that came more often, LEFT or RIGHT
    rests: NDArray[np.int64]  # (B,) steps


def spike_chances(cues: Sequence[int] | NDArray[np.int64], rest: int, chances: Chances) -> NDArray[np.float32]:
    """Return the spike probability of each input in each step of a trial, (steps, NUM_INPUTS).

    Args:
        cues: LEFT or RIGHT, one after the other; -1: none.
        rest: Steps between the last cue and the decision cue.
        chances: Spike probabilities.
    """
    order = np.concatenate([np.repeat(cues, CUE_STEPS), np.full(rest, -1), np.full(CUE_STEPS, DECISION)])  # (steps,)
    groups = np.where(order[:, None] == np.arange(4), chances.cue, chances.rest)  # (steps, 4)
    groups[:, NOISE] = chances.noise
    return np.repeat(groups, GROUP, axis=1).astype(np.float32)


def draw_cues(rng: np.random.Generator, count: int, num_cues: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sample the cues of trials, (B, C); return them and the more frequent ones, (B,)."""
    check_cues(num_cues)
    cues = rng.integers(0, 2, (count, num_cues))
    return cues, (2 * cues.sum(axis=1) > num_cues).astype(np.int64)


def draw_trials(
    rng: np.random.Generator,
    count: int,
    condition: str,
    rests: Sequence[int] = RESTS,
    num_cues: int = NUM_CUES,
) -> Trials:
    """Sample trials.

    Args:
        rng: Source of cues, rests and spikes.
        count: B.
        condition: One of CONDITIONS.
        rests: Possible rests; one is sampled for each trial.
        num_cues: C, odd.

    Raises:
        ValueError: No such condition, or no odd number of cues.
    """
    chances = chances_of(condition)
    cues, answers = draw_cues(rng, count, num_cues)
    drawn = rng.choice(np.asarray(rests, dtype=np.int64), count)  # (B,)
    return Trials(_spikes(rng, cues, drawn, chances, max(rests)), answers, drawn)


def show_cues(rng: np.random.Generator, cues: Sequence[Sequence[int]], rest: int, condition: str) -> Trials:
    """Return trials of given cues, (B, C); missing cues, -1, do not count for the answer."""
    given = np.array(cues, dtype=np.int64)
    answers = ((given == RIGHT).sum(axis=1) > (given == LEFT).sum(axis=1)).astype(np.int64)
    drawn = np.full(len(given), rest)
    return Trials(_spikes(rng, given, drawn, chances_of(condition), rest), answers, drawn)


def _spikes(
    rng: np.random.Generator, cues: NDArray[np.int64], rests: NDArray[np.int64], chances: Chances, longest: int
) -> NDArray[np.float32]:
    count, num_cues = cues.shape
    steps = (num_cues + 1) * CUE_STEPS + longest
    allowed = np.zeros((steps, count, NUM_INPUTS), dtype=np.float32)
    for b in range(count):
        allowed[longest - rests[b] :, b] = spike_chances(cues[b], int(rests[b]), chances)
    return (rng.random(allowed.shape, dtype=np.float32) < allowed).astype(np.float32)


def chances_of(condition: str) -> Chances:
    """Return the spike probabilities of a condition.

    Raises:
        ValueError: There is no such condition.
    """
    if condition not in CONDITIONS:
        raise ValueError(unknown("condition", condition, CONDITIONS))
    return CONDITIONS[condition]


def check_cues(num_cues: int) -> None:
    """Raise ValueError unless one cue always comes more often than the other."""
    if num_cues < 1 or num_cues % 2 == 0:
        raise ValueError(f"the number of cues must be odd, so that one comes more often, got {num_cues}")
