"""Runs that are cut off in the middle and go on, beside others that were never cut off."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from snn_plasticity_gym.trainers.sessions.svpg_search import RuleSearch
from snn_plasticity_gym.trainers.sessions.validated_learner import ValidatedLearner


def rows_of(run: Path) -> list[dict[str, str]]:
    """Rows of metrics.csv without the time of day."""
    with (run / "metrics.csv").open(newline="") as file:
        return [{name: cell for name, cell in row.items() if name != "time/seconds"} for row in csv.DictReader(file)]


def result_of(run: Path) -> dict[str, Any]:
    """result.json without the time that it took."""
    return {name: value for name, value in json.loads((run / "result.json").read_text()).items() if name != "seconds"}


def assert_goes_on_bit_for_bit(
    train: Callable[[Sequence[str]], Path],
    learner_type: type[ValidatedLearner] | type[RuleSearch],
    flags: Sequence[str],
    folder: Path,
    kept: str = "weights.pt",
) -> None:
    """A run that was cut off half-way ends as one that was not, also in the file that it has `kept`."""

    class Killed(BaseException):
        pass

    whole = train([*flags, f"--run_dir={folder}", "--run_name=whole"])
    right = learner_type.steps

    def steps(learner: ValidatedLearner | RuleSearch):
        for _ in right(learner):
            yield
            if learner.episodes >= learner.total // 2:
                raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner_type, "steps", steps)
        with pytest.raises(Killed):
            train([*flags, f"--run_dir={folder}", "--run_name=cut"])
    run = whole.parent / "cut"
    assert not (run / kept).exists()
    again = train([f"--resume={run}"])
    if kept.endswith(".pt"):
        weights, others = (torch.load(one / kept, weights_only=True) for one in (whole, again))
        assert all(torch.equal(weights[name], others[name]) for name in weights)
    else:
        assert (whole / kept).read_bytes() == (again / kept).read_bytes()
    assert rows_of(whole) == rows_of(again) and result_of(whole) == result_of(again)
