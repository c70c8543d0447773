"""Scene of a lifetime for rendering: arrays and text from a task, drawn independently of it.

Axes: H, W height and width of a panel, T time steps of the raster, N neurons, D inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Population, Projection
from snn_plasticity_gym.tasks.episode_record import EpisodeRecord

MOST_PANELS = 4


class Moment(NamedTuple):
    """Progress of a lifetime's episode, from its engine."""

    steps: int  # time steps done
    number: int  # of the episode in its lifetime, from 1
    reward: float  # of it so far
    finished: bool  # it has ended; the next one has not started
    last: Mapping[str, Tensor] | None  # info of the last finished episode; None: none


class Panel(NamedTuple):
    """A picture, or numbers drawn as one."""

    title: str
    pixels: NDArray[Any] | None  # (H, W, 3) colours or (H, W) numbers; None: nothing, with the reason in the caption
    caption: str = ""
    limits: tuple[float, float] | None = None  # of numbers, in a scale of colours; None: they are grey, 0 to 255
    square: bool = True  # pixels are square; else they fill the panel


class Bars(NamedTuple):
    """Numbers by name; without any, the caption gives the reason."""

    title: str
    values: Mapping[str, float]  # NaN: no value
    caption: str = "no unit"
    accent: str = ""  # the highlighted one
    notes: Mapping[str, str] = MappingProxyType({})  # reasons for missing values
    counts: bool = False  # whether they are whole numbers
    limits: tuple[float, float] | None = None  # ends of the axis; None: 0 and 1, or further out if a value is


class Raster(NamedTuple):
    """The spikes of a population."""

    population: str
    spikes: NDArray[np.bool_]  # (T, N); False in the future
    first: int  # time steps of the episode before them
    steps: int  # number of the T steps done
    accent: NDArray[np.bool_] | None = None  # (T, N) highlighted spikes
    caption: str = ""  # of the highlighted spikes
    boundaries: Sequence[int] = ()  # time steps of the episode with a line after them


class Scene(NamedTuple):
    """The whole scene; all arrays are copies."""

    title: str
    panels: Sequence[Panel | Bars]  # at most four; with fewer, the last episode's reward is added
    raster: Raster
    noun: str = "episode"


def recent_spikes(record: EpisodeRecord, population: str, row: int, steps: int) -> Raster:
    """Return the recorded spikes of a population, of a lifetime after `steps` steps of its episode."""
    kept = record.raster[population][row].cpu().numpy()  # (T, N)
    num_steps = len(kept)
    if steps > num_steps:
        return Raster(population, np.roll(kept, -(steps % num_steps), axis=0), steps - num_steps, num_steps)
    spikes = kept.copy()
    spikes[steps:] = False
    return Raster(population, spikes, 0, steps)


def grid(values: NDArray[Any]) -> NDArray[Any]:
    """Arrange D numbers row by row in nearly a square, (H, W); unused cells are 0."""
    width = math.isqrt(max(len(values) - 1, 0)) + 1
    height = -(-len(values) // width)
    laid = np.zeros(height * width, dtype=values.dtype)
    laid[: len(values)] = values
    return laid.reshape(height, width)


def count_panel(title: str, counts: NDArray[Any], caption: str) -> Panel:
    """Return a panel of spike counts, (H, W)."""
    return Panel(title, counts, caption, (0, max(1, int(counts.max(initial=0)))))


def weight_panel(network: Network, projection: Projection, row: int) -> Panel:
    """Return a panel of a lifetime's weights of a projection, (n_pre, n_post)."""
    weights = network.weights_of(projection.name)[row].to("cpu", copy=True).float().numpy()
    plasticity = projection.plasticity
    limits = (plasticity.w_min, plasticity.w_max) if plasticity else (float(weights.min()), float(weights.max()))
    shape = f"{weights.shape[0]} x {weights.shape[1]} weights"
    return Panel(projection.name.replace("_", " "), weights, shape, limits, square=False)


def plain_panels(
    populations: Sequence[Population], projections: Sequence[Projection], record: EpisodeRecord, row: int, steps: int
) -> list[Panel]:
    """Return panels for any network: its input so far, and the weights of its first plastic synapses."""
    panels = []
    inputs = [population.name for population in populations if population.lif is None]
    for name in inputs[:1]:
        raster = recent_spikes(record, name, row, steps)
        caption = "spikes per neuron" if not raster.first else f"spikes in the last {raster.steps} steps"
        panels.append(count_panel(f"spikes of {name}", grid(raster.spikes.sum(axis=0)), caption))
    plastic = [projection for projection in projections if projection.plasticity is not None]
    return panels + [weight_panel(record.network, projection, row) for projection in plastic[:1]]
