"""Times of several workloads, interleaved, so that other load on the machine affects all of them equally.

Seconds are CPU seconds of the process: time of other processes on the same core is excluded.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

Clock = Callable[[], float]
Sampler = Callable[[], float]
"""Runs its workload, and returns the seconds per unit."""


def timed(work: Callable[[], Any], repeats: int = 1, clock: Clock = time.process_time) -> Sampler:
    """Make a sampler of `work`.

    Args:
        work: Workload to measure. An int that it returns is its number of units; any other value counts as 1.
        repeats: Calls per sample, for work that is short relative to the clock's resolution.
        clock: Returns seconds.
    """

    def sample() -> float:
        began, amount = clock(), 0
        for _ in range(repeats):
            done = work()
            amount += done if type(done) is int else 1
        return (clock() - began) / max(amount, 1)

    return sample


@dataclass(frozen=True)
class Samples:
    """Seconds per unit by name, one number per round each."""

    rounds: dict[str, list[float]]

    def median(self, name: str) -> float:
        """Return the median seconds of one workload."""
        return statistics.median(self.rounds[name])

    def ratio(self, slow: str, fast: str) -> float:
        """Return the time of `slow` over that of `fast`: the median of the ratios within each round."""
        pairs = zip(self.rounds[slow], self.rounds[fast], strict=True)
        return statistics.median(a / b for a, b in pairs)


def take_turns(samplers: Mapping[str, Sampler], rounds: int, warm_up: int = 1) -> Samples:
    """Call all samplers once a round, one after the other.

    Args:
        samplers: By name.
        rounds: Number of measured rounds.
        warm_up: Earlier rounds, not measured.
    """
    seconds: dict[str, list[float]] = {name: [] for name in samplers}
    for number in range(warm_up + rounds):
        for name, sample in samplers.items():
            second = sample()
            if number >= warm_up:
                seconds[name].append(second)
    return Samples(seconds)


class Parts:
    """Time inside `with parts.watch():` by method; the time of a method inside another is subtracted from the latter.

    Args:
        methods: Class and name of each method, by the name of the part.
        clock: Returns seconds.
    """

    def __init__(self, methods: Mapping[str, tuple[type, str]], clock: Clock = time.process_time) -> None:
        self._methods = methods
        self._clock = clock
        self._inner = [0.0]  # seconds inside watched methods, of each watched call in progress
        self.seconds = dict.fromkeys([*methods, "rest"], 0.0)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Add the time until the end of the block to `seconds`."""
        with ExitStack() as stack:
            for part, (owner, name) in self._methods.items():
                stack.enter_context(mock.patch.object(owner, name, self._watched(part, getattr(owner, name))))
            before, began = self._inner[0], self._clock()
            yield
            self.seconds["rest"] += self._clock() - began - (self._inner[0] - before)

    def _watched(self, part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            began = self._clock()
            try:
                return method(*args, **kwargs)
            finally:
                elapsed = self._clock() - began
                self.seconds[part] += elapsed - self._inner.pop()
                self._inner[-1] += elapsed

        return call

    def shares(self) -> dict[str, float]:
        """Return each part's share of the whole."""
        whole = sum(self.seconds.values())
        return {part: seconds / whole for part, seconds in self.seconds.items()}
