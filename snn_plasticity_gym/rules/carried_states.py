"""State of a layer between two sequences, of `step` and of compiled loops; selection and joining by rows.

Axes: B rows (lifetimes, trials), I presynaptic and O postsynaptic neurons.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.kernels.plastic_layer import State
from snn_plasticity_gym.networks.differentiable import LayerState
from snn_plasticity_gym.networks.srm_alpha import AlphaTrace
from snn_plasticity_gym.rules.backpropamine import BackpropamineState
from snn_plasticity_gym.rules.differentiable import PlasticState


def map_states(function: Callable[..., Tensor], *states: Any) -> Any:
    """Apply a function to the corresponding tensors of states; None stays None."""
    first = states[0]
    if first is None:
        return None
    if isinstance(first, Tensor):
        return function(*states)
    parts = [map_states(function, *some) for some in zip(*states, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)


def chosen_rows(chosen: Tensor, these: Any, others: Any) -> Any:
    """Return the rows of one state where `chosen`, bool (B,), is true, and those of another elsewhere."""

    def choose(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(chosen.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return map_states(choose, these, others)


def some_rows(state: Any, rows: Tensor | slice) -> Any:
    """Select rows of a state."""

    def choose(tensor: Tensor) -> Tensor:
        return tensor[rows]

    return map_states(choose, state)


def joined_rows(states: list[Any]) -> Any:
    """Concatenate states by rows."""
    return map_states(lambda *tensors: torch.cat(tensors), *states)


def leaves_of(state: Any) -> list[Tensor]:
    """Return the tensors of a state, on the CPU."""
    leaves: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        leaves.append(tensor.cpu())
        return tensor

    map_states(note, state)
    return leaves


def from_leaves(leaves: list[Tensor], like: Any) -> Any:
    """Return a state with the tensors of `leaves_of`, built and placed as `like`."""
    left = iter(leaves)
    return map_states(lambda tensor: next(left).to(tensor.device), like)


def none_at_start(like: Tensor) -> State:
    """Return the empty state for loops, all rows at rest, in the type of `like`."""
    kind = like.detach().numpy().dtype
    return State(*(np.zeros((0,) * axes, kind) for axes in (3, 3, 3, 3, 3, 2)))


def to_loops(state: LayerState, like: Tensor) -> State:
    """Convert a state for loops: arrays with an axis of rows before those of `kernels.plastic_layer.State`."""
    plastic, nothing = state.plastic, like.new_zeros(1, 1, 1)
    traced = isinstance(plastic, BackpropamineState)
    parts = [
        nothing if plastic is None else plastic.efficacy.mT,  # (B, O, I)
        plastic.eligibility.mT if traced else nothing,  # (B, O, I) or (B, 1, 1)
        *(
            torch.stack([one.level, one.rise], dim=1) for one in (state.pre, state.post, state.refractory)
        ),  # (B, 2, ...)
        plastic.threshold if isinstance(plastic, PlasticState) else torch.zeros_like(state.spikes),  # (B, O)
    ]
    return State(*(part.detach().contiguous().numpy() for part in parts))


def like_start(start: State) -> State:
    """Return uninitialised arrays of the shapes of `start`."""
    return State(*(np.empty_like(part) for part in start))


def from_loops(end: State, before: LayerState, spikes: Tensor) -> LayerState:
    """Convert a state for `step`; the potential, which SRM-alpha does not carry, is 0.

    Args:
        end: Final state of the loops.
        before: The state before the sequence, with the rule's type of state.
        spikes: Of the last step, (B, O).
    """
    efficacy, eligibility, pre, post, refractory, threshold = (torch.from_numpy(part) for part in end)
    traces = [AlphaTrace(one[:, 1], one[:, 0]) for one in (refractory, pre, post)]  # (B, I or O) each
    plastic = before.plastic
    if isinstance(plastic, PlasticState):
        plastic = PlasticState(efficacy.mT, threshold)
    elif isinstance(plastic, BackpropamineState):
        kept = plastic.eligibility if eligibility.shape[1:] == (1, 1) else eligibility.mT  # (B, I, O) or (B, 1, 1)
        plastic = BackpropamineState(efficacy.mT, kept)
    return LayerState(torch.zeros_like(spikes), traces[0], traces[1], traces[2], plastic, spikes.detach())
