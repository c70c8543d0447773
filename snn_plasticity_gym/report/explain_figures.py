"""Figures of the explanations of a learned rule."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from snn_plasticity_gym.evaluation.explain import Explanation
from snn_plasticity_gym.report.style import COLORS, DARK, FAINT, Picture, figure_of, number, set_labels, tint

FORMULA = "formula"
MOST_DOTS = 3000


def draw_explanations(name: str, explanations: Sequence[Explanation]) -> Picture:
    """Draw, for each head, R² of every rule and of the formula; below, the formula's Δd against the rule's."""
    columns = len(explanations)
    figure, axes = figure_of(max(4.4 * columns, 5.0), 6.2, 2, columns)
    for column, one in enumerate(explanations):
        above, below = axes[column], axes[columns + column]
        bars = {**one.rules, f"{FORMULA} of {len(one.terms)} terms": one.r_squared}
        heights = [0.0 if math.isnan(value) else value for value in bars.values()]
        colors = [COLORS[0]] * len(one.rules) + [COLORS[1]]
        above.barh(range(len(bars)), np.clip(heights, 0, 1), color=colors, height=0.65)
        for place, value in enumerate(bars.values()):
            label = "no value" if math.isnan(value) else f"{value:.3f}".replace("-", "−")
            above.text(max(heights[place], 0) + 0.02, place, label, va="center", fontsize=8, color=DARK)
        above.set_yticks(range(len(bars)), list(bars))
        above.set_ylim(len(bars) - 0.4, -0.6)
        above.set_xlim(0, 1.18)
        above.set_xticks(np.linspace(0, 1, 6))
        set_labels(above, f"explanations of the head {one.head}", "R² on held-out events")
        some = slice(None, None, -(-len(one.answers) // MOST_DOTS))
        below.plot(one.answers[some], one.formula[some], ".", color=tint(COLORS[0]), markersize=2, rasterized=True)
        low, high = (edge(np.concatenate([one.answers, one.formula])) for edge in (np.min, np.max))
        below.plot([low, high], [low, high], color=FAINT, linewidth=1, zorder=0)
        below.ticklabel_format(scilimits=(-2, 4))
        set_labels(below, f"R² {number(one.r_squared)}", "Δd of the rule", "Δd of the formula")
    caption = (
        "Above: R² on events of a network that nothing was fitted to. Hand-written rules have their default parameters "
        "and the best-fitting scale and offset; the formula is a sum of a few products of spikes, traces and weight. "
        "Below: the formula's weight changes against the rule's, one dot for an event."
    )
    return Picture(name, figure, caption)
