"""A layer whose weights follow a formula through whole sequences of spikes, in compiled loops with their gradients.

Axes: T steps, B trials.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.kernels.formula_gradient import differentiate_trials
from snn_plasticity_gym.kernels.formula_layer import Constants, Terms, run_trials
from snn_plasticity_gym.networks.gradient_flow import Damping
from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams
from snn_plasticity_gym.rules.differentiable_formula import DifferentiableFormula
from snn_plasticity_gym.utils.threads import spread


def run_formula(
    inputs: Tensor,
    weights: Tensor,
    rule: DifferentiableFormula,
    neuron: SRMAlphaParams,
    dt: float,
    width: float,
    damping: Damping,
    charge: float,
) -> Tensor:
    """Run a layer from rest through T steps; arguments as those of `run_sequence`: (T, B, n_pre) -> (T, B, n_post).

    Raises:
        ValueError: Inputs are not spikes.
    """
    if not ((inputs == 0) | (inputs == 1)).all():
        raise ValueError("a formula answers spikes: inputs must be 0 or 1; what a spike counts is charge")
    kind = np.float64 if weights.dtype == torch.float64 else np.float32
    real = {
        "charge": charge,
        "scale": rule.scale,
        "low": rule.low,
        "high": rule.high,
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
    constants = Constants(kind is np.float64, **{name: kind(value) for name, value in real.items()})
    rows = rule.begin(weights).t().contiguous()  # a row for each neuron that is acted on
    decays = np.array(rule.decays, dtype=kind)
    spikes: Tensor = _Sequence.apply(
        constants, rule.tables(), decays, inputs.contiguous(), rows, rule.coefficients.to(weights.dtype)
    )
    return spikes


class _Sequence(torch.autograd.Function):
    """Constants, tables, decays, inputs (T, B, n_pre), weights (n_post, n_pre) and coefficients (K,) to spikes."""

    @staticmethod
    def forward(
        ctx: Any,
        constants: Constants,
        terms: Terms,
        decays: np.ndarray,
        inputs: Tensor,
        weights: Tensor,
        coefficients: Tensor,
    ) -> Tensor:
        ctx.fixed = terms, decays, constants
        ctx.save_for_backward(inputs, weights, coefficients)
        shown, *values = (tensor.detach().numpy() for tensor in (inputs, weights, coefficients))
        spikes = inputs.new_empty(*inputs.shape[:2], len(weights))  # (T, B, n_post)
        into = spikes.numpy()
        spread(lambda a, b: run_trials(a, b, shown, *values, terms, decays, constants, into), inputs.shape[1])
        return spikes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, *parameters = ctx.saved_tensors
        needs_inputs = ctx.needs_input_grad[3]
        by_inputs = torch.zeros_like(inputs) if needs_inputs else inputs.new_zeros(1, 1, 1)  # (T, B, n_pre)
        shown, *values = (tensor.detach().numpy() for tensor in (inputs, *parameters))
        by_spikes, into = gradients[0].contiguous().numpy(), by_inputs.numpy()
        parts: dict[int, list[Tensor]] = {}  # of each thread its own, by its first trial

        def work(first: int, last: int) -> None:
            parts[first] = [torch.zeros_like(parameter) for parameter in parameters]
            bars = [part.numpy() for part in parts[first]]
            differentiate_trials(first, last, shown, *values, *ctx.fixed, by_spikes, needs_inputs, into, *bars)

        spread(work, inputs.shape[1])
        sums = [sum(some[1:], some[0]) for some in zip(*(parts[first] for first in sorted(parts)), strict=True)]
        return None, None, None, by_inputs if needs_inputs else None, *sums
