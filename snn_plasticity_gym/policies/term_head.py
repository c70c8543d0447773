"""Heads over terms: a perceptron of spikes, traces and the weight, in place of front and heads.

    delta_d = tanh(f(phi_1, ..., phi_K)),    phi_k a product of factors as in `rules.distilled`

with a separate multilayer perceptron f for each group; a formula is the case of linear f. Inputs of such a head are
updated from step to step, without a history, so gradients can pass through whole trials of a plastic network
(`rules.differentiable_head`), where front and heads would process the last K steps of every pair of neurons anew.

Axes: E events, M some of them, K terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from snn_plasticity_gym.plasticity.events import LocalState
from snn_plasticity_gym.policies.formula_terms import FormulaTerms, TermView
from snn_plasticity_gym.policies.head_inputs import DenseInputs, HeadInputs, Rows
from snn_plasticity_gym.policies.heads import Head


class TermHead(nn.Module):
    """The perceptron of one group, with ReLU between its layers.

    Args:
        num_terms: K.
        hidden_sizes: Widths of the hidden layers.
        output_gain: Of the last layer's orthogonal initialisation; see `Head`.
    """

    def __init__(self, num_terms: int, hidden_sizes: Sequence[int], output_gain: float) -> None:
        super().__init__()
        self.perceptron = Head(0, num_terms, hidden_sizes, output_gain)  # without h, with the terms as scalars

    def of_inputs(self, inputs: Tensor) -> Tensor:
        """Return one number per event, (E,), from its terms (E, K)."""
        return self.perceptron.of_inputs(inputs)

    def answers(self, view: TermView) -> Callable[[Rows], Tensor]:
        """Return a function from event indices to outputs, -> (M,)."""
        return lambda rows: self.of_inputs(view.terms[rows])


class HeadTerms:
    """Computes the terms of events as inputs of heads.

    Args:
        terms: Of the events.
    """

    def __init__(self, terms: FormulaTerms) -> None:
        self._terms = terms

    def view(self, features: Tensor, state: LocalState) -> TermView:
        """Return the terms of each event; h of its pair of histories, (P, F), is for the critic only."""
        return self._terms.view(features, state)

    def frozen(self, history_length: int) -> FrozenHeadTerms:
        """Return a frozen copy for acting; histories may have any length."""
        del history_length
        return FrozenHeadTerms(self._terms)


class FrozenHeadTerms:
    """Computes terms for acting.

    Args:
        terms: Of the events.
    """

    def __init__(self, terms: FormulaTerms) -> None:
        self._terms = terms

    def view(self, state: LocalState) -> TermView:
        """Return the terms of each event."""
        return TermView(self._terms.dense(state))

    def inputs(self, state: LocalState) -> HeadInputs:
        """Return the terms of each event, for per-lifetime heads."""
        return DenseInputs(self._terms.dense(state), state.group)
