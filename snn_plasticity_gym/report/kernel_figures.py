"""Figures of a rule's STDP kernel: windows of spike pairs, heat maps, bursts, dependence on further scalars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from snn_plasticity_gym.evaluation.kernels import PairWindow, RateResponse
from snn_plasticity_gym.evaluation.stdp_fit import WindowFit
from snn_plasticity_gym.report.runs import Array
from snn_plasticity_gym.report.style import (
    COLORS,
    DARK,
    DIVERGING,
    FAINT,
    MARKERS,
    QUIET,
    Picture,
    color_bar,
    figure_of,
    legend_above,
    number,
    set_labels,
    shades,
)

DELAY = "Δt = t_post − t_pre (ms)"
CHANGE = "Δd by the pair"


def draw_windows(name: str, titles: Sequence[str], windows: Sequence[PairWindow], weights: Sequence[Array],
                 fits: Sequence[WindowFit]) -> Picture:  # fmt: skip
    """Draw, for each site in a column, the change by spike pairs at several weights, and below it the fitted window.

    Args:
        name: Of the picture.
        titles: Of the sites.
        windows: Of the sites, at several weights each.
        weights: Their weights.
        fits: To the interaction at the middle weight of each.
    """
    columns = len(titles)
    figure, axes = figure_of(max(4.2 * columns, 6.0), 5.6, 2, columns)
    for column, (title, window, some, fit) in enumerate(zip(titles, windows, weights, fits, strict=True)):
        above, below = axes[column], axes[columns + column]
        for weight, change, color in zip(some, window.change, shades(len(some)), strict=True):
            branches(above, window.delays, change, color, f"w {number(weight)}")
        set_labels(above, title, DELAY, CHANGE)
        legend_above(above)
        middle = len(some) // 2
        lone = window.pre_alone[middle] + window.post_alone[middle]
        above.axhline(lone, color=QUIET, linewidth=0.8, linestyle=":", zorder=0)
        used = window.delays != 0
        below.plot(window.delays[used], window.interaction[middle][used], ".", color=DARK, markersize=4, label="rule")
        for side in (window.delays < 0, window.delays > 0):
            delays = window.delays[side]
            below.plot(
                delays, fit.window(delays), color=COLORS[1], linewidth=1.5, label="fit" if delays[0] > 0 else None
            )
        set_labels(below, f"pair less single spikes, w {number(some[middle])}", DELAY, "Δd of the interaction")
        legend_above(below)
        for one in (above, below):
            one.axvline(0.0, color=FAINT, linewidth=0.8, zorder=0)
            one.axhline(0.0, color=FAINT, linewidth=0.8, zorder=0)
            one.ticklabel_format(axis="y", scilimits=(-2, 4))
    caption = (
        "Above: the rule's changes at one pre and one post spike, summed, after silence; the weight is held fixed. "
        "Δt = 0 is the two spikes of one time step (open circle). Dotted: both spikes alone, added up, at the middle "
        "weight. Below: the pair's change minus these, and the fitted STDP window."
    )
    return Picture(name, figure, caption)


def branches(axes: Axes, delays: Array, change: Array, color: object, label: str) -> None:
    """Draw a window as two branches and the coincident pair by itself."""
    for side in (delays < 0, delays > 0):
        axes.plot(delays[side], change[side], color=color, linewidth=1.4, label=label if delays[side][0] > 0 else None)
    zero = delays == 0
    axes.plot(delays[zero], change[zero], "o", color=color, markersize=4, markerfacecolor="white")


def draw_maps(name: str, titles: Sequence[str], windows: Sequence[PairWindow], weights: Sequence[Array]) -> Picture:
    """Draw the change by spike pairs over delay and weight, one map for each site, each with a separate scale."""
    figure, axes = figure_of(max(4.2 * len(titles), 5.0), 3.2, 1, len(titles))
    for one, title, window, some in zip(axes, titles, windows, weights, strict=True):
        _map(figure, one, window.delays, some, window.change, CHANGE)
        set_labels(one, title, DELAY, "weight w (no unit)")
    caption = "Change by a pair over delay and weight; orange weakens (Δd < 0), purple strengthens (more positive w)."
    return Picture(name, figure, caption)


def _map(figure: Figure, axes: Axes, x: Array, y: Array, values: Array, label: str) -> None:
    """Draw a map of `values` (Y, X), white at 0."""
    most = float(np.abs(values).max()) or 1.0
    drawn = axes.pcolormesh(x, y, values, cmap=DIVERGING, vmin=-most, vmax=most, shading="nearest", rasterized=True)
    color_bar(drawn, axes, label, pad=0.02)


def draw_rates(name: str, titles: Sequence[str], responses: Sequence[RateResponse]) -> Picture:
    """Draw the change by bursts: against the post rate at several pre rates above, and as a map below."""
    columns = len(titles)
    figure, axes = figure_of(max(4.2 * columns, 6.0), 5.8, 2, columns)
    for column, (title, response) in enumerate(zip(titles, responses, strict=True)):
        above, below = axes[column], axes[columns + column]
        some = np.unique(np.linspace(0, len(response.pre_rates) - 1, 4).round().astype(int))
        for place, color in zip(some, shades(len(some)), strict=True):
            above.errorbar(response.post_rates, response.change[place], response.error[place], color=color,
                           linewidth=1.4, capsize=2, label=f"pre {number(response.pre_rates[place])} Hz")  # fmt: skip
        above.axhline(0.0, color=FAINT, linewidth=0.8, zorder=0)
        above.ticklabel_format(axis="y", scilimits=(-2, 4))
        set_labels(above, title, "post rate (Hz)", f"Δd in {response.duration:g} ms")
        legend_above(above)
        _map(figure, below, response.post_rates, response.pre_rates, response.change, f"Δd in {response.duration:g} ms")
        set_labels(below, "the same by both rates", "post rate (Hz)", "pre rate (Hz)")
    caption = (
        "Independent Poisson spikes of constant rates, all changes of an episode summed, mean over trials (bars: "
        "standard error). A BCM-like rule turns from depression to potentiation as the post rate grows."
    )
    return Picture(name, figure, caption)


def draw_scalar(name: str, scalar: str, titles: Sequence[str], windows: Sequence[PairWindow],
                values: Sequence[Array]) -> Picture:  # fmt: skip
    """Draw how windows depend on a further scalar of the events, one line for each of its values.

    Args:
        name: Of the picture.
        scalar: Its name.
        titles: Of the sites.
        windows: Of the sites, at several values each.
        values: Those values.
    """
    columns = len(titles)
    figure, axes = figure_of(max(4.2 * columns, 6.0), 5.6, 2, columns)
    for column, (title, window, some) in enumerate(zip(titles, windows, values, strict=True)):
        above, below = axes[column], axes[columns + column]
        for value, change, color in zip(some, window.change, shades(len(some)), strict=True):
            branches(above, window.delays, change, color, number(value))
        set_labels(above, f"{title}, {scalar}:", DELAY, CHANGE)
        both = window.change[:, window.delays == 0][:, 0]
        after, before = (window.change[:, window.delays == sign * _nearest(window.delays)][:, 0] for sign in (1, -1))
        lines = {"pre": window.pre_alone, "post": window.post_alone, "pre, post": after,
                 "post, pre": before, "at once": both}  # fmt: skip
        for (label, height), own, marker in zip(lines.items(), COLORS, MARKERS, strict=False):
            below.plot(some, height, color=own, marker=marker, markersize=4, linewidth=1.2, label=label)
        set_labels(below, f"single spikes and close pairs by {scalar}", f"{scalar} (no unit)", "Δd")
        for one in (above, below):
            one.axhline(0.0, color=FAINT, linewidth=0.8, zorder=0)
            legend_above(one)
            one.ticklabel_format(axis="y", scilimits=(-2, 4))
        above.axvline(0.0, color=FAINT, linewidth=0.8, zorder=0)
    caption = (
        f"Dependence on the {scalar}, at the middle weight; with values of recorded events. Below: a spike alone, "
        "two spikes one step apart in either order, and both in one step."
    )
    return Picture(name, figure, caption)


def _nearest(delays: Array) -> float:
    """Return the smallest delay above 0."""
    return float(delays[delays > 0].min())
