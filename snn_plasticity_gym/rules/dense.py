"""Dense evaluation of rules: for every synapse of a projection at once, with or without an event.

The compiled loops over synapses of firing neurons (`kernels/closed_form.py`, `kernels/formula_images.py`) as torch
operations on whole matrices of weights: more arithmetic, but independent of the spikes, so a GPU never synchronises.
Outputs at synapses without an event are meaningless.

All neuron variables are computed first, as vectors; the rest per synapse is a chain of operations without a branch,
which a compiler can fuse.

Axes: B lifetimes, I pre and O post neurons, k terms of a formula, L lifetimes with separate coefficients, or 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from snn_plasticity_gym.plasticity.running_traces import RunningTraces
from snn_plasticity_gym.rules.closed_form import ClosedForm
from snn_plasticity_gym.rules.factors import Factors, is_trace, time_constant
from snn_plasticity_gym.rules.whole_formula import WholeFormula


class Side(NamedTuple):
    """The neurons at one end of a projection in a time step."""

    spikes: Tensor  # bool (B, N)
    event_spikes: Tensor  # bool (B, N): spikes that cause events
    traces: RunningTraces  # of strictly earlier spikes


Scalar = Callable[[str], Tensor]
"""Local scalar by name, of the post neurons (B, O), or the same for all (B, 1)."""


class FormVectors(NamedTuple):
    """Neuron variables of a rule in closed form; see `rules.closed_form`."""

    x: Tensor  # (B, I)
    fall: Tensor  # (B, I) S at an event, else 0
    y: Tensor  # (B, O)
    part: Tensor  # (B, O) P, or of a rule with a third factor the factor, with its surrogate
    fires: Tensor  # (B, O) 1 at an event, else 0


def form_vectors(
    form: ClosedForm, pre: Side, post: Side, factor: Tensor, surrogate: Tensor | None, threshold: Tensor
) -> FormVectors:
    """Compute the neuron variables.

    Args:
        form: The rule's coefficients.
        pre: Pre neurons.
        post: Post neurons.
        factor: Third factor of the post neurons, (B, O).
        surrogate: Of their spikes, (B, O); None: the rule uses none.
        threshold: Running mean of the squared post traces, theta, (B, O).
    """
    fires = post.event_spikes.float()
    x = pre.traces(form.tau_pre_fast, form.nearest)
    if form.coincident or form.signed:  # the present spike counts
        x = torch.where(pre.spikes, 1.0, x) if form.nearest else x + pre.spikes
    if form.signed:
        modulator = factor if surrogate is None else factor * surrogate
        x = x if form.factor_trace else torch.ones_like(x)
        x = x if form.factor_at_post else x * pre.event_spikes
        return FormVectors(x * (form.g / form.scale), x, modulator, modulator, fires)
    y = post.traces(form.tau_post_fast, form.nearest)
    part = form.p + form.p_fast * y - form.p_theta * threshold
    if form.p_slow:
        part = part + form.p_slow * post.traces(form.tau_post_slow, form.nearest)
    fall = form.s * pre.event_spikes
    if form.s_slow:
        fall = fall + form.s_slow * pre.traces(form.tau_pre_slow, form.nearest) * pre.event_spikes
    return FormVectors(x, fall, y, part, fires)


def answer_closed_form(form: ClosedForm, weights: Tensor, vectors: FormVectors) -> Tensor:
    """Return delta_d of every synapse, (B, I, O)."""
    x, part = vectors.x.unsqueeze(2), vectors.part.unsqueeze(1)  # (B, I, 1), (B, 1, O)
    if form.signed:
        return x * part
    strength = weights.abs()  # (B, I, O)
    y, fires = vectors.y.unsqueeze(1), vectors.fires.unsqueeze(1)  # (B, 1, O)
    drive = (x * part - form.q - form.r * y * strength) * fires
    change = _bounded(form, strength, drive, vectors.fall.unsqueeze(2) * y) if form.bounded else drive
    change = torch.maximum(change, (form.smallest - strength).clamp(max=0.0))
    turned = torch.zeros_like(change) if form.fixed_inhibition else -change
    return torch.where(weights < 0, turned, change) / form.scale


def _bounded(form: ClosedForm, strength: Tensor, drive: Tensor, fall: Tensor) -> Tensor:
    """Return the change of |w| within its limits, post spike first, (B, I, O)."""
    u = strength / form.w_max
    room = (1.0 - u).clamp(min=0.0)
    shape = room**form.mu_plus
    if form.soft:
        shape = torch.where(drive < 0, u**form.mu_minus, shape)
    up = torch.minimum(drive * shape, room)
    raised = u + up
    down = torch.minimum(raised.clamp(min=0.0) ** form.mu_minus * fall, raised)
    return form.w_max * (up - torch.where(fall > 0, down, 0.0))


class Power(NamedTuple):
    """The terms of a formula with a given power of the weight."""

    exponent: int
    terms: Sequence[Factors]
    coefficients: Tensor  # (L, 1, k)


class DenseFormula(NamedTuple):
    """A formula of one group."""

    constant: Tensor  # c_0, (L, 1, 1)
    powers: Sequence[Power]
    extra_names: Sequence[str]  # further scalars
    squashed: bool  # delta_d is tanh of the sum


def dense_formulas(formula: WholeFormula, device: torch.device) -> list[DenseFormula]:
    """Return a formula's part for each group, with its coefficients by powers of the weight."""
    coefficients = torch.from_numpy(formula.coefficients).to(device, torch.float32)  # (L, G, K + 1)
    exponents = [factors.count("w") for factors in formula.terms]
    whole = []
    for group in range(coefficients.shape[1]):
        powers = []
        for exponent in sorted(set(exponents)):
            some = [k for k, own in enumerate(exponents) if own == exponent]
            terms = [formula.terms[k] for k in some]
            powers.append(Power(exponent, terms, coefficients[:, group, some].unsqueeze(1)))
        constant = coefficients[:, group, -1].view(-1, 1, 1)
        whole.append(DenseFormula(constant, powers, formula.extra_names, formula.squashed))
    return whole


