"""A formula of events as a module with coefficients trained by gradients through a network's lifetime.

Axes: B lifetimes, K terms, U time constants.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from snn_plasticity_gym.kernels.formula_layer import Terms
from snn_plasticity_gym.rules.differentiable_events import DifferentiableEvents, EventState
from snn_plasticity_gym.rules.factors import Factors, check_factors, is_trace, time_constant


class DifferentiableFormula(DifferentiableEvents):
    """Changes weights at events, as `DifferentiableEvents`, by

        delta = tanh(c_0 + sum_k c_k phi_k)

    with phi a product of `rules.factors`. Coefficients are shared by all synapses, or separate for each.

    Args:
        terms: Factors of each phi.
        scale: Largest change of a weight in a step, eta of the environment.
        low: Smallest weight.
        high: Largest weight.
        dt: Step in ms.
        shape: (n_pre, n_post) for separate coefficients of each synapse of such a layer; (): shared ones.

    Raises:
        ConfigError: There is no such factor, or it is a scalar of environments only.
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
        for factors in terms:
            check_factors(factors, ())
        traces = [name for name in itertools.chain(*terms) if is_trace(name)]
        super().__init__(map(time_constant, traces), scale, low, high, dt)
        self.coefficients = nn.Parameter(torch.zeros(1 + len(terms), *shape))  # c: (K,) or (K, n_pre, n_post)
        self.terms: list[Factors] = [(), *terms]  # (K,), the constant as the empty product

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_pre, n_post) of the layer with coefficients per synapse; (): they are shared."""
        return tuple(self.coefficients.shape[1:])

    def tables(self) -> Terms:
        """Return the factors of the terms as tables of compiled loops."""
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

    def answer(self, state: EventState, pre: bool, post: bool) -> Tensor:
        """Return delta of all synapses for given spikes of pre and post neuron, (B, n_pre, n_post)."""
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

    def _product(self, term: Factors, side: str, traces: Tensor) -> Tensor:
        """Return the product of a term's traces of one side: (U, B, N) -> (B, N)."""
        product = torch.ones(traces.shape[1:], dtype=traces.dtype, device=traces.device)
        for trace, times in zip(traces, self._exponents(term, side), strict=True):
            for _ in range(times):
                product = product * trace
        return product

    def _exponents(self, term: Factors, side: str) -> list[int]:
        """Return the exponent of each trace of a side in a term, (U,)."""
        own = [time_constant(name) for name in term if is_trace(name) and name[0] == side]
        return [own.count(tau) for tau in self.taus]
