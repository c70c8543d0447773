"""Synapse events as plain arrays, a row each, for use without an environment.

Axes: E events, K history length, X further scalars.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.spike_history import pack
from snn_plasticity_gym.plasticity.events import KIND_BOTH, KIND_POST, KIND_PRE, NUM_KINDS, LocalState
from snn_plasticity_gym.policies.architecture import Architecture


class DenseEvents(NamedTuple):
    """One event a row."""

    history: Tensor  # (E, 2, K) uint8, pre row and post row, 0 or 1, oldest step first, the present one last
    weight: Tensor  # (E,)
    kind: Tensor  # (E,) uint8: KIND_PRE, KIND_POST or KIND_BOTH
    group: Tensor  # (E,) int64, policy head
    extras: Tensor  # (E, X)

    def local_state(self) -> LocalState:
        """Return the events as a rule's input; each has a separate pair of histories."""
        device = self.weight.device
        rows = torch.arange(2 * len(self.weight), device=device).view(-1, 2)
        return LocalState(
            histories=pack(self.history.flatten(0, 1)),
            history_length=self.history.shape[2],
            pair_pre=rows[:, 0],
            pair_post=rows[:, 1],
            pair=torch.arange(len(self.weight), device=device),
            weight=self.weight,
            group=self.group,
            kind=self.kind,
            extras=self.extras,
        )


def read_events(
    shape: Architecture, history: Any, weight: Any, kind: Any = None, group: Any = None, extras: Any = None
) -> DenseEvents:
    """Return events from arrays or tensors of any kind of number.

    Args:
        shape: Architecture of the rule.
        history: 0 or 1, (E, 2, K).
        weight: (E,).
        kind: 0 pre, 1 post, 2 both, (E,); None: from the spikes of the present step.
        group: Policy head, (E,); None: the only one.
        extras: Further scalars, (E, X), in the order of `shape.extra_keys`; None: no scalars.

    Raises:
        ConfigError: One of them has another shape or other values, or is missing.
    """
    bits = _numbers("history", history, torch.float32)
    if bits.ndim != 3 or bits.shape[1] != 2 or not bits.shape[2]:
        raise ConfigError(
            f"history must have the shape (E, 2, K): pre row and post row, oldest step first, got {tuple(bits.shape)}"
        )
    if not ((bits == 0) | (bits == 1)).all():
        raise ConfigError("history must hold 0 and 1 alone, spikes of each step")
    bits, count = bits.to(torch.uint8), len(bits)
    values = _column("weight", weight, (count,), torch.float32)
    if kind is None:
        kinds = _kinds(bits, needed=shape.use_kind or shape.sees_terms)
    else:
        kinds = _column("kind", kind, (count,), torch.uint8, below=NUM_KINDS)
    if group is None and shape.num_groups > 1:
        raise ConfigError(f"group must say which of the rule's {shape.num_groups} heads answers each event, got None")
    groups = torch.zeros(count) if group is None else group
    if extras is None and shape.extra_keys:
        raise ConfigError(f"extras must give {', '.join(shape.extra_keys)} of each event, got None")
    others = torch.zeros(count, 0) if extras is None else extras
    return DenseEvents(
        history=bits,
        weight=values,
        kind=kinds,
        group=_column("group", groups, (count,), torch.int64, below=shape.num_groups),
        extras=_column("extras", others, (count, len(shape.extra_keys)), torch.float32),
    )


def _kinds(bits: Tensor, needed: bool) -> Tensor:
    """Return the kind of each event, (E,), by the newest bits of (E, 2, K)."""
    pre, post = bits[:, 0, -1] > 0, bits[:, 1, -1] > 0
    if needed and not (pre | post).all():
        row = int((~(pre | post)).nonzero()[0, 0])
        raise ConfigError(
            f"kind must be given where neither neuron fires in the present step, the last of history, as in row {row}"
        )
    kinds = torch.where(pre, torch.where(post, KIND_BOTH, KIND_PRE), KIND_POST)
    return kinds.to(torch.uint8)


def _numbers(name: str, given: Any, dtype: torch.dtype) -> Tensor:
    try:
        values = given if isinstance(given, Tensor) else torch.from_numpy(np.array(given))  # its own memory
        if values.is_complex():
            raise TypeError("complex numbers")
        return values.detach().to("cpu", dtype)
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise ConfigError(f"{name} must be an array or a tensor of numbers, got {reason}") from error


def _column(name: str, given: Any, shape: tuple[int, ...], dtype: torch.dtype, below: int | None = None) -> Tensor:
    """Return numbers of a certain shape; those with a bound are whole, from 0 on and below it."""
    values = _numbers(name, given, torch.float64)
    if values.shape != shape:
        raise ConfigError(f"{name} must have the shape {shape}, a row for each event, got {tuple(values.shape)}")
    if below is not None and not ((values >= 0) & (values < below) & (values == values.floor())).all():
        raise ConfigError(f"{name} must hold whole numbers from 0 to {below - 1} alone")
    return values.to(dtype)
