"""A layer whose weights follow a formula through whole sequences of spikes, in compiled loops with their gradients.

Axes: T steps, B trials.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.kernels.formula_gradient import differentiate_trials
from snn_plasticity_gym.kernels.formula_layer import Constants, Terms, run_trials
from snn_plasticity_gym.networks.gradient_flow import Damping
from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams
from snn_plasticity_gym.rules.differentiable_formula import DifferentiableFormula
from snn_plasticity_gym.rules.sequence_loops import layer_constants, summed_gradients
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
    of_rule = {"charge": charge, "scale": rule.scale, "low": rule.low, "high": rule.high}
    values = layer_constants(neuron, dt, width, damping, weights.dtype, of_rule)
    constants = Constants(weights.dtype == torch.float64, **values)
    rows = rule.begin(weights).t().contiguous()  # a row for each neuron that is acted on
    decays = np.array(rule.decays, dtype=np.asarray(constants.one).dtype)
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
        shown, *values = (tensor.detach().numpy() for tensor in (inputs, *parameters))
        by_spikes, needs_inputs = gradients[0].contiguous().numpy(), ctx.needs_input_grad[3]

        def differentiate(first: int, last: int, into: np.ndarray, bars: list[np.ndarray]) -> None:
            differentiate_trials(first, last, shown, *values, *ctx.fixed, by_spikes, needs_inputs, into, *bars)

        return None, None, None, *summed_gradients(differentiate, inputs, parameters, needs_inputs)
