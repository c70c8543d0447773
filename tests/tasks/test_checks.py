"""What a task of one's own asks of its weights must be possible; it is refused when the task is made."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys_tasks import QuotaConfig, QuotaTask

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.groups import Groups
from snn_plasticity_gym.networks.lif import LIFParams
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


def grouped(size: Any, lif: LIFParams | None = None, neurons: int = 6, width: Any = 1.0) -> QuotaTask:
    """The toy with an output of groups."""
    task = QuotaTask(QuotaConfig(), 1, torch.device("cpu"))
    out = task.populations[-1]
    cell = out.lif if lif is None else lif
    task.populations = [
        *task.populations[:-1],
        dataclasses.replace(out, size=neurons, lif=cell, groups=Groups(size, width)),
    ]
    return task


@given(st.integers(-5, 40), st.integers(1, 30))
def test_groups_divide_their_population(size: int, neurons: int) -> None:
    task = grouped(size, neurons=neurons)
    if size >= 2 and neurons % size == 0:
        check_task(task, QuotaConfig(), "toys/Quota-v0")
        return
    with pytest.raises(ConfigError, match=f"at least 2 neurons and divide its {neurons}, got {size}$"):
        check_task(task, QuotaConfig(), "toys/Quota-v0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 2.0}, "divide its 6, got 2.0"),
        ({"size": 2, "width": 0.0}, "must have a positive, finite width, got 0.0"),
        ({"size": 2, "width": math.inf}, "must have a positive, finite width, got inf"),
        ({"size": 2, "width": "0.5"}, "must have a positive, finite width, got '0.5'"),
        ({"size": 2, "width": None}, "must have a positive, finite width, got None"),
        ({"size": 2, "width": torch.tensor(0.5)}, r"must have a positive, finite width, got tensor\(0.5000\)"),
        ({"size": True}, "divide its 6, got True"),
        ({"size": 2, "lif": LIFParams(refractory=2.0)}, "no refractory period, .* leave them out of its LIFParams"),
        ({"size": 2, "lif": LIFParams(theta_plus=0.1)}, "no refractory period, .* leave them out of its LIFParams"),
        ({"size": 2, "lif": LIFParams(one_spike=True)}, "no refractory period, .* leave them out of its LIFParams"),
    ],
)
def test_groups_that_cannot_be_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^the task of toys/Quota-v0: .*{message}") as caught:
        check_task(grouped(**arguments), QuotaConfig(), "toys/Quota-v0")
    assert "\n" not in str(caught.value)


def test_a_size_may_be_a_number_of_numpy() -> None:
    check_task(grouped(np.int64(3), width=np.float32(0.5)), QuotaConfig(), "toys/Quota-v0")


@pytest.mark.parametrize("given_groups", [(2, 1.0), 2])
def test_groups_have_names(given_groups: Any) -> None:
    task = grouped(2)
    task.populations[-1] = dataclasses.replace(task.populations[-1], groups=given_groups)
    with pytest.raises(ConfigError, match=r"groups of population .* must be Groups\(size, width\), got"):
        check_task(task, QuotaConfig(), "toys/Quota-v0")


def test_an_input_has_no_groups() -> None:
    task = grouped(2)
    task.populations[0] = dataclasses.replace(task.populations[0], groups=Groups(5))
    with pytest.raises(ConfigError, match="has groups and no lif; give it LIFParams"):
        check_task(task, QuotaConfig(), "toys/Quota-v0")
