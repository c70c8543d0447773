"""Whole images by operations on all synapses at once: for devices without compiled loops, as a GPU.

The path by events lists the synapses of spiking neurons, so in every time step the CPU waits for the spikes from the
GPU. Here a weight change is computed for every synapse, and those without an event keep their weight: more arithmetic,
which is cheap on a GPU, and no synchronisation until the image is over. Spikes are equal, weights up to rounding.

Axes: B lifetimes, T steps, I pre and O post neurons of a projection, N neurons of a population.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.envs.compiled_networks import not_finite
from snn_plasticity_gym.envs.parts import EngineParts
from snn_plasticity_gym.envs.ways import Frozen, closed_form_of
from snn_plasticity_gym.networks.activity import NetworkActivity
from snn_plasticity_gym.networks.populations import Projection
from snn_plasticity_gym.plasticity.running_traces import RunningTraces
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.closed_form import ClosedForm
from snn_plasticity_gym.rules.dense import (
    FormVectors,
    Side,
    answer_closed_form,
    answer_formula,
    dense_formulas,
    form_vectors,
    formula_sums,
)
from snn_plasticity_gym.rules.whole_formula import WholeFormula, has_formula
from snn_plasticity_gym.tasks.base import Task

DenseWay = ClosedForm | WholeFormula | Frozen
"""How whole images are simulated here."""


def dense_way_of(
    rule: Rule, config: EnvironmentConfig, task: Task, scalars: Sequence[str], non_plastic: Tensor
) -> DenseWay | None:
    """Return how to apply a rule to whole images, all synapses at once; arguments as in `way_of`.

    None, if the rule must be called with events: in closed loops, where events have separate rewards or two phases,
    where only some of the lifetimes are plastic, and for rules that are neither in closed form nor a formula.
    """
    whole = task.open_loop and task.record_steps == task.num_steps and not task.rewards_events
    if not whole or config.event_kinds == "split":
        return None
    if non_plastic.any():
        return Frozen() if non_plastic.all() else None
    form = closed_form_of(rule, config, task)
    if form is not None:
        return form
    formula = rule.whole_formula() if has_formula(rule) else None
    return formula if formula is not None and formula.fits(scalars, len(task.groups)) else None


class Limits(NamedTuple):
    """Scale and limits of a projection's weight changes."""

    scale: float  # weight change of delta_d = 1
    low: float
    high: float
    autapses: bool
    uses_eligibility: bool  # changes are added to eligibility, not to the weights


class Update(NamedTuple):
    """Result of the weight changes of a step."""

    weights: Tensor  # (B, I, O) afterwards; with eligibility, the changes
    sums: Tensor  # float64 (3,) of the changes made: sum, squares, rises
    wrong: Tensor  # bool (B,): a weight change was not finite


def apply_output(limits: Limits, weights: Tensor, output: Tensor, pre: Tensor, post: Tensor, pace: Tensor) -> Update:
    """Apply the output of a rule to the weights of synapses with an event, (B, I, O).

    Args:
        limits: Of the projection.
        weights: (B, I, O).
        answer: delta_d of every synapse, (B, I, O).
        pre: Pre spikes that are events, bool (B, I).
        post: Post spikes that are events, bool (B, O).
        pace: Factor of the learning rates, (B, 1, 1).
    """
    events = pre.unsqueeze(2) | post.unsqueeze(1)  # (B, I, O)
    if not limits.autapses:
        events = events & ~torch.eye(pre.shape[1], dtype=torch.bool, device=events.device)
    wrong = (events & ~output.isfinite()).flatten(1).any(dim=1)
    change = limits.scale * pace * output.clamp(-1.0, 1.0)
    if limits.uses_eligibility:
        return Update(torch.where(events, change, 0.0), torch.zeros(3, dtype=torch.float64, device=pre.device), wrong)
    after = torch.where(events, (weights + change).clamp(limits.low, limits.high), weights)
    update = after - weights
    wide = {"dtype": torch.float64}
    return Update(
        after, torch.stack([update.sum(**wide), update.square().sum(**wide), (update > 0).sum(**wide)]), wrong
    )


def apply_closed_form(
    form: ClosedForm, limits: Limits, weights: Tensor, vectors: FormVectors, *events: Tensor
) -> Update:
    """Apply a rule in closed form to weights; `events` as in `apply_output`."""
    return apply_output(limits, weights, answer_closed_form(form, weights, vectors), *events)


def apply_formula(
    exponents: Sequence[int], squashed: bool, limits: Limits, weights: Tensor, sums: Sequence[Tensor], *events: Tensor
) -> Update:
    """Apply a formula to weights; `events` as in `apply_output`."""
    return apply_output(limits, weights, answer_formula(exponents, squashed, weights, sums), *events)


@functools.cache
def fused(function: Callable[..., Update]) -> Callable[..., Update]:
    """Return a function with fused operations on synapses: weights are then read once in a step."""
    return torch.compile(function)


