"""A formula of events as a module whose coefficients are trained by gradients through a network's lifetime.

What it does to weights is what the environment makes of the same formula, with event_kinds "merged", and with a history
as long as the episode.

Axes: B lifetimes, K terms, U time constants.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from snn_plasticity_gym.kernels.formula_layer import Terms
from snn_plasticity_gym.rules.factors import Factors, check_factors, is_trace, time_constant


class FormulaState(NamedTuple):
    """What a formula carries from step to step."""

    weights: Tensor  # (B, n_pre, n_post)
    pre: Tensor  # (U, B, n_pre) traces, as the events of the next step see them
    post: Tensor  # (U, B, n_post)


class DifferentiableFormula(nn.Module):
    """Moves the weights of synapses one of whose neurons fires, at the end of a step, as in the environment

        w <- clip(w + scale * delta, low, high),    delta = tanh(c_0 + sum_k c_k phi_k)

    with phi a product of `rules.factors`, and traces of spikes before the present step. So delta is a function of who
    fires, s_pre and s_post, 0 or 1. Its derivative by a spike is taken of the function that is linear in either,

        s_pre (1 - s_post) delta(1, 0) + (1 - s_pre) s_post delta(0, 1) + s_pre s_post delta(1, 1),

    and is then the difference that the spike makes. One formula is shared by all synapses, or each has coefficients of
    its own.

    Args:
        terms: Factors of each phi.
        scale: Largest change of a weight in a step, eta of the environment.
        low: Smallest weight.
        high: Largest weight.
        dt: Step in ms.
        shape: (n_pre, n_post), if each synapse of such a layer shall have coefficients of its own; (): they are shared.

    Raises:
        ConfigError: There is no such factor, or it is a scalar that only environments have.
        ValueError: A constant is out of range.
    """

    def __init__(
        self,
        terms: Sequence[Factors],
        scale: float,
        low: float,
        high: float,
        dt: float = 1.0,
        shape: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        for factors in terms:
            check_factors(factors, ())
        if not (scale > 0 and dt > 0 and low < high):
            raise ValueError(f"scale and dt must be positive and low below high, got {scale}, {dt}, {low} and {high}")
        self.coefficients = nn.Parameter(
            torch.zeros(1 + len(terms), *shape)
        )  # (K,) or (K, n_pre, n_post): c_0, c_1, ...
        self.terms: list[Factors] = [(), *terms]  # (K,), the constant a product of none
        self.scale, self.low, self.high, self.dt = scale, low, high, dt
        traces = [name for name in itertools.chain(*terms) if is_trace(name)]
        self.taus = sorted({time_constant(name) for name in traces})  # (U,) ms

    @property
    def is_shared(self) -> bool:
        """Whether all synapses have the same coefficients, so that the formula is a rule for any network."""
        return self.coefficients.ndim == 1

    @property
    def decays(self) -> list[float]:
        """What is left of each trace after a step, (U,)."""
        return [math.exp(-self.dt / tau) for tau in self.taus]

    def tables(self) -> Terms:
        """Return the factors of the terms as compiled loops want them."""
        pre = [("pre" in term, *self._exponents(term, "x")) for term in self.terms]
        parts = list(dict.fromkeys(pre))
        post = [self._exponents(term, "y") for term in self.terms]
        return Terms(
            part=np.array([parts.index(part) for part in pre]),
            power=np.array([term.count("w") for term in self.terms]),
            needs_post=np.array(["post" in term for term in self.terms]),
            of_post=np.array(post, dtype=np.int64).reshape(len(post), len(self.taus)),
            needs_pre=np.array([part[0] for part in parts]),
            of_pre=np.array([part[1:] for part in parts], dtype=np.int64).reshape(len(parts), len(self.taus)),
        )

    def begin(self, weights: Tensor) -> Tensor:
        """Return the weights with which lifetimes begin: those given, within the limits."""
        return self._held(weights)

    def initial(self, weights: Tensor, batch: int) -> FormulaState:
        """Return the state of `batch` lifetimes that begin with these weights, (n_pre, n_post)."""
        traces = [weights.new_zeros(len(self.taus), batch, size) for size in weights.shape]
        return FormulaState(self.begin(weights).expand(batch, *weights.shape), *traces)

    def effective(self, weights: Tensor, state: FormulaState) -> Tensor:
        """Return the weights as they are by now, (B, n_pre, n_post)."""
        del weights
        return state.weights

    def before_spikes(self, state: FormulaState, pre: Tensor, post: Tensor) -> FormulaState:
        """Return the state as it is: a formula answers spikes."""
        del pre, post
        return state

    def after_spikes(self, state: FormulaState, pre: Tensor, post: Tensor) -> FormulaState:
        """Return the state after the events of a step with these spikes, (B, n_pre) and (B, n_post)."""
        fires_pre, fires_post = pre.unsqueeze(2), post.unsqueeze(1)  # (B, n_pre, 1), (B, 1, n_post)
        delta = fires_pre * (1 - fires_post) * self.answer(state, True, False)  # (B, n_pre, n_post)
        delta = delta + (1 - fires_pre) * fires_post * self.answer(state, False, True)
        delta = delta + fires_pre * fires_post * self.answer(state, True, True)
        weights = self._held(state.weights + self.scale * delta)
        decays = state.pre.new_tensor(self.decays).view(-1, 1, 1)
        return FormulaState(weights, decays * (state.pre + pre), decays * (state.post + post))

    def answer(self, state: FormulaState, pre: bool, post: bool) -> Tensor:
        """Return delta of all synapses if the pre, if the post neuron fires, (B, n_pre, n_post)."""
        total = torch.zeros_like(state.weights)
        for coefficient, term in zip(self.coefficients, self.terms, strict=True):
            if ("pre" in term and not pre) or ("post" in term and not post):
                continue
            of_pre, of_post = (
                self._product(term, side, traces) for side, traces in (("x", state.pre), ("y", state.post))
            )
            product = coefficient * of_pre.unsqueeze(2) * of_post.unsqueeze(1)  # (B, n_pre, n_post)
            power = term.count("w")
            total = total + (product * state.weights**power if power else product)
        return torch.tanh(total)

    def _held(self, weights: Tensor) -> Tensor:
        """Hold weights within the limits; gradients pass on a limit, where `clamp` would stop them, and not beyond."""
        return torch.where(weights < self.low, self.low, torch.where(weights > self.high, self.high, weights))

    def _product(self, term: Factors, side: str, traces: Tensor) -> Tensor:
        """Return the product of a term's traces of one side: (U, B, N) -> (B, N)."""
        product = torch.ones(traces.shape[1:], dtype=traces.dtype, device=traces.device)
        for trace, times in zip(traces, self._exponents(term, side), strict=True):
            for _ in range(times):
                product = product * trace
        return product

    def _exponents(self, term: Factors, side: str) -> list[int]:
        """Return how often each trace of a side is a factor of a term, (U,)."""
        own = [time_constant(name) for name in term if is_trace(name) and name[0] == side]
        return [own.count(tau) for tau in self.taus]
