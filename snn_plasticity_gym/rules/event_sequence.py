"""A layer with a rule of events over whole sequences of spikes, in compiled loops with gradients.

Axes: T steps, B trials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.kernels import formula_gradient, formula_layer, head_gradient, head_layer
from snn_plasticity_gym.networks.gradient_flow import Damping
from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams
from snn_plasticity_gym.rules.differentiable_events import DifferentiableEvents
from snn_plasticity_gym.rules.differentiable_formula import DifferentiableFormula
from snn_plasticity_gym.rules.differentiable_head import DifferentiableHead
from snn_plasticity_gym.rules.sequence_loops import layer_constants, summed_gradients
from snn_plasticity_gym.utils.threads import spread


class Loops(NamedTuple):
    """Compiled loops of one kind of rule."""

    run: Callable[..., None]
    differentiate: Callable[..., None]
    fixed: tuple[Any, ...]  # arguments of both after inputs and parameters


def has_loops(rule: DifferentiableEvents) -> bool:
    """Whether compiled loops support a rule."""
    return isinstance(rule, DifferentiableHead) or (isinstance(rule, DifferentiableFormula) and not rule.shape)


def run_events(
    inputs: Tensor,
    weights: Tensor,
    rule: DifferentiableEvents,
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
        raise ValueError("a rule of events needs spikes: inputs must be 0 or 1; the size of a spike is charge")
    of_rule = {"charge": charge, "scale": rule.scale, "low": rule.low, "high": rule.high}
    values = layer_constants(neuron, dt, width, damping, weights.dtype, of_rule)
    constants = formula_layer.Constants(weights.dtype == torch.float64, **values)
    decays = np.array(rule.decays, dtype=np.asarray(constants.one).dtype)
    if isinstance(rule, DifferentiableFormula):
        fixed = rule.tables(), decays, constants
        loops = Loops(formula_layer.run_trials, formula_gradient.differentiate_trials, fixed)
        parameters = [rule.coefficients]
    else:
        assert isinstance(rule, DifferentiableHead)
        loops = Loops(head_layer.run_trials, head_gradient.differentiate_trials, (decays, constants))
        parameters = [rule.first, rule.last]
    rows = rule.begin(weights).t().contiguous()  # a row for each postsynaptic neuron
    of_rule_now = [parameter.to(weights.dtype).contiguous() for parameter in parameters]
    spikes: Tensor = _Sequence.apply(loops, inputs.contiguous(), rows, *of_rule_now)
    return spikes


class _Sequence(torch.autograd.Function):
    """Loops, inputs (T, B, n_pre), weights (n_post, n_pre) and parameters of the rule to spikes (T, B, n_post)."""

    @staticmethod
    def forward(ctx: Any, loops: Loops, inputs: Tensor, weights: Tensor, *of_rule: Tensor) -> Tensor:
        ctx.loops = loops
        ctx.save_for_backward(inputs, weights, *of_rule)
        shown, *values = (tensor.detach().numpy() for tensor in (inputs, weights, *of_rule))
        spikes = inputs.new_empty(*inputs.shape[:2], len(weights))  # (T, B, n_post)
        into = spikes.numpy()
        spread(lambda a, b: loops.run(a, b, shown, *values, *loops.fixed, into), inputs.shape[1])
        return spikes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, *parameters = ctx.saved_tensors
        shown, *values = (tensor.detach().numpy() for tensor in (inputs, *parameters))
        by_spikes, needs_inputs = gradients[0].contiguous().numpy(), ctx.needs_input_grad[1]
        loops: Loops = ctx.loops

        def differentiate(first: int, last: int, into: np.ndarray, bars: list[np.ndarray]) -> None:
            loops.differentiate(first, last, shown, *values, *loops.fixed, by_spikes, needs_inputs, into, *bars)

        return None, *summed_gradients(differentiate, inputs, parameters, needs_inputs)
