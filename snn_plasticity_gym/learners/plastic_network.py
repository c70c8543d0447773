"""Two layers of SRM-alpha neurons with plastic weights within a trial, trained by gradients through the plasticity.

"SpikePropamine-style": after Schmidgall et al. (2021), who published no code; layers, readout and rules are a
reconstruction (`rules.differentiable`), and their results are not claimed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from snn_plasticity_gym.config.plastic import (
    BACKPROPAMINE,
    FORMULA,
    HEAD,
    NETWORKS,
    PER_NEURON,
    PER_SYNAPSE,
    RETROACTIVE,
    STILL,
    USUAL,
    PlasticConfig,
)
from snn_plasticity_gym.config.schema import unknown
from snn_plasticity_gym.networks.differentiable import LayerState, layer_init
from snn_plasticity_gym.networks.gradient_flow import WHOLE, Damping
from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams
from snn_plasticity_gym.policies.architecture import TERM_HEAD, Architecture
from snn_plasticity_gym.policies.formula import FormulaHead, check_terms, read_term
from snn_plasticity_gym.policies.network import RuleNetwork, new_network
from snn_plasticity_gym.policies.term_head import TermHead
from snn_plasticity_gym.rules.backpropamine import Backpropamine
from snn_plasticity_gym.rules.differentiable import DifferentiableHebb
from snn_plasticity_gym.rules.differentiable_formula import DifferentiableFormula
from snn_plasticity_gym.rules.differentiable_head import DifferentiableHead
from snn_plasticity_gym.rules.plastic_sequence import SequenceRule, carry_on, run_sequence, states_of
from snn_plasticity_gym.tasks.cue_association import NUM_ANSWERS, NUM_INPUTS

NEURON = SRMAlphaParams(v_th=math.e)
"""Constants of the supplement, with a threshold that a steady trace of 1 (100 Hz) reaches at weight 1."""

INPUT_CHARGE = 0.1
"""Size of an input spike: inputs fire in up to every step, and their traces are then 1, as those of 100 Hz are."""


class EventSettings(NamedTuple):
    """Settings of networks of the kinds formula and head."""

    terms: tuple[str, ...] = ()  # of a formula; none: `default_terms`
    head_size: int = 8
    eta: float = 0.02
    limit: float = 2.0  # of |w|


USUAL_EVENTS = EventSettings()


class Spikes(NamedTuple):
    """Spikes of both layers."""

    hidden: Tensor  # (T, B, H)
    output: Tensor  # (T, B, O)


class PlasticNetwork(nn.Module):
    """Fully connected layers, input to hidden to output; the weights of both follow the same kind of plasticity rule.

    Args:
        num_inputs: I.
        hidden_size: H.
        num_outputs: O.
        kind: One of NETWORKS: no plasticity within a trial (plain; recurrent has weights among hidden neurons), or
            weights follow `DifferentiableHebb` (dp-oja, dp-bcm), neuromodulated (ndp-oja, ndp-bcm), or `Backpropamine`
            (backpropamine, backpropamine-retroactive), or both layers follow one formula of events (formula) or one
            policy head (head).
        generator: Source of the initial parameters.
        surrogate_width: In thresholds.
        damping: Scaling of gradients through plasticity.
        events: Settings of the kinds formula and head.
        coefficients: "usual", "shared", "neuron" or "synapse": as `DifferentiableHebb` and `DifferentiableFormula` have
            them; usual: "neuron", of a formula "shared".

    Raises:
        ValueError: There is no such kind, or it has no such coefficients.
        ConfigError: There is no such term.
    """

    def __init__(
        self,
        num_inputs: int,
        hidden_size: int,
        num_outputs: int,
        kind: str,
        generator: torch.Generator,
        surrogate_width: float = 0.3,
        damping: Damping = WHOLE,
        events: EventSettings = USUAL_EVENTS,
        coefficients: str = USUAL,
    ) -> None:
        super().__init__()
        if kind not in NETWORKS:
            raise ValueError(unknown("network", kind, NETWORKS))
        hidden = torch.randn(num_inputs, hidden_size, generator=generator) * (3 / num_inputs**0.5) + 4 / num_inputs
        output = torch.randn(hidden_size, num_outputs, generator=generator) / hidden_size**0.5 + 1.5 / hidden_size
        self.weights = nn.ParameterList([hidden, output])
        self.recurrent: nn.Parameter | None = None
        if kind == "recurrent":
            among = torch.randn(hidden_size, hidden_size, generator=generator)
            self.recurrent = nn.Parameter(0.3 / hidden_size**0.5 * among)
        self.rules = nn.ModuleList()
        if kind == FORMULA:
            self.rules.extend(self._formulas(events, coefficients))
        elif kind == HEAD:
            limits = -events.limit, events.limit
            head = DifferentiableHead(events.head_size, events.eta, *limits, generator=generator)
            self.rules.extend([head, head])
        elif kind not in STILL:
            of_rule = PER_NEURON if coefficients == USUAL else coefficients
            for n_pre, n_post in (hidden.shape, output.shape):
                self.rules.append(_trace_rule(kind, n_pre, n_post, of_rule, generator))
        self._width, self._damping = surrogate_width, damping

    def _formulas(self, settings: EventSettings, coefficients: str) -> list[DifferentiableFormula]:
        """Return the formula of each layer: the same one, unless each synapse has separate coefficients."""
        factors = [read_term(term, ()) for term in check_terms(settings.terms, ())]
        shapes = [tuple(weight.shape) for weight in self.weights] if coefficients == PER_SYNAPSE else [()]
        limits = -settings.limit, settings.limit
        made = [DifferentiableFormula(factors, settings.eta, *limits, shape=shape) for shape in shapes]
        return made if len(made) > 1 else made * len(self.weights)

    @property
    def num_parameters(self) -> int:
        """Number of trained parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, inputs: Tensor) -> Spikes:
        """Run trials from rest: input spikes (T, B, I) to spikes of both layers."""
        hidden = run_sequence(inputs, *self._layer(0))
        return Spikes(hidden, run_sequence(hidden, *self._layer(1)))

    def rest(self, batch: int) -> tuple[LayerState, LayerState]:
        """Return the initial states of both layers for `batch` lifetimes."""
        hidden, output = (layer_init(batch, self.weights[layer].detach(), NEURON, self.rule(layer)) for layer in (0, 1))
        return hidden, output

    def carry_on(
        self, states: tuple[LayerState, LayerState], inputs: Tensor
    ) -> tuple[Spikes, tuple[LayerState, LayerState]]:
        """Run both layers from given states through input spikes (T, B, I); gradients go back to the first step.

        The states are those of `rest` or of an earlier call.
        """
        hidden, first = carry_on(states[0], inputs, *self._layer(0))
        output, second = carry_on(states[1], hidden, *self._layer(1))
        return Spikes(hidden, output), (first, second)

    def rule(self, layer: int) -> SequenceRule | None:
        """Return the rule of a layer, 0 or 1; None: its weights are fixed."""
        if not self.rules:
            return None
        rule = self.rules[layer]
        assert isinstance(rule, SequenceRule)
        return rule

    @torch.no_grad()
    def states(self, inputs: Tensor) -> tuple[list[LayerState], list[LayerState]]:
        """Run trials step by step, and return the states of both layers after each step."""
        hidden = list(states_of(inputs, *self._layer(0)))
        spikes = torch.stack([state.spikes for state in hidden])  # (T, B, H)
        return hidden, list(states_of(spikes, *self._layer(1)))

    def _layer(
        self, layer: int
    ) -> tuple[Tensor, SequenceRule | None, SRMAlphaParams, Tensor | None, float, float, Damping, float]:
        recurrent, charge = (self.recurrent, INPUT_CHARGE) if layer == 0 else (None, 1.0)
        return self.weights[layer], self.rule(layer), NEURON, recurrent, 1.0, self._width, self._damping, charge


