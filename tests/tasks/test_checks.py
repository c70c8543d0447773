"""What a task of one's own asks of its weights must be possible; it is refused when the task is made."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from toys_tasks import QuotaConfig, QuotaTask

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.tasks.base import StepInput
from snn_plasticity_gym.tasks.checks import check_input, check_task


def quota(**changes: Any) -> QuotaTask:
    """Five inputs, plastic weights in [0, 2]."""
    task = QuotaTask(QuotaConfig(), 1, torch.device("cpu"))
    task.projections = [dataclasses.replace(task.projections[0], **changes)]
    return task


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"weight_norm": 10.5},
            "weight_norm of projection 'in_to_out' must be at most 10, that of 5 weights .* got 10.5",
        ),
        (
            {"weight_norm": 4.5, "norm_order": 2},
            "must be at most 4.47214, .* got 4.5; lower it, or widen w_min and w_max",
        ),
        ({"initial": (0.0, 2.5)}, r"initial weights of projection 'in_to_out' must lie in \[0, 2\], got \(0.0, 2.5\)"),
        ({"initial": (-0.1, 0.5)}, r"must lie in \[0, 2\], got \(-0.1, 0.5\)"),
        ({"initial": (0.5, 0.1)}, r"must lie in \[0, 2\], got \(0.5, 0.1\)"),
    ],
)
def test_weights_that_clips_do_not_allow_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^the task of toys/Quota-v0: .*{message}") as caught:
        check_task(quota(**changes), QuotaConfig(), "toys/Quota-v0")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"weight_norm": 10.0},
        {"weight_norm": 4.4, "norm_order": 2},
        {"initial": (0.0, 2.0)},
        {"initial": lambda *_: 3.0},
    ],
)
def test_weights_at_the_clips_are_allowed(changes: dict[str, Any]) -> None:
    check_task(quota(**changes), QuotaConfig(), "toys/Quota-v0")


@pytest.mark.parametrize(
    ("deaf", "message"),
    [
        ({"out": torch.ones(1, 3, dtype=torch.bool)}, "deaf neurons of 'out' need a refractory period"),
        ({"in": torch.ones(1, 5, dtype=torch.bool)}, "deaf neurons of 'in' need a refractory period"),
        ({"out": torch.ones(1, 4, dtype=torch.bool)}, r"deaf neurons of 'out' must have shape \(1, 3\)"),
        ({"hidden": torch.ones(1, 3, dtype=torch.bool)}, "unknown population 'hidden'"),
    ],
)
def test_neurons_that_cannot_be_deaf_are_refused(deaf: dict[str, torch.Tensor], message: str) -> None:
    given = StepInput({"in": torch.zeros(1, 5, dtype=torch.bool)}, deaf=deaf)
    with pytest.raises(ConfigError, match=message):
        check_input(given, quota(), 1)
