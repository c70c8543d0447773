"""Perturbations of a trained network: noise on weights and inputs, and removed connections.

Axes: B batch, S inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError, unknown
from snn_plasticity_gym.learners.agents import Connections

WORLD = "world."  # before the name of a number among the arguments of a world


class Disturbance(NamedTuple):
    """One kind of disturbance, of weights or of inputs; exactly one of its two functions is set."""

    title: str
    levels: tuple[float, ...]  # ascending
    most: float = math.inf  # largest level allowed
    of_weights: Callable[[Tensor, Connections, float, torch.Generator], Tensor] | None = None
    of_inputs: Callable[[Tensor, float, torch.Generator], Tensor] | None = None


class Request(NamedTuple):
    """A disturbance and the levels to apply."""

    name: str
    levels: tuple[float, ...]

    @property
    def argument(self) -> str:
        """Name of the argument of a world; empty for disturbances of weights and inputs."""
        return self.name.removeprefix(WORLD) if self.name.startswith(WORLD) else ""

    @property
    def title(self) -> str:
        """Axis label of a figure."""
        return self.argument.replace("_", " ") or DISTURBANCES[self.name].title


def _random_matrix(shape: torch.Size, connections: Connections, draw: Callable[[Tensor], Tensor]) -> Tensor:
    """Fill a matrix by `draw`; a symmetric one gets the same numbers in both halves."""
    numbers = draw(torch.empty(shape, device=connections.mask.device))
    return numbers.triu() + numbers.triu(1).T if connections.symmetric else numbers


def _size(weights: Tensor, connections: Connections) -> float:
    """Return the mean absolute value of the existing weights."""
    return float((weights * connections.mask).abs().sum() / connections.mask.sum().clamp_min(1))


def weight_gaussian(weights: Tensor, connections: Connections, level: float, generator: torch.Generator) -> Tensor:
    """Add N(0, level^2) to each weight."""
    noise = _random_matrix(weights.shape, connections, lambda empty: empty.normal_(generator=generator))
    return weights + level * noise * connections.mask


def weight_uniform(weights: Tensor, connections: Connections, level: float, generator: torch.Generator) -> Tensor:
    """Add a uniform number in [-level, level] to each weight."""
    noise = _random_matrix(weights.shape, connections, lambda empty: empty.uniform_(-1.0, 1.0, generator=generator))
    return weights + level * noise * connections.mask


def weight_gaussian_relative(
    weights: Tensor, connections: Connections, level: float, generator: torch.Generator
) -> Tensor:
    """As `weight_gaussian`, in units of the matrix's mean absolute weight."""
    return weight_gaussian(weights, connections, level * _size(weights, connections), generator)


def weight_uniform_relative(
    weights: Tensor, connections: Connections, level: float, generator: torch.Generator
) -> Tensor:
    """As `weight_uniform`, in units of the matrix's mean absolute weight."""
    return weight_uniform(weights, connections, level * _size(weights, connections), generator)


def knock_out(weights: Tensor, connections: Connections, level: float, generator: torch.Generator) -> Tensor:
    """Remove each connection with probability `level`."""
    chance = _random_matrix(weights.shape, connections, lambda empty: empty.uniform_(generator=generator))
    return torch.where(chance < level, torch.zeros_like(weights), weights)


def input_gaussian(inputs: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """Add N(0, level^2) to each input, and clip it to [0, 1]."""
    noise = torch.empty_like(inputs).normal_(generator=generator)
    return (inputs + level * noise).clamp(0.0, 1.0)


def salt(inputs: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """Set each input to 1 with probability `level`."""
    return torch.where(_chance(inputs, generator) < level, torch.ones_like(inputs), inputs)


def pepper(inputs: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """Set each input to 0 with probability `level`."""
    return torch.where(_chance(inputs, generator) < level, torch.zeros_like(inputs), inputs)


def salt_and_pepper(inputs: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """Set each input to 0 or to 1, each with probability `level` / 2."""
    chance = _chance(inputs, generator)
    salted = torch.where(chance < level / 2, torch.ones_like(inputs), inputs)
    return torch.where(chance >= 1 - level / 2, torch.zeros_like(inputs), salted)


def _chance(inputs: Tensor, generator: torch.Generator) -> Tensor:
    return torch.empty_like(inputs).uniform_(generator=generator)


_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
_ABSOLUTE, _RELATIVE = (0.05, 0.1, 0.2, 0.3, 0.5), (0.5, 1.0, 2.0, 3.0, 4.0)
DISTURBANCES = {
    "weight_gaussian": Disturbance("Gaussian noise on weights, deviation", _ABSOLUTE, of_weights=weight_gaussian),
    "weight_gaussian_relative": Disturbance(
        "Gaussian noise on weights, deviation / mean |w|", _RELATIVE, of_weights=weight_gaussian_relative
    ),
    "weight_uniform": Disturbance("uniform noise on weights, ±", (0.1, 0.2, 0.4, 0.6, 1.0), of_weights=weight_uniform),
    "weight_uniform_relative": Disturbance(
        "uniform noise on weights, ± / mean |w|", (1.0, 2.0, 3.0, 4.0, 6.0), of_weights=weight_uniform_relative
    ),
    "knock_out": Disturbance("share of connections cut", _SHARES, 1.0, of_weights=knock_out),
    "input_gaussian": Disturbance(
        "Gaussian noise on inputs, deviation", (0.1, 0.2, 0.4, 0.6, 1.0), of_inputs=input_gaussian
    ),
    "salt": Disturbance("share of inputs set to 1", (0.02, 0.05, 0.1, 0.2, 0.4), 1.0, of_inputs=salt),
    "pepper": Disturbance("share of inputs set to 0", _SHARES, 1.0, of_inputs=pepper),
    "salt_and_pepper": Disturbance(
        "share of inputs set to 0 or 1", (0.02, 0.05, 0.1, 0.2, 0.4), 1.0, of_inputs=salt_and_pepper
    ),
}


def read_kind(text: str) -> Request:
    """Read `NAME` or `NAME:LEVEL:LEVEL`.

    Raises:
        ConfigError: There is no such disturbance, or a level is out of range.
    """
    name, *rest = text.split(":")
    try:
        levels = tuple(float(part) for part in rest)
    except ValueError:
        raise ConfigError(f"levels of {name} must be numbers, got {text!r}; write e.g. salt:0.1:0.2") from None
    if name.startswith(WORLD):
        if not levels or not all(map(math.isfinite, levels)):
            raise ConfigError(f"{name} needs levels that are finite numbers, got {text!r}; write e.g. {name}:0.5:1")
        return Request(name, levels)
    if name not in DISTURBANCES:
        raise ConfigError(unknown("disturbance", name, DISTURBANCES))
    kind = DISTURBANCES[name]
    wrong = [level for level in levels if not 0 < level <= kind.most or math.isinf(level)]
    if wrong:
        most = f" and at most {kind.most:g}" if math.isfinite(kind.most) else ""
        raise ConfigError(f"levels of {name} must be above 0{most}, got {wrong[0]:g}")
    return Request(name, levels or kind.levels)