def formula_sums(formula: DenseFormula, pre: Side, post: Side, scalar: Scalar) -> list[Tensor]:
    """Return the sum of the terms of each power of the weight, without the weight, (B, I, O) each.

    All factors but the weight belong to one of the two neurons, so it is a product of two matrices.
    """
    sums = []
    for _, terms, coefficients in formula.powers:
        first = torch.stack([_product(own, "pre", "x", pre) for own in terms], dim=2)  # (B, I, k)
        last = []
        for own in terms:
            product = _product(own, "post", "y", post)  # (B, O)
            for name in own:
                product = product * scalar(name) if name in formula.extra_names else product
            last.append(product)
        sums.append(torch.bmm(first * coefficients, torch.stack(last, dim=1)))  # (B, I, O)
    return sums


def answer_formula(exponents: Sequence[int], squashed: bool, weights: Tensor, sums: Sequence[Tensor]) -> Tensor:
    """Return delta_d of every synapse, (B, I, O).

    Args:
        exponents: Powers of the weight.
        squashed: Whether delta_d is tanh of the sum.
        weights: (B, I, O).
        sums: Factor of each power, and c_0 last, (B, I, O) or (L, 1, 1).
    """
    total = sums[-1].expand_as(weights)
    for exponent, summed in zip(exponents, sums[:-1], strict=True):
        total = total + (summed * weights**exponent if exponent else summed)
    return torch.tanh(total) if squashed else total


def _product(factors: Factors, fires: str, letter: str, side: Side) -> Tensor:
    """Return the product of those factors that belong to one side, (B, N)."""
    product = torch.ones_like(side.event_spikes, dtype=torch.float32)
    for name in factors:
        if name == fires:
            product = product * side.event_spikes
        elif name[0] == letter and is_trace(name):
            product = product * side.traces(time_constant(name))
    return product
