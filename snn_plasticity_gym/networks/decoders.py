"""Decoders: from spike counts of motor neurons in the window of one action to actions.

Axes: R lifetimes of one call, N motor neurons, n actions, A dimensions of a Box action. The motor neurons of an action
(of a dimension) are contiguous: action a has the neurons a * group_size ... (a + 1) * group_size - 1.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError, unknown
from snn_plasticity_gym.kernels.choices import LAST, NONE, POPULATION, RANDOM, SOFTMAX, WINNER, Choice
from snn_plasticity_gym.utils.numbers_given import number, numbers, whole
from snn_plasticity_gym.utils.row_streams import Uniform

Device = torch.device | str
TIES = {"random": RANDOM, "none": NONE, "last": LAST}


class Decoder(Protocol):
    """Maps spike counts of motor neurons to actions."""

    size: int  # motor neurons, N

    def decode(self, counts: Tensor, duration: float, uniform: Uniform, last: Tensor | None = None) -> Tensor:
        """Return the action of each lifetime.

        Args:
            counts: Spike counts of the motor neurons in the window, (R, N).
            duration: Length of the window, ms.
            uniform: Source of random numbers row by row (`RowUniforms`); not called by deterministic decoders.
            last: The last actions, as returned; None if there are none yet. Only decoders whose ties repeat the
                last action read it.

        Returns:
            For Discrete actions int64 (R,), counted from 0; for Box actions float32 (R, A).
        """

    def groups(self, action: Tensor) -> Tensor:
        """Return the mask of the motor neurons of a decoded action, bool (R, N)."""


class WinnerDecoder:
    """The action whose group of motor neurons fired most.

    Args:
        num_actions: n.
        group_size: Motor neurons of an action.
        tie: Handling of ties, as of all groups in silence: "random" chooses among them, "none"
            takes `tie_action`, "last" repeats the last action (before the first one, `tie_action`). "none" is the
            strict arg-max of Yegenoglu et al. (2022), code: a tie of the car's pushes is no push. "random" differs
            from Hasegan et al. (2022), code, only in that those draw from all actions, not from the tied ones, which
            is the same for two actions; their punishment of such a move needs `tied`.
        tie_action: For "none" and "last".

    Raises:
        ConfigError: An argument is out of range.
    """

    def __init__(self, num_actions: int, group_size: int = 1, *, tie: str = "random", tie_action: int = 0) -> None:
        if tie not in TIES:
            raise ConfigError(unknown("tie", tie, TIES))
        self.num_actions = whole("num_actions", num_actions, least=1)
        self.group_size = whole("group_size", group_size, least=1)
        self.size = self.num_actions * self.group_size
        self.tie = tie
        self.tie_action = _action("tie_action", tie_action, self.num_actions)

    def _most(self, counts: Tensor) -> Tensor:
        votes = group_counts(counts, self.num_actions)  # (R, n)
        return votes == votes.amax(dim=1, keepdim=True)  # bool (R, n)

    def tied(self, counts: Tensor) -> Tensor:
        """Return the mask of ties, bool (R,), by counts (R, N)."""
        return self._most(counts).sum(dim=1) > 1

    def decode(self, counts: Tensor, duration: float, uniform: Uniform, last: Tensor | None = None) -> Tensor:
        """Return the winners, int64 (R,); see `Decoder`."""
        most = self._most(counts)  # (R, n)
        if self.tie == "random":
            rivals = most.sum(dim=1, keepdim=True)  # (R, 1)
            place = torch.minimum((uniform(1) * rivals).to(torch.int64), rivals - 1)  # (R, 1) index among the tied ones
            return (most.cumsum(dim=1) <= place).sum(dim=1)
        winners = most.int().argmax(dim=1)  # (R,)
        undecided = self.tie_action if self.tie == "none" or last is None else last
        return torch.where(most.sum(dim=1) > 1, undecided, winners)

    def groups(self, action: Tensor) -> Tensor:
        """Return the group of each action (R,), bool (R, N)."""
        return action_groups(action, self.num_actions, self.group_size)

    def tables(self, duration: float) -> Choice:
        """Return the tables for compiled loops; arguments as in `Decoder.decode`."""
        return Choice(WINNER, self.num_actions, self.group_size, tie=TIES[self.tie], tie_action=self.tie_action)


class SoftmaxDecoder:
    """An action sampled by the softmax of spike counts: Pr[a] = exp(beta * count_a) / sum_b exp(beta * count_b).

    Args:
        num_actions: n.
        group_size: Motor neurons of an action; their spikes are summed.
        beta: Inverse temperature, per spike; 0 samples uniformly.

    Raises:
        ConfigError: An argument is out of range.
    """

    def __init__(self, num_actions: int, group_size: int = 1, *, beta: float = 1.0) -> None:
        self.num_actions = whole("num_actions", num_actions, least=1)
        self.group_size = whole("group_size", group_size, least=1)
        self.size = self.num_actions * self.group_size
        self._beta = number("beta", beta, least=0)

    def chances(self, counts: Tensor) -> Tensor:
        """Return the probability of each action, float64 (R, n), by counts (R, N)."""
        votes = group_counts(counts, self.num_actions).to(torch.float64)  # (R, n)
        return torch.softmax(self._beta * votes, dim=1)

    def decode(self, counts: Tensor, duration: float, uniform: Uniform, last: Tensor | None = None) -> Tensor:
        """Return the sampled actions, int64 (R,), with one random number each; see `Decoder`."""
        passed = self.chances(counts).cumsum(dim=1) <= uniform(1)  # (R, n) the draw lies beyond the action's share
        return passed.sum(dim=1).clamp(max=self.num_actions - 1)  # rounding may leave the last sum below 1

    def groups(self, action: Tensor) -> Tensor:
        """Return the group of each action (R,), bool (R, N)."""
        return action_groups(action, self.num_actions, self.group_size)

    def tables(self, duration: float) -> Choice:
        """Return the tables for compiled loops; arguments as in `Decoder.decode`."""
        return Choice(SOFTMAX, self.num_actions, self.group_size, beta=self._beta)


class LevelsDecoder:
    """A choice among fixed Box actions by an inner decoder.

    Yang et al. (2022), code, pushes a pendulum with -3, -1.5, 0, 1.5, 3.

    Args:
        choice: Decodes the index of an action.
        levels: The actions, shape (n, A), or (n,) for A = 1; no two are the same.
        device: Of the tensors.

    Raises:
        ConfigError: There are not as many levels as the inner decoder has actions, or two are the same.
    """

    def __init__(self, choice: WinnerDecoder | SoftmaxDecoder, levels: ArrayLike, device: Device = "cpu") -> None:
        table = level_table(levels)
        if len(table) != choice.num_actions:
            raise ConfigError(f"levels must be {choice.num_actions}, one for each action, got {len(table)}")
        self.size = choice.size
        self.choice = choice
        self.levels = torch.from_numpy(table).to(device, torch.float32)  # (n, A)

    def decode(self, counts: Tensor, duration: float, uniform: Uniform, last: Tensor | None = None) -> Tensor:
        """Return the chosen levels, float32 (R, A); see `Decoder`."""
        before = None if last is None else self._index(last)  # (R,)
        return self.levels[self.choice.decode(counts, duration, uniform, before)]

    def groups(self, action: Tensor) -> Tensor:
        """Return the group of each level (R, A), bool (R, N)."""
        return self.choice.groups(self._index(action))

    def _index(self, action: Tensor) -> Tensor:
        """Return the index of the nearest level to each action (R, A), int64 (R,)."""
        return (action[:, None] - self.levels).abs().sum(dim=2).argmin(dim=1)

    def tables(self, duration: float) -> Choice:
        """Return the tables for compiled loops; arguments as in `Decoder.decode`."""
        return self.choice.tables(duration)._replace(levels=self.levels.cpu().numpy())


class PopulationDecoder:
    """Each dimension of a Box action from the signed sum of a population's spikes.

    a = gain / D * sum_n w_n S_n / (N_d / 2), with w = 1 for the first half of the N_d neurons of a dimension and -1 for
    the second, cut to [-1, 1] and mapped affinely to [low, high]; S_n are the spikes of neuron n in D ms.
    Schmidgall et al. (2021), supplement, action code: gain = 1, by which all of one half have to fire once a ms to
    reach an end.

    Args:
        low: Action at a = -1, shape (A,).
        high: Action at a = 1.
        group_size: N_d, neurons of a dimension; even.
        gain: Slope, ms; with g the ends are reached at a mean rate of 1/g spikes per ms.
        device: Of the tensors.

    Raises:
        ConfigError: A range is empty or not finite, group_size is odd, or the gain is not positive.
    """

    def __init__(
        self, low: ArrayLike, high: ArrayLike, group_size: int, *, gain: float = 1.0, device: Device = "cpu"
    ) -> None:
        lower, upper = numbers("low", low), numbers("high", high)  # (A,) both
        if lower.shape != upper.shape or (lower >= upper).any():
            raise ConfigError(f"high must be above low in each dimension, got low {low!r} and high {high!r}")
        self.group_size = whole("group_size", group_size, least=2)
        if self.group_size % 2:
            raise ConfigError(f"group_size must be even, one half for each sign, got {group_size}")
        self._gain = number("gain", gain)
        if self._gain <= 0:
            raise ConfigError(f"gain must be positive, got {gain!r}")
        self._dimensions = len(lower)
        self.size = self._dimensions * self.group_size
        self._low = torch.from_numpy(lower).to(device, torch.float32)  # (A,)
        self._high = torch.from_numpy(upper).to(device, torch.float32)
        self._middle = self._low * 0.5 + self._high * 0.5
        self._positive = torch.arange(self.group_size, device=device) < self.group_size // 2  # bool (N_d,)

    def decode(self, counts: Tensor, duration: float, uniform: Uniform, last: Tensor | None = None) -> Tensor:
        """Return the actions, float32 (R, A); see `Decoder`."""
        halves = counts.unflatten(1, (self._dimensions, 2, -1)).sum(dim=3)  # (R, A, 2)
        surplus = (halves[:, :, 0] - halves[:, :, 1]).to(torch.float32)  # (R, A)
        share = ((self._slope(duration) * surplus).clamp(-1, 1) + 1) / 2  # (R, A)
        return self._low * (1 - share) + self._high * share  # exact at both ends

    def _slope(self, duration: float) -> float:
        """Return the change of a per difference of one spike between the halves."""
        return self._gain / (duration * self.group_size / 2)

    def groups(self, action: Tensor) -> Tensor:
        """Return the mask of the half of each dimension in the direction of the action (R, A), bool (R, N).

        That is the positive half where the action is above the middle of its range, the negative one where it is
        below, and none at the middle.
        """
        up, down = (action > self._middle)[:, :, None], (action < self._middle)[:, :, None]  # (R, A, 1) both
        return torch.where(self._positive, up, down).flatten(1)

    def tables(self, duration: float) -> Choice:
        """Return the tables for compiled loops; arguments as in `Decoder.decode`."""
        ends = torch.stack([self._low, self._middle, self._high]).cpu().numpy()  # (3, A)
        return Choice(POPULATION, self._dimensions, self.group_size, slope=self._slope(duration), ends=ends)


def group_counts(counts: Tensor, num_actions: int) -> Tensor:
    """Return the spike count of each action's group, (R, n), by counts of neurons (R, N)."""
    return counts.unflatten(1, (num_actions, -1)).sum(dim=2)


