"""Figures of one network that learns by a rule in any task: its episodes, its weights, and its last episode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from snn_plasticity_gym.evaluation.episode_life import EpisodeLife
from snn_plasticity_gym.report.curves import running_mean
from snn_plasticity_gym.report.network_figures import display_name, draw_signs, draw_weights, spikes_of
from snn_plasticity_gym.report.style import (
    COLORS,
    DIVERGING,
    FAINT,
    QUIET,
    Picture,
    color_bar,
    figure_of,
    legend_above,
    set_labels,
    tidy,
)

COLUMNS = 3
SMOOTHED_FROM = 12  # episodes from which a running mean is drawn over them
MOST_LINES = 8  # components drawn of a vector in the task's trace
LONGEST_TRACE = 400  # rewards; of longer episodes the end


def episode_pictures(life: EpisodeLife, prefix: str) -> Sequence[Picture]:
    """Return all figures of a network's lifetime, in the order of the report."""
    pictures = [draw_episodes(f"{prefix}network_episodes", life)]
    if life.weights[0]:
        pictures += [
            draw_matrices(f"{prefix}network_matrices", life),
            draw_weights(f"{prefix}network_weights", life, "episodes"),
            draw_signs(f"{prefix}network_signs", life),
        ]
    if life.groups and life.answering:
        pictures.append(draw_groups(f"{prefix}network_groups", life))
    pictures.append(draw_last_episode(f"{prefix}network_raster", life))
    return pictures