class DensePlasticity:
    """Changes the weights of all lifetimes in the steps of an image by a rule.

    Args:
        parts: Of the engine.
        way: The rule.
        pace: Factor of the learning rates by the age of each lifetime, float32 (B,).
        changes: Statistics of weight changes to add to, float64 (4, heads); see `WeightChanges`.
        fuses: Whether operations on synapses are fused (`torch.compile`).
    """

    def __init__(
        self,
        parts: EngineParts,
        way: ClosedForm | WholeFormula,
        pace: Tensor,
        changes: Tensor,
        fuses: bool,
    ) -> None:
        network, config = parts.network, parts.config
        self._network, self._task = network, parts.task
        self._eligibility, self._scalars = parts.modulation.eligibility, parts.scalars
        self._at_pre, self._at_post = parts.event_sides
        self._plastic = [p for p in network.projections if p.plasticity is not None]
        names = dict.fromkeys(name for p in self._plastic for name in (p.source, p.target))
        raster = parts.recorder.record.raster
        self._traces = {name: RunningTraces(raster[name], config.history_length, config.dt) for name in names}
        self._form = way if isinstance(way, ClosedForm) else None
        self._formulas = dense_formulas(way, network.device) if isinstance(way, WholeFormula) else []
        self._thresholds = {name: torch.zeros_like(raster[name][:, 0], dtype=torch.float32) for name in names}
        self._pace = pace.to(network.device).view(-1, 1, 1)  # (B, 1, 1)
        self._changes = changes
        self._by_form, self._by_formula = apply_closed_form, apply_formula
        if fuses:
            self._by_form, self._by_formula = fused(apply_closed_form), fused(apply_formula)
        self._events = torch.zeros(network.num_networks, dtype=torch.int64, device=network.device)  # (B,)
        self._wrong = self._events > 0  # (B,)

    def learn(self, step: int, activity: NetworkActivity) -> None:
        """Update the weights for the events of a step."""
        form = self._form
        if form is not None and form.tau_theta > 0:
            keep = math.exp(-form.dt / form.tau_theta)
            for name, threshold in self._thresholds.items():
                y = self._traces[name](form.tau_post_fast, form.nearest)
                threshold.mul_(keep).add_(y.square(), alpha=1.0 - keep)
        factors = self._task.factors() if form is not None and form.signed else {}
        for index, projection in enumerate(self._plastic):
            self._update(index, projection, activity, factors, step)
        for traces in self._traces.values():
            traces.follow()

    def end(self) -> Tensor:
        """Return the number of events of each lifetime, int64 (B,).

        Raises:
            NotFiniteError: A weight change was not finite.
        """
        if self._wrong.any():
            raise not_finite(int(self._wrong.nonzero()[0]))
        return self._events

    def _update(
        self, index: int, projection: Projection, activity: NetworkActivity, factors: Mapping[str, Tensor], step: int
    ) -> None:
        plasticity = projection.plasticity
        assert plasticity is not None
        pre = self._side(projection.source, activity, self._at_pre)
        post = self._side(projection.target, activity, self._at_post)
        weights = self._network.weights_of(projection.name)  # (B, I, O)
        uses_eligibility = self._eligibility is not None
        limits = Limits(plasticity.scale, plasticity.w_min, plasticity.w_max, projection.autapses, uses_eligibility)
        events = pre.event_spikes, post.event_spikes, self._pace
        scalar = functools.partial(self._scalars.of_projection, index, projection.target)
        if self._form is not None:
            third_factor = factors.get(projection.target)
            factor = (
                torch.zeros_like(activity.potentials[projection.target]) if third_factor is None else third_factor
            )  # (B, O)
            psi = scalar("surrogate") if self._form.factor_surrogate else None
            vectors = form_vectors(self._form, pre, post, factor, psi, self._thresholds[projection.target])
            update = self._by_form(self._form, limits, weights, vectors, *events)
        else:
            formula = self._formulas[plasticity.group]
            sums = [*formula_sums(formula, pre, post, scalar), formula.constant]
            exponents = tuple(power.exponent for power in formula.powers)
            update = self._by_formula(exponents, formula.squashed, limits, weights, sums, *events)
        self._wrong.logical_or_(update.wrong)
        count = self._count(projection, pre.event_spikes, post.event_spikes)  # (B,)
        self._events.add_(count)
        if self._eligibility is not None:
            self._eligibility.hold_part(projection.name, update.weights, step)
            return
        weights.copy_(update.weights)
        self._changes[0, plasticity.group] += count.sum()
        self._changes[1:, plasticity.group] += update.sums

    def _side(self, name: str, activity: NetworkActivity, event_spikes: bool) -> Side:
        spikes = activity.spikes[name]
        return Side(spikes, spikes if event_spikes else torch.zeros_like(spikes), self._traces[name])

    @staticmethod
    def _count(projection: Projection, pre: Tensor, post: Tensor) -> Tensor:
        """Return the number of events of a projection, int64 (B,), from the spikes that are events."""
        first, last = pre.sum(dim=1), post.sum(dim=1)  # (B,)
        events = first * post.shape[1] + last * pre.shape[1] - first * last
        return events if projection.autapses else events - (pre | post).sum(dim=1)


class DenseImages:
    """Presents images to all lifetimes of an engine, all synapses at once.

    Args:
        play: Advances the networks by a time step of the image.
        parts: Of the engine.
    """

    def __init__(self, play: Callable[[int], NetworkActivity], parts: EngineParts) -> None:
        self._play, self._parts = play, parts
        self.fuses = parts.network.device.type != "cpu"  # where compiling is worthwhile

    def show(self, way: DenseWay, pace: Tensor, changes: Tensor) -> tuple[Tensor, None]:
        """Simulate an image from its first step to its last, as `CompiledImages.show`.

        Returns:
            Number of events of each lifetime, int64 (B,), and None: there are no rewards within an image.
        """
        network, num_steps = self._parts.network, self._parts.task.num_steps
        if isinstance(way, Frozen):
            for step in range(num_steps):
                self._play(step)
            return torch.zeros(network.num_networks, dtype=torch.int64, device=network.device), None
        plasticity = DensePlasticity(self._parts, way, pace, changes, self.fuses)
        for step in range(num_steps):
            plasticity.learn(step, self._play(step))
        return plasticity.end(), None
