"""Several images of every lifetime in one call of the compiled loops: drawn, shown and judged together.

Images, spikes, weights, rewards and random streams are those of image by image, bit by bit. What Python does around the
loops is then done once for all of them.

Axes: M images, B lifetimes, N neurons, P populations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.envs.episode import EpisodeResult
from snn_plasticity_gym.envs.parts import EngineParts
from snn_plasticity_gym.envs.ways import Way
from snn_plasticity_gym.envs.whole_images import CompiledImages
from snn_plasticity_gym.kernels.tables import ImageRecord
from snn_plasticity_gym.networks.spike_counts import SpikeCounts, rates_of
from snn_plasticity_gym.tasks.base import Outcome, Task
from snn_plasticity_gym.tasks.image_task import ImageTask


def series_task(parts: EngineParts) -> ImageTask | None:
    """Return the task if several of its images may be shown in one call; else None.

    Nothing may happen between two images but what `Stimuli.draw` and `Network.normalise` do: no keys of winner-take-all
    groups, no factors and no effects of rewards.
    """
    task, network = parts.task, parts.network
    if not isinstance(task, ImageTask) or not task.judges_series or task.follows_steps or task.teaches:
        return None
    return None if parts.modulation.uses_rewards or network.has_groups or task.factors() else task


def images_left(ages: NDArray[np.int64], *limits: int) -> int:
    """Return how many images lifetimes of these ages (B,) have before one of them reaches a limit; 0: no limit."""
    left = [limit - age for limit in limits if limit for age in ages.tolist() if age < limit]
    return min(left, default=np.iinfo(np.int64).max)


def show_series(
    task: ImageTask, images: CompiledImages, way: Way, paces: Tensor, ages: Sequence[int], changes: Tensor
) -> list[EpisodeResult]:
    """Draw, show and judge M images of every lifetime, the present ones first; return their results.

    Args:
        task: Of the images.
        images: Its compiled loops.
        way: As in `CompiledImages.show_series`, like `changes`.
        paces: (M, B).
        ages: Of every lifetime, images.
        changes: (4, heads).
    """
    series = task.draw_series(len(paces), ages)
    record = images.show_series(way, paces, series.inputs, changes)
    counted = _counted(record, images.places)
    outcome = task.judge_series(series, counted, torch.from_numpy(record.winner_weights).flatten(0, 1))
    return _results(outcome, record, task, images.places)


def _results(outcome: Outcome, record: ImageRecord, task: Task, places: Mapping[str, slice]) -> list[EpisodeResult]:
    """Return the results of M images.

    Args:
        outcome: Of M * B rows, image by image.
        record: Spikes and events of M images.
        task: Of the images.
        places: Range of each population among the neurons of a network, in order.
    """
    count, num_lifetimes = record.num_events.shape

    def by_image(values: Tensor) -> tuple[Tensor, ...]:
        return values.view(count, num_lifetimes, *values.shape[1:]).unbind()

    length = torch.full((num_lifetimes,), task.num_steps)
    rates = rates_of(
        _flat(record.counts)[:, places[task.readout]], length.repeat(count), task.record.network.dt
    )  # (M * B, N)
    rewards = by_image(outcome.reward)
    terms = {name: by_image(values) for name, values in outcome.terms.items()}
    info = {name: by_image(values) for name, values in outcome.info.items()}
    totals = torch.from_numpy(record.totals.copy())  # (M, P, B)
    events, truncated = torch.from_numpy(record.num_events.copy()).unbind(), by_image(outcome.truncated)
    steps = torch.tensor([task.num_steps])
    return [
        EpisodeResult(
            reward=reward,
            terms={name: values[m] for name, values in terms.items()},
            info={name: values[m] for name, values in info.items()},
            spikes=dict(zip(places, spikes, strict=True)),
            rates=rate,
            num_events=events[m],
            length=length,
            truncated=truncated[m],
            payments=reward.unsqueeze(1),
            payment_steps=steps,
        )
        for m, (reward, spikes, rate) in enumerate(zip(rewards, totals.unbind(), by_image(rates), strict=True))
    ]


def _counted(record: ImageRecord, places: Mapping[str, slice]) -> dict[str, SpikeCounts]:
    """Return the spikes of each population in M images, (M * B, N) each."""
    counts, first = _flat(record.counts), _flat(record.first)
    return {name: SpikeCounts(counts[:, place], first[:, place]) for name, place in places.items()}


def _flat(values: NDArray[np.int64]) -> Tensor:
    """Return values (M, B, N) as (M * B, N)."""
    return torch.from_numpy(values).flatten(0, 1)
