"""Robustness of groups of networks to disturbances: means with confidence intervals, a table, a figure.

Axes: K networks of a group, D draws of a level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from snn_plasticity_gym.evaluation.disturbances import Request
from snn_plasticity_gym.evaluation.return_figures import COLORS

CONFIDENCE = 0.95
Found = Mapping[tuple[str, str, float], NDArray[np.float64]]  # (K, D) by group, disturbance and level


class Interval(NamedTuple):
    """A mean and its confidence interval; NaN bounds for a single value."""

    mean: float
    low: float
    high: float


def units(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the independent numbers in values (K, D): the networks' means, or the draws of a single network."""
    return values.mean(axis=1) if len(values) > 1 else values[0]


def interval(values: NDArray[np.float64]) -> Interval:
    """Return the mean of values (K, D) and Student's t interval over networks, or over the draws of a single one."""
    numbers = units(values)
    mean = float(numbers.mean())
    if len(numbers) < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(numbers) - 1) * numbers.std(ddof=1) / len(numbers) ** 0.5)
    return Interval(mean, mean - half, mean + half)


def difference(one: NDArray[np.float64], other: NDArray[np.float64]) -> Interval:
    """Return the difference of two groups' means, values (K, D) of each, with Welch's interval (1947)."""
    a, b = units(one), units(other)
    mean = float(a.mean() - b.mean())
    if len(a) < 2 or len(b) < 2:
        return Interval(mean, math.nan, math.nan)
    of_a, of_b = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    if of_a + of_b == 0:
        return Interval(mean, mean, mean)
    freedom = (of_a + of_b) ** 2 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1))
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom) * (of_a + of_b) ** 0.5)
    return Interval(mean, mean - half, mean + half)


def robustness_table(
    found: Found,
    groups: Sequence[str],
    clean: Mapping[str, NDArray[np.float64]],
    kinds: Sequence[Request],
    factor: float,
) -> str:
    """Return Markdown: a row for each level, groups as columns, and the first group's difference from each other one.

    Args:
        found: Measured values.
        groups: Names, in order.
        clean: Without any disturbance, (K, 1) by group.
        kinds: Disturbances, in order.
        factor: From the measured to the displayed unit.
    """
    titles = ["disturbance", "level", *groups, *(f"{groups[0]} − {other}" for other in groups[1:])]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    cases = [("none", "", dict(clean))]
    for kind in kinds:
        for strength in kind.levels:
            values = {group: found[group, kind.name, strength] for group in groups}
            cases.append((kind.name, f"{strength:g}", values))
    for name, level, values in cases:
        first = values[groups[0]]
        cells = [_format_interval(interval(values[group]), factor) for group in groups]
        cells += [_format_interval(difference(first, values[other]), factor, sign="+") for other in groups[1:]]
        lines.append("| " + " | ".join([name, level, *cells]) + " |")
    return "\n".join(lines) + "\n"


def _format_interval(one: Interval, factor: float, sign: str = "") -> str:
    mean = f"{one.mean * factor:{sign}.1f}"
    return mean if math.isnan(one.low) else f"{mean} [{one.low * factor:{sign}.1f}, {one.high * factor:{sign}.1f}]"


def draw_robustness(
    found: Found,
    groups: Sequence[str],
    clean: Mapping[str, NDArray[np.float64]],
    kinds: Sequence[Request],
    path: Path,
    measure: str,
    factor: float,
) -> None:
    """Draw a panel for each disturbance: means against its level, with bands of 95 % confidence.

    Args:
        found: See `robustness_table`, as of the next three.
        groups: Names.
        clean: Left end of the curves of weights and inputs, where the level is 0.
        kinds: Disturbances.
        path: PNG file.
        measure: Title of the vertical axis.
        factor: From the measured to the displayed unit.
    """
    across = min(3, len(kinds))
    down = math.ceil(len(kinds) / across)
    figure = Figure(figsize=(3.6 * across, 2.9 * down), layout="constrained", facecolor="white")
    panels = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    for axes, kind in zip(panels, kinds, strict=False):
        for place, group in enumerate(groups):
            color = COLORS[place % len(COLORS)]
            points = [(level, interval(found[group, kind.name, level])) for level in sorted(kind.levels)]
            if kind.argument:
                axes.axhline(factor * clean[group].mean(), color=color, linestyle=":", linewidth=0.8)
            else:
                points.insert(0, (0.0, interval(clean[group])))
            levels = [level for level, _ in points]
            mean, low, high = (factor * np.array(column) for column in zip(*(at for _, at in points), strict=True))
            axes.plot(levels, mean, color=color, marker=".", label=group)
            axes.fill_between(levels, low, high, color=color, alpha=0.2, linewidth=0)
        axes.set_xlabel(kind.title, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(kinds) :]:
        axes.set_visible(False)
    for axes in panels[::across]:
        axes.set_ylabel(measure, fontsize=9)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=min(4, len(groups)), frameon=False, fontsize=9)
    figure.savefig(path, dpi=120)
