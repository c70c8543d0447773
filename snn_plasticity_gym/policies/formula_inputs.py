"""What formulas see of a batch of events: terms, written out where they are asked for, and summed by a loop where not.

Axes: E events, H histories, G groups, K terms, M products of scalars, S scalars.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.kernels.formula import sum_terms
from snn_plasticity_gym.plasticity.events import KIND_POST, KIND_PRE, NUM_KINDS, LocalState
from snn_plasticity_gym.policies.head_inputs import DenseInputs, HeadInputs, OwnLayer
from snn_plasticity_gym.rules.distilled import Factors, FactorTable, time_constant
from snn_plasticity_gym.rules.traces import Traces

Array = NDArray[Any]


class TermLayout:
    """Which factors each term has, as `sum_terms` wants it.

    Args:
        terms: Factors of each, which are known to exist.
        dt: Length of a time step, ms.
        extra_names: Further scalars of the environment.
    """

    def __init__(self, terms: Sequence[Factors], dt: float, extra_names: Sequence[str]) -> None:
        self.terms, self.dt, self.extra_names = terms, dt, extra_names
        silent = {"pre": KIND_POST, "post": KIND_PRE}  # the kind of event in which that neuron does not fire
        self.fires = np.array(
            [[all(silent.get(name) != kind for name in term) for term in terms] for kind in range(NUM_KINDS)]
        )  # (kinds, K)
        self.power = np.array([term.count("w") for term in terms])  # (K,)
        counts = [tuple(Counter(term)[name] for name in extra_names) for term in terms]
        products = list(dict.fromkeys([(0,) * len(extra_names), *counts]))
        self.product = np.array([products.index(count) for count in counts])  # (K,)
        self.exponents = np.array(products, dtype=np.int64).reshape(len(products), len(extra_names))  # (M, S)

    def dense(self, state: LocalState) -> Tensor:
        """Return the terms of each event, (E, K)."""
        table = FactorTable(state, self.dt, self.extra_names)
        values = state.weight.new_empty(len(state.weight), len(self.terms))
        for place, factors in enumerate(self.terms):
            values[:, place] = table(factors)
        return values

    def traces(self, state: LocalState) -> tuple[Array, Array]:
        """Return the product of each term's traces of the pre and of the post neuron, by history: (H, K) each."""
        traces = Traces(state, self.dt)
        known: dict[float, Array] = {}  # by time constant
        sides = {side: np.ones((len(state.histories), len(self.terms))) for side in "xy"}
        for place, factors in enumerate(self.terms):
            for name in factors:
                if name[0] in sides and name not in self.extra_names:
                    tau = time_constant(name)
                    if tau not in known:
                        known[tau] = traces.exponential(tau).numpy()
                    sides[name[0]][:, place] *= known[tau]
        return sides["x"], sides["y"]


class FormulaInputs:
    """Terms of a batch of events on the CPU, which a compiled loop sums up without writing them out.

    Args:
        layout: Of the terms.
        state: Local states of the events.
    """

    def __init__(self, layout: TermLayout, state: LocalState) -> None:
        self._layout = layout
        self._state = state

    def rows(self, some: slice) -> Tensor:
        """Return the terms of some events, (M, K)."""
        columns = ("pair", "weight", "group", "kind", "extras")
        return self._layout.dense(self._state._replace(**{name: getattr(self._state, name)[some] for name in columns}))

    def by_lifetime(self, heads: Sequence[Sequence[OwnLayer]], lengths: Tensor) -> Tensor:
        """Answer each event by the formula of its group and lifetime, whose events stand together: (E,), in [-1, 1]."""
        layout, state = self._layout, self._state
        layers = [torch.cat([head[0].weights[:, :, 0], head[0].bias[:, :, 0]], dim=1) for head in heads]  # (B, K + 1)
        sums = torch.empty_like(state.weight)
        sum_terms(
            torch.stack(layers, dim=1).double().numpy(),
            layout.fires,
            *layout.traces(state),
            layout.power,
            layout.product,
            layout.exponents,
            *(getattr(state, name).numpy() for name in ("pair_pre", "pair_post", "pair", "kind", "weight", "group")),
            state.extras.numpy(),
            lengths.numpy(),
            sums.numpy(),
        )
        return torch.tanh_(sums)


def formula_inputs(layout: TermLayout, state: LocalState) -> HeadInputs:
    """Return what formulas see of a batch of events."""
    if state.weight.device.type == "cpu":
        return FormulaInputs(layout, state)
    return DenseInputs(layout.dense(state), state.group)
