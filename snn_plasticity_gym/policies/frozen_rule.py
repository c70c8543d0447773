"""A frozen learned rule for acting, independent of any trainer."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.plasticity.events import LocalState, SynapseEvents, per_event
from snn_plasticity_gym.policies.dense_events import DenseEvents, read_events
from snn_plasticity_gym.policies.formula import FormulaHead
from snn_plasticity_gym.policies.formula_terms import FrozenTerms, OwnFormulas
from snn_plasticity_gym.policies.frozen_heads import FrozenHeads
from snn_plasticity_gym.policies.head_inputs import HeadInputs, OwnLayer
from snn_plasticity_gym.policies.heads import Readout
from snn_plasticity_gym.policies.network import FrozenFeatures, RuleNetwork
from snn_plasticity_gym.policies.spike_features import FrozenSpikeFeatures
from snn_plasticity_gym.policies.whole_heads import OwnHeads, shared_layers, whole_heads
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.whole_formula import WholeFormula
from snn_plasticity_gym.rules.whole_heads import WholeHeads


class Acting(Protocol):
    """An implementation of a rule's output; all agree up to rounding."""

    def __call__(self, state: LocalState) -> Tensor:
        """Return the mean weight change of each event, (E,)."""


class LayerByLayer:
    """Evaluates the network layer by layer, on any device.

    Args:
        network: The network.
        features: Input features of its heads.
    """

    def __init__(self, network: RuleNetwork, features: FrozenFeatures) -> None:
        self._network = network
        self._features = features

    def __call__(self, state: LocalState) -> Tensor:
        """Return the mean weight change of each event, (E,)."""
        return self._network.act(self._features, state)


class PiecewiseLinear:
    """Evaluates heads with two hidden layers as piecewise linear functions of a pair of histories, on the CPU.

    Args:
        network: The network; see `FrozenHeads.possible`.
        features: Input features of its heads.
    """

    def __init__(self, network: RuleNetwork, features: FrozenSpikeFeatures) -> None:
        self._heads = FrozenHeads(network)
        self._front = features.front

    def __call__(self, state: LocalState) -> Tensor:
        """Return the mean weight change of each event, (E,)."""
        return self._heads(self._front.of_state(state), state)


class SummedTerms:
    """Evaluates a formula without writing its terms out, on the CPU.

    Args:
        heads: Coefficients of each group.
        features: Terms of the formula.
    """

    def __init__(self, heads: list[FormulaHead], features: FrozenTerms) -> None:
        self._terms = features.terms
        self._coefficients = coefficients_of(heads)

    def __call__(self, state: LocalState) -> Tensor:
        """Return the mean weight change of each event, (E,)."""
        return torch.tanh_(self._terms.sums(self._coefficients, state, torch.tensor([len(state.pair)])))