def draw_episodes(name: str, life: EpisodeLife) -> Picture:
    """Draw return, length, terms of the reward and rates, episode by episode."""
    panels = {"return": ("return of an episode", life.returns)}
    if np.ptp(life.lengths):
        panels["length"] = ("time steps", life.lengths)
    panels |= {key.replace("_", " "): ("mean of an episode", own) for key, own in life.terms.items()}
    count = len(panels) + 1
    columns = min(COLUMNS, count)
    figure, axes = figure_of(3.6 * columns, 2.7 * -(-count // columns), -(-count // columns), columns)
    episodes = np.arange(1, len(life.returns) + 1)
    for one, (title, (unit, values)) in zip(axes, panels.items(), strict=False):
        one.plot(episodes, values, color=COLORS[0], marker=".", linewidth=0.8)
        if len(values) >= SMOOTHED_FROM and np.isfinite(values).all():
            one.plot(episodes, running_mean(values, len(values) // 5), color=COLORS[1], linewidth=1.6)
        set_labels(one, title, "episode", unit)
    rates = axes[len(panels)]
    for color, (population, values) in zip(COLORS * len(life.rates), life.rates.items(), strict=False):
        rates.plot(episodes, values, color=color, linewidth=1.2, marker=".", label=display_name(population))
    set_labels(rates, "rates", "episode", "spikes per second and neuron")
    legend_above(rates)
    for one in axes[:count]:
        one.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for one in axes[count:]:
        one.set_axis_off()
    mean = " Orange: running mean over a fifth of them." if len(episodes) >= SMOOTHED_FROM else ""
    return Picture(name, figure, f"The network's lifetime, one dot an episode; it learns in all of them.{mean}")


def draw_matrices(name: str, life: EpisodeLife) -> Picture:
    """Draw the weights of every plastic projection before and after learning, and how they have changed."""
    names = list(life.weights[0])
    figure, axes = figure_of(9.6, 2.7 * len(names), len(names), 3)
    for row, projection in enumerate(names):
        first, last = life.weights[0][projection], life.weights[-1][projection]
        most = float(np.nanmax(np.abs([first, last]))) or 1.0
        changed = last - first
        largest = float(np.nanmax(np.abs(changed))) or 1.0
        shown = ((first, most, "before"), (last, most, f"after {life.ages[-1]} episodes"), (changed, largest, "change"))
        for column, (matrix, limit, title) in enumerate(shown):
            one = axes[3 * row + column]
            drawn = one.imshow(matrix, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
            set_labels(one, f"{display_name(projection)}, {title}", "post neuron", "pre neuron" if column == 0 else "")
            one.title.set_fontsize(9)
            for axis in (one.xaxis, one.yaxis):
                axis.set_major_locator(MaxNLocator(4, integer=True))
            if column:
                color_bar(drawn, one, "weight" if column == 1 else "change of the weight", pad=0.02)
    return Picture(name, figure, "Weights of the plastic synapses; before and after on one scale, white at 0.")


def draw_groups(name: str, life: EpisodeLife) -> Picture:
    """Draw each pre neuron's mean weight to each group of readout neurons, before and after learning."""
    columns = len(life.answering)
    figure, axes = figure_of(max(4.6 * columns, 6.4), 3.4, 1, columns)
    for one, projection in zip(axes, life.answering, strict=True):
        first, last = life.weights[0][projection], life.weights[-1][projection]
        for color, (group, neurons) in zip(COLORS * len(life.groups), life.groups.items(), strict=False):
            before, after = (_mean_over(weights[:, neurons]) for weights in (first, last))
            pre = np.arange(len(after))
            one.plot(pre, before, color=color, linewidth=0.8, linestyle=":")
            one.plot(pre, after, color=color, linewidth=1.3, label=group)
        one.axhline(0.0, color=FAINT, linewidth=0.8, zorder=0)
        one.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        set_labels(one, display_name(projection), "pre neuron", "mean weight to the group")
        if len(life.groups) <= MOST_LINES:
            legend_above(one)
    return Picture(name, figure, "Mean weights of pre neurons to the neurons of each answer; dotted: before learning.")


def _mean_over(weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean over the existing synapses of each pre neuron: (n_pre, n) -> (n_pre,)."""
    there = np.isfinite(weights)
    return np.where(there, weights, 0.0).sum(axis=1, dtype=np.float64) / np.maximum(there.sum(axis=1), 1)


def draw_last_episode(name: str, life: EpisodeLife) -> Picture:
    """Draw the task's trace of the last episode, its rewards, and below all spikes of its last time steps."""
    traces = {key.replace("_", " "): values[-LONGEST_TRACE:] for key, values in life.traces.items()}
    curves = {**traces, "reward": life.step_rewards[-LONGEST_TRACE:]} if len(life.step_rewards) > 1 else {}
    rows = len(curves) + len(life.raster)
    length, kept = int(life.lengths[-1]), len(next(iter(life.raster.values())))
    figure = Figure(figsize=(9.0, 1.0 + 1.0 * len(curves) + 1.6 * len(life.raster)), layout="constrained",
                    facecolor="white")  # fmt: skip
    heights = [1.0] * len(curves) + [1.7] * len(life.raster)
    axes = figure.subplots(rows, 1, squeeze=False, height_ratios=heights)[:, 0]
    for one, color, (title, values) in zip(axes, (QUIET, COLORS[2]) * len(curves), curves.items(), strict=False):
        tidy(one)
        _steps(one, life.reward_steps[-len(values) :], values, color)
        set_labels(one, "", "", title)
        one.axvspan(length - kept + 0.5, length + 0.5, color=FAINT, alpha=0.25, linewidth=0, zorder=0)
    for one in axes[: max(len(curves) - 1, 0)]:
        one.tick_params(labelbottom=False)
    if curves:
        axes[0].set_title("the last episode, reward by reward; shaded: the time steps below", fontsize=10)
    rasters = axes[len(curves) :][::-1]
    for one, color, (population, spikes) in zip(rasters, COLORS * len(life.raster), life.raster.items(), strict=False):
        tidy(one)
        spikes_of(one, spikes, color, length - len(spikes))
        total = f"{int(spikes.sum())} spikes of {spikes.shape[1]} neurons"
        title = f"{display_name(population)}: {total} in {len(spikes)} steps"
        set_labels(one, title, "", "neuron")
    for one in axes[len(curves) : -1]:
        one.tick_params(labelbottom=False)
    axes[-1].set_xlabel(f"time step of {life.step_length:g} ms", fontsize=9)
    part = f"its last {kept} of {length} time steps" if kept < length else f"its {length} time steps"
    caption = f"The network's last episode; spikes of {part}, the input at the bottom."
    return Picture(name, figure, caption)


def _steps(axes: Axes, steps: NDArray[np.float64], values: NDArray[np.float64], color: str) -> None:
    """Draw a number, or the first few components of a vector, at each reward."""
    lines = values.reshape(len(values), -1).T[:MOST_LINES]
    for place, line in enumerate(lines):
        axes.plot(steps, line, color=color if len(lines) == 1 else COLORS[place % len(COLORS)], linewidth=1.0,
                  drawstyle="steps-mid", marker="." if len(line) < 60 else None)  # fmt: skip
    axes.margins(x=0.01, y=0.15)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=bool((values == values.round()).all())))
