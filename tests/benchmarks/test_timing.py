"""The helper that takes times, under a clock that the test moves by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "timing.py"


def load_timing():
    """Load the module by its path: the folder of the benchmarks is on the path of its programs alone."""
    spec = importlib.util.spec_from_file_location("benchmarks_timing", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks there
    spec.loader.exec_module(module)
    return module


timing = load_timing()


class FakeClock:
    """Stands still until it is told to go on."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def work(self, seconds, amount=None):
        """Make a piece of work that takes so long and returns how much it did."""

        def work():
            self.now += seconds
            return amount

        return work


def test_a_sample_is_seconds_per_call():
    clock = FakeClock()
    assert timing.timed(clock.work(3.0), repeats=4, clock=clock)() == 3.0
    assert clock.now == 112.0


def test_a_sample_is_seconds_per_unit_where_the_work_counts_them():
    clock = FakeClock()
    assert timing.timed(clock.work(3.0, amount=6), repeats=2, clock=clock)() == 0.5
    assert timing.timed(clock.work(3.0, amount=0), clock=clock)() == 3.0  # nothing done is no division by zero


def test_all_take_turns_and_warm_up_rounds_do_not_count():
    calls = []

    def sampler(name, seconds):
        remaining = iter(seconds)

        def sample():
            calls.append(name)
            return next(remaining)

        return sample

    samplers = {"a": sampler("a", [99.0, 1.0, 2.0, 9.0]), "b": sampler("b", [99.0, 2.0, 8.0, 9.0])}
    samples = timing.take_turns(samplers, rounds=3)
    assert calls == ["a", "b"] * 4
    assert samples.rounds == {"a": [1.0, 2.0, 9.0], "b": [2.0, 8.0, 9.0]}
    assert samples.median("a") == 2.0
    assert samples.ratio("b", "a") == 2.0  # the median of 2, 4 and 1, not the ratio of medians, 4


class Machine:
    """Works by moving a clock on."""

    def __init__(self, clock):
        self.clock = clock

    def outer(self):
        self.clock.now += 1.0
        self.inner()
        self.inner()
        return "done"

    def inner(self):
        self.clock.now += 10.0

    def fail(self):
        self.clock.now += 5.0
        raise KeyError


def test_parts_divide_the_time_without_counting_any_twice():
    clock = FakeClock()
    machine = Machine(clock)
    parts = timing.Parts({"outer": (Machine, "outer"), "inner": (Machine, "inner")}, clock)
    for _ in range(2):
        with parts.watch():
            assert machine.outer() == "done"
            machine.inner()
            clock.now += 100.0
    assert parts.seconds == {"outer": 2.0, "inner": 60.0, "rest": 200.0}
    assert sum(parts.shares().values()) == pytest.approx(1.0)
    machine.inner()  # outside of the watch
    assert parts.seconds["inner"] == 60.0


def test_parts_count_what_fails():
    clock = FakeClock()
    parts = timing.Parts({"fail": (Machine, "fail")}, clock)
    with parts.watch(), pytest.raises(KeyError):
        Machine(clock).fail()
    assert parts.seconds == {"fail": 5.0, "rest": 0.0}