class FrozenRule:
    """A policy's mean weight change as a rule: a snapshot, with the front's table built once.

    Args:
        network: Front and heads, copied.
        history_length: K.
    """

    def __init__(self, network: RuleNetwork, history_length: int) -> None:
        self.network = copy.deepcopy(network).eval()
        self.history_length = history_length
        self._features = self.network.head_features.frozen(history_length)
        self._act = fastest_implementation(self.network, self._features)

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the mean weight change of each event, (E,).

        Raises:
            ConfigError: The events have another history length, or other scalars, than the rule's.
        """
        state = events.local_state()
        self._check(state)
        return self._act(state)

    @torch.no_grad()
    def delta_d(self, history: Any, weight: Any, kind: Any = None, group: Any = None, extras: Any = None) -> Any:
        """Return the mean weight change of events given as plain arrays or tensors, a row each.

        Args:
            history: Spikes of the pre and of the post neuron, 0 or 1, oldest step first and the present one last,
                (E, 2, K).
            weight: Before the event, (E,).
            kind: 0: the pre neuron fires now, 1: the post neuron, 2: both, (E,); None: from the history.
            group: Policy head, (E,); None: the only one.
            extras: Further scalars, (E, X), in the order of `extra_keys`; None: the rule has none.

        Returns:
            float32 (E,), a tensor if `history` is one, else an array.

        Raises:
            ConfigError: An argument is missing or does not fit the rule.
        """
        events = read_events(self.network.architecture, history, weight, kind, group, extras)
        device = self.network.critic.first.weight.device
        state = DenseEvents(*(column.to(device) for column in events)).local_state()
        self._check(state)
        output = self._act(state).float()
        return output if isinstance(history, Tensor) else output.cpu().numpy()

    def whole_formula(self) -> WholeFormula | None:
        """Return the rule as a formula; None: it is none."""
        if not isinstance(self._features, FrozenTerms):
            return None
        heads = cast(list[FormulaHead], list(self.network.heads))
        return self._features.terms.whole_formula(coefficients_of(heads))

    def whole_heads(self) -> WholeHeads | None:
        """Return front and heads for compiled loops; None: the rule is of another form, or loops do not support it."""
        return self._whole_heads

    @functools.cached_property
    def _whole_heads(self) -> WholeHeads | None:
        if not isinstance(self._act, PiecewiseLinear):
            return None
        front = cast(FrozenSpikeFeatures, self._features).front
        return whole_heads(self.network.architecture, front, shared_layers(self.network), own=False)

    def of_lifetimes(self, heads: Sequence[Sequence[OwnLayer]]) -> Rule | None:
        """Return the rule with per-lifetime layers, for whole episodes; None: loops do not support it.

        Args:
            heads: Layers of each head.
        """
        if isinstance(self._features, FrozenTerms):
            return OwnFormulas(self._features.terms, heads)
        if isinstance(self._act, PiecewiseLinear):
            return OwnHeads(self.network.architecture, cast(FrozenSpikeFeatures, self._features), heads)
        return None

    def inputs(self, state: LocalState) -> HeadInputs:
        """Return the inputs of the heads for each event."""
        return self._features.inputs(state)

    def explore(self, events: SynapseEvents, readout: Readout | None, measure: bool = True) -> tuple[Tensor, Tensor]:
        """Act with `readout` added to the last layers of every lifetime; see `RuleNetwork.explore`."""
        lifetimes = torch.arange(len(events.lengths), device=events.lengths.device)
        lifetime = per_event(lifetimes, events.lengths)  # (E,)
        return self.network.explore(self._features, events.local_state(), lifetime, readout, measure)

    def _check(self, state: LocalState) -> None:
        shape = self.network.architecture
        if state.history_length != self.history_length and not shape.sees_terms:
            raise ConfigError(
                f"this rule needs histories of {self.history_length} steps, got {state.history_length}; call "
                f"rule.frozen({state.history_length}) for one of that length, or make the environment with "
                f"history_length={self.history_length}"
            )
        if len(state.group) and int(state.group.max()) >= shape.num_groups:
            raise ConfigError(
                f"the number of this rule's heads is {shape.num_groups}, and events are of more groups of synapses; "
                "call rule.for_groups with the names of all groups, if it is 1, or make the environment that the rule "
                "was trained in"
            )
        if state.extras.shape[1] != len(shape.extra_keys):
            names = ", ".join(shape.extra_keys) or "none"
            raise ConfigError(
                f"this rule has {len(shape.extra_keys)} scalars besides the weight ({names}), the events have "
                f"{state.extras.shape[1]}; make the environment with the settings that the rule was trained with"
            )


def coefficients_of(heads: list[FormulaHead]) -> np.ndarray:
    """Return c of each group, c_0 last, float64 (1, G, K + 1)."""
    rows = [torch.cat([head.coefficients.weight[0], head.coefficients.bias]) for head in heads]  # (K + 1,) each
    return torch.stack(rows).unsqueeze(0).detach().double().cpu().numpy()


def fastest_implementation(network: RuleNetwork, features: FrozenFeatures) -> Acting:
    """Return the fastest implementation for a network."""
    if isinstance(features, FrozenTerms) and network.front.conv1.weight.device.type == "cpu":
        return SummedTerms(list(network.heads), features)  # type: ignore[arg-type]
    if isinstance(features, FrozenSpikeFeatures) and FrozenHeads.possible(network):
        return PiecewiseLinear(network, features)
    return LayerByLayer(network, features)
