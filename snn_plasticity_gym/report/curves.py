"""Learning curves: logged metrics against episodes or steps, with the spread over seeds as a band."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from snn_plasticity_gym.report.runs import Array, Group, mean_curve
from snn_plasticity_gym.report.style import COLORS, FAINT, Picture, band, figure_of, set_labels

COLUMNS = 3
SMOOTHED_FROM = 40  # points of a curve from which a running mean is drawn over it
SMOOTHED_OVER = 1 / 15  # of the points


class Panel(NamedTuple):
    """One metric in one pair of axes."""

    key: str  # in metrics.csv, a whole regular expression
    title: str
    unit: str  # label of the y axis
    changing: bool = False  # left out if all its values are the same


PANELS = {
    "reward": (
        Panel("rollout/reward", "reward", "reward of an episode"),
        Panel("test/return", "return in tests", "return of an episode"),
        Panel("test/terminated", "terminated tests", "share of episodes", changing=True),
        Panel("train/fitness_best", "fitness of the best individual", "fitness"),
        Panel("train/fitness", "fitness of all individuals", "mean of a generation"),
        Panel("rollout/episode_steps", "length of episodes", "time steps", changing=True),
        Panel("rollout/sparsity", "sparsity of E responses", "in [0, 1]"),
        Panel("rollout/diversity", "diversity of winners", "in [0, 1]"),
        Panel("rollout/stability", "stability of responses", "in [0, 1]"),
        Panel("rollout/information", "information in winners", "in [0, 1]"),
        Panel("rollout/accuracy|train/accuracy", "accuracy while learning", "share of answers"),
        Panel("eval/return", "held-out return", "return of an episode"),
        Panel("eval/accuracy", "held-out accuracy", "share of answers"),
        Panel("eval/(normal|noisy)", "accuracy in {} trials", "share of held-out trials"),
        Panel("rollout/margin", "margin of the right output", "spikes per ms"),
        Panel("rollout/output_rate", "output rate", "spikes per ms"),
        Panel("rollout/loss|train/loss", "loss while learning", "cross-entropy (nats)"),
        Panel("eval/loss", "held-out loss", "cross-entropy (nats)"),
    ),
    "learning": (
        Panel("train/policy_loss", "policy loss", "loss"),
        Panel("train/value_loss", "value loss", "squared error"),
        Panel("train/explained_variance", "explained variance of returns", "1 − left / whole"),
        Panel("train/return", "return", "return"),
        Panel("train/return_spread", "spread of returns over lifetimes", "standard deviation"),
        Panel("train/rule_step", "step of the rule", "norm"),
        Panel("train/approx_kl", "change of the policy", "KL divergence (nats)"),
        Panel("train/clip_fraction", "clipped ratios", "share of actions"),
        Panel("time/events_per_second", "speed", "events per second"),
        Panel("rollout/events_per_episode", "events", "events per episode"),
        Panel(r"rollout/spikes_(.+)", "spikes of {}", "spikes per episode"),
        Panel(r"delta_w/(.+)_spread", "weight change by {}", "standard deviation"),
    ),
}
"""Panels by figure; metrics that a run has not logged are left out."""
TERM = Panel(r"rollout/(?!ep_)(?!.*_\d+$)(.+)", "{}", "mean of an episode")
"""Reward term of a user's task; neither terms of a layer, nor metrics of Stable-Baselines3."""
CAPTIONS = {
    "reward": "Reward logged during training: with exploration, on networks of every age.",
    "learning": "Training: losses, explained variance of returns, speed, activity.",
}


def learning_curves(groups: Sequence[Group]) -> list[Picture]:
    """Draw the logged metrics of `PANELS`, a panel for each metric, a colour for each group.

    Thin lines are single runs of a group of several, the thick line is their mean, the band one standard deviation of
    the seeds. A single long curve is drawn thin, with its running mean.
    """
    pictures = []
    named = [panel.key for panels in PANELS.values() for panel in panels]
    counts = dict.fromkeys(run.counted.removeprefix("time/") for group in groups for run in group.runs)
    terms = [
        (key, title, TERM.unit)
        for key, title in _keys(groups, TERM)
        if not any(re.fullmatch(pattern, key) for pattern in named)
    ]
    for name, panels in PANELS.items():
        used = [(key, title, panel.unit) for panel in panels for key, title in _keys(groups, panel)]
        used += terms if name == "reward" else []
        if not used:
            continue
        columns = min(COLUMNS, len(used))
        rows = -(-len(used) // columns)
        figure, axes = figure_of(3.4 * columns, 2.5 * rows + 0.3 * (len(groups) > 1), rows, columns)
        for one, (key, title, unit) in zip(axes, used, strict=False):
            set_labels(one, title, " or ".join(counts), unit)
            _draw(one, groups, key)
        for one in axes[len(used) :]:
            one.set_axis_off()
        if len(groups) > 1:
            handles, labels = axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper center", frameon=False, fontsize=8, ncols=2)
        band = " Band: one standard deviation over seeds." if any(len(group.runs) > 1 for group in groups) else ""
        pictures.append(Picture(f"curves_{name}", figure, CAPTIONS[name] + band))
    return pictures


def _keys(groups: Sequence[Group], panel: Panel) -> list[tuple[str, str]]:
    """Return the metrics of a panel, with its title; one panel for each layer or the like."""
    logged = dict.fromkeys(key for group in groups for run in group.runs for key in run.metrics)
    found = []
    for key in logged:
        match = re.fullmatch(panel.key, key)
        values = np.concatenate([run.curve(key)[1] for group in groups for run in group.runs])
        if match and len(values) and not (panel.changing and np.ptp(values) == 0):
            found.append((key, panel.title.format(*(part.replace("_", " ") for part in match.groups()))))
    return sorted(found)


def _draw(axes: Axes, groups: Sequence[Group], key: str) -> None:
    for group, color in zip(groups, COLORS * len(groups), strict=False):
        curves = [run.curve(key) for run in group.runs]
        x, mean, spread = mean_curve(curves)
        if not len(x):
            axes.plot([], [], color=color, label=group.label)
            continue
        if len([curve for curve in curves if len(curve[0])]) > 1:
            band(axes, x, mean, spread, color)
        elif len(x) >= SMOOTHED_FROM:
            axes.plot(x, mean, color=color, linewidth=0.6, alpha=0.4)
            mean = running_mean(mean, round(SMOOTHED_OVER * len(mean)))
        axes.plot(x, mean, color=color, linewidth=1.5, marker="." if len(x) < 3 else None, label=group.label)
    low, high = axes.get_ylim()
    if low < 0 < high:
        axes.axhline(0.0, color=FAINT, linewidth=0.8, zorder=0)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    if max(abs(low), abs(high)) >= 1e4:
        axes.yaxis.set_major_formatter(EngFormatter())
    else:
        axes.ticklabel_format(axis="y", scilimits=(-2, 4))


def running_mean(values: Array, width: int) -> Array:
    """Return centred means over `width` neighbours, over fewer at the ends: (N,) -> (N,)."""
    box = np.ones(max(width, 1))
    return np.convolve(values, box, mode="same") / np.convolve(np.ones_like(values), box, mode="same")
