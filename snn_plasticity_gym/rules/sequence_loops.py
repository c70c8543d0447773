"""Arguments of compiled loops over plastic layers, and summation of their gradients over threads.

Axes: T steps, B trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.networks.gradient_flow import Damping
from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams
from snn_plasticity_gym.utils.threads import spread


def layer_constants(
    neuron: SRMAlphaParams, dt: float, width: float, damping: Damping, dtype: torch.dtype, of_rule: Mapping[str, float]
) -> dict[str, Any]:
    """Return the constants of a layer and of its rule by name, in the loops' type.

    Args:
        neuron: Constants of the neurons.
        dt: Step in ms.
        width: Of the surrogate, in thresholds.
        damping: Scaling of gradients through plasticity.
        dtype: Of the parameters.
        of_rule: Constants of the rule.
    """
    kind = np.float64 if dtype == torch.float64 else np.float32
    real = {
        **of_rule,
        "decay": math.exp(-dt / neuron.tau_syn),
        "rise": dt / neuron.tau_syn,
        "decay_ref": math.exp(-dt / neuron.tau_ref),
        "rise_ref": dt / neuron.tau_ref,
        "depth": neuron.scale_ref * neuron.v_th,
        "v_th": neuron.v_th,
        "width": width,
        "rule_share": damping.rule,
        "refractory_share": damping.refractory,
        "carry": damping.carry,
        "zero": 0.0,
        "one": 1.0,
        "e": math.e,
    }
    return {name: kind(value) for name, value in real.items()}


def summed_gradients(
    differentiate: Callable[[int, int, NDArray[Any], list[NDArray[Any]]], None],
    inputs: Tensor,
    parameters: Sequence[Tensor],
    needs_inputs: bool,
) -> tuple[Tensor | None, ...]:
    """Return the derivatives by the inputs, (T, B, n_pre), if needed, and those by the parameters.

    Args:
        differentiate: Backward pass of the trials from a first one to before a last one: fills in the derivatives by
            the inputs, an array of size 1 if not needed, and adds those by the parameters.
        inputs: (T, B, n_pre).
        parameters: Of the forward pass.
        needs_inputs: Whether derivatives by the inputs are needed.
    """
    by_inputs = torch.zeros_like(inputs) if needs_inputs else inputs.new_zeros(1, 1, 1)  # (T, B, n_pre)
    into = by_inputs.numpy()
    parts: dict[int, list[Tensor]] = {}  # of each thread, by its first trial

    def work(first: int, last: int) -> None:
        parts[first] = [torch.zeros_like(parameter) for parameter in parameters]
        differentiate(first, last, into, [part.numpy() for part in parts[first]])

    spread(work, inputs.shape[1])
    sums = [sum(some[1:], some[0]) for some in zip(*(parts[first] for first in sorted(parts)), strict=True)]
    return by_inputs if needs_inputs else None, *sums
