"""A policy head of synapse events as a module trained by gradients through a network's lifetime.

Axes: B lifetimes, H hidden neurons of the head, F inputs, U time constants.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from snn_plasticity_gym.rules.differentiable_events import DifferentiableEvents, EventState

USUAL_TRACE = 10.0  # trace at a spike every other step, by which initial weights of traces are divided


class DifferentiableHead(DifferentiableEvents):
    """Changes weights at events, as `DifferentiableEvents`, by a perceptron with a hidden layer

        delta = tanh(b + sum_h v_h relu(a_h + u_h z)),    z = (s_pre, s_post, x, y, w)

    of spikes, of exponential traces x and y of the earlier spikes of either neuron, and of the weight. All synapses
    share it. Its initial output is near 0: hardly any plasticity.

    Args:
        hidden_size: H.
        scale: As for `DifferentiableEvents`, as all that follow.
        low: Smallest weight.
        high: Largest weight.
        taus: Time constants of the traces in ms.
        dt: Step in ms.
        generator: Source of the initial parameters; None: torch's own.

    Raises:
        ValueError: A constant is out of range.
    """

    def __init__(
        self,
        hidden_size: int,
        scale: float,
        low: float,
        high: float,
        taus: Sequence[float] = (20.0,),
        dt: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(taus, scale, low, high, dt)
        if hidden_size < 1:
            raise ValueError(f"hidden_size must be at least 1, got {hidden_size}")
        num_traces = len(self.taus)
        width = torch.tensor([1.0, 1.0, *[USUAL_TRACE] * 2 * num_traces, 1.0])  # (F,)
        first = torch.randn(hidden_size, len(width), generator=generator) * (2 / len(width)) ** 0.5 / width
        self.first = nn.Parameter(torch.cat([torch.zeros(hidden_size, 1), first], dim=1))  # (H, 1 + F): a, u
        last = 0.1 * torch.randn(hidden_size, generator=generator) / hidden_size**0.5
        self.last = nn.Parameter(torch.cat([torch.zeros(1), last]))  # (1 + H,): b, v

    @property
    def terms(self) -> list[str]:
        """Names of the head's inputs, (F,), as in `rules.factors`."""
        return ["pre", "post", *(f"{side}{tau:g}" for side in "xy" for tau in self.taus), "w"]

    def answer(self, state: EventState, pre: bool, post: bool) -> Tensor:
        """Return delta of all synapses for given spikes of pre and post neuron, (B, n_pre, n_post)."""
        num_traces = len(self.taus)
        constant, of_pre, of_post, of_x, of_y, of_weight = self.first.split([1, 1, 1, num_traces, num_traces, 1], dim=1)
        alike = constant + of_pre * pre + of_post * post  # (H, 1)
        from_pre = torch.einsum("hu,ubi->bih", of_x, state.pre) + alike[:, 0]  # (B, n_pre, H)
        from_post = torch.einsum("hu,ubo->boh", of_y, state.post)  # (B, n_post, H)
        inner = from_pre.unsqueeze(2) + from_post.unsqueeze(1)  # (B, n_pre, n_post, H)
        hidden = torch.relu(inner + state.weights.unsqueeze(3) * of_weight[:, 0])  # (B, n_pre, n_post, H)
        return torch.tanh(self.last[0] + hidden @ self.last[1:])
