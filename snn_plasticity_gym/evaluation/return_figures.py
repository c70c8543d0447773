"""Figure of a comparison of rules by returns: every network before, during and after learning."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from snn_plasticity_gym.evaluation.comparison_figures import broken
from snn_plasticity_gym.evaluation.returns import RETURN, ReturnCurve

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe & Ito (2008)
_QUIET = "0.4"
_HALF = 0.17  # from a rule's centre to its networks before and after learning; rules are 1 apart
_LONGEST = 18  # characters of a rule's name in one line


def draw_returns(curves: Mapping[str, ReturnCurve], caption: str, path: Path) -> None:
    """Draw the returns of all rules: on the left of every network, on the right their means over learning.

    Args:
        curves: By the name that the axis shows.
        caption: Says how the numbers were made.
        path: PNG file.
    """
    wide = max(3.6, 1.2 + 1.3 * len(curves))
    figure = Figure(figsize=(wide + 4.8, 4.4), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2, width_ratios=(wide, 4.4))
    _draw_networks(left, curves)
    _draw_curves(right, curves)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    figure.supxlabel("\n".join(textwrap.wrap(caption, 120)), fontsize=8, color=_QUIET)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def _draw_networks(axes: Axes, curves: Mapping[str, ReturnCurve]) -> None:
    """Draw each network as a line from its return before learning to that after it, means as bars."""
    for place, (curve, color) in enumerate(zip(curves.values(), COLORS * len(curves), strict=False)):
        before, after = curve.tests[RETURN][0].numpy(), curve.tests[RETURN][-1].numpy()  # (B,) each
        x = np.array([place - _HALF, place + _HALF])
        axes.plot(x, np.stack([before, after]), color=color, linewidth=0.8, alpha=0.5, marker="o", markersize=3)
        axes.hlines([before.mean(), after.mean()], x - 0.1, x + 0.1, color=color, linewidth=3)
    names = [broken(name, _LONGEST) for name in curves]
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylabel("return of an episode, weights frozen", fontsize=9)
    axes.set_title("each network before and after learning; bars: means", fontsize=9)


def _draw_curves(axes: Axes, curves: Mapping[str, ReturnCurve]) -> None:
    """Draw means of networks against the episodes that they learned from, with a band of one standard deviation."""
    for (name, curve), color in zip(curves.items(), COLORS * len(curves), strict=False):
        values = curve.tests[RETURN].numpy()  # (K, B)
        mean = values.mean(axis=1)
        axes.plot(curve.episodes, mean, color=color, marker=".", linewidth=1.5, label=name)
        if values.shape[1] > 1:
            spread = values.std(axis=1, ddof=1)
            axes.fill_between(curve.episodes, mean - spread, mean + spread, color=color, alpha=0.08, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("training episodes", fontsize=9)
    axes.set_title("mean of networks; band: one standard deviation", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