def _trace_rule(
    kind: str, n_pre: int, n_post: int, coefficients: str, generator: torch.Generator
) -> DifferentiableHebb | Backpropamine:
    """Return a new trace-based rule of one layer."""
    if kind in (BACKPROPAMINE, RETROACTIVE):
        return Backpropamine(n_pre, n_post, kind == RETROACTIVE, coefficients, generator)
    modulation, _, form = kind.partition("-")
    return DifferentiableHebb(n_pre, n_post, form, modulation == "ndp", coefficients, generator)


@torch.no_grad()
def as_rule(rule: DifferentiableFormula | DifferentiableHead) -> RuleNetwork:
    """Return a rule that all synapses share as the network of a rule file.

    It has one head for all synapses, and an untrained front and critic.
    """
    if isinstance(rule, DifferentiableFormula):
        terms = ["*".join(factors) for factors in rule.terms[1:]]
        shape = Architecture(formula_terms=tuple(terms), dt=rule.dt)
    else:
        terms, sizes = rule.terms, (len(rule.first),)
        shape = Architecture(formula_terms=tuple(terms), dt=rule.dt, head=TERM_HEAD, hidden_sizes=sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = new_network(shape)
    head = network.heads[0]
    if isinstance(rule, DifferentiableFormula):
        assert isinstance(head, FormulaHead)
        _fill([head.coefficients], [rule.coefficients.unsqueeze(0)])
    else:
        assert isinstance(head, TermHead)
        _fill(head.perceptron.layers, [rule.first, rule.last.unsqueeze(0)])
    return network


def _fill(layers: Sequence[nn.Linear], values: Sequence[Tensor]) -> None:
    """Set the layers' parameters, (outputs, 1 + inputs) each, biases first."""
    for layer, numbers in zip(layers, values, strict=True):
        layer.bias.copy_(numbers[:, 0])
        layer.weight.copy_(numbers[:, 1:])


def make_network(
    config: PlasticConfig, generator: torch.Generator, num_inputs: int = NUM_INPUTS, num_outputs: int = NUM_ANSWERS
) -> PlasticNetwork:
    """Return a new network; where the loss is a mean over actions, `carry_limit` is scaled likewise."""
    events = EventSettings(config.formula_terms, config.head_size, config.eta, config.weight_limit)
    of_rule = events, config.coefficients
    size = config.hidden_size or hidden_size_for(config.network, config.parameters, num_inputs, num_outputs, *of_rule)
    carry = config.carry_limit / (config.truncation if config.world else 1)
    damping = Damping(rule=config.rule_gradient, refractory=0.0, carry=carry)
    return PlasticNetwork(
        num_inputs, size, num_outputs, config.network, generator, config.surrogate_width, damping, *of_rule
    )


def hidden_size_for(
    kind: str,
    parameters: int,
    num_inputs: int,
    num_outputs: int,
    events: EventSettings = USUAL_EVENTS,
    coefficients: str = USUAL,
) -> int:
    """Return the number of hidden neurons for which the number of parameters is nearest to a given one."""

    def count(size: int) -> int:
        sizes, generator = (num_inputs, size, num_outputs), torch.Generator()
        network = PlasticNetwork(*sizes, kind, generator, events=events, coefficients=coefficients)
        return network.num_parameters

    size = 1
    while count(size + 1) <= parameters:
        size += 1
    return min((size, size + 1), key=lambda one: abs(count(one) - parameters))