def action_groups(action: Tensor, num_actions: int, group_size: int) -> Tensor:
    """Return the mask of the motor neurons of an action (R,), bool (R, N)."""
    chosen = action[:, None] == torch.arange(num_actions, device=action.device)  # (R, n)
    return chosen.repeat_interleave(group_size, dim=1)


def _action(name: str, given: int, num_actions: int) -> int:
    if whole(name, given, least=0) >= num_actions:
        raise ConfigError(f"{name} must be one of the actions 0 to {num_actions - 1}, got {given}")
    return int(given)


def level_table(levels: ArrayLike) -> NDArray[np.float64]:
    """Return the levels, (n, A).

    Raises:
        ConfigError: They are no finite numbers of shape (n, A) or (n,), or two are the same.
    """
    try:
        table = np.asarray(levels, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"levels must be numbers of shape (n,) or (n, action dimensions), got {levels!r}") from error
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ConfigError(f"levels must be finite numbers of shape (n,) or (n, action dimensions), got {levels!r}")
    if len(np.unique(table, axis=0)) < len(table):
        raise ConfigError(f"levels must differ from each other, got {levels!r}")
    return table


def groups_by_name(decoder: Decoder, space: spaces.Space[Any], device: torch.device) -> dict[str, Tensor]:
    """Return the motor neurons of each Discrete action, or of each direction of a bounded Box action.

    Args:
        decoder: Of actions of the space.
        space: Discrete, or Box of A dimensions; unbounded ones have no such groups.
        device: Of the tensors.

    Returns:
        Indices of neurons, int64, by the name of the action or direction.
    """
    if isinstance(space, spaces.Discrete):
        names = [f"action {action}" for action in range(int(space.n))]
        actions = torch.arange(int(space.n), device=device)  # (n,)
    elif isinstance(space, spaces.Box) and np.isfinite([space.low, space.high]).all():
        low, high = (torch.as_tensor(end.reshape(-1), device=device) for end in (space.low, space.high))  # (A,)
        middle = torch.lerp(low, high, 0.5)
        ends = [torch.where(torch.arange(len(low), device=device) == axis, end, middle)
                for axis in range(len(low)) for end in (high, low)]  # fmt: skip
        names = [f"action {axis} {sign}" for axis in range(len(low)) for sign in ("up", "down")]
        actions = torch.stack(ends)  # (2 A, A)
    else:
        return {}
    chosen = decoder.groups(actions)  # bool (n, N)
    return {name: row.nonzero().flatten() for name, row in zip(names, chosen, strict=True)}
