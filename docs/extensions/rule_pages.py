"""The page of hand-written rules: for each its formula, what it does to a pair of spikes, and its parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
from environment_pages import settings_table
from generated import folder, write
from house_docstrings import introduction
from sphinx.application import Sphinx

from snn_plasticity_gym.config.schema import setting_fields
from snn_plasticity_gym.evaluation.kernels import PairWindow, pair_window
from snn_plasticity_gym.evaluation.probes import Site
from snn_plasticity_gym.report.kernel_figures import CHANGE, DELAY, branches
from snn_plasticity_gym.report.style import FAINT, figure_of, legend_above, png, set_labels, shades
from snn_plasticity_gym.rules.base import needed_scalars
from snn_plasticity_gym.rules.registry import RULES, make_rule

STEPS = 60  # of 1 ms, in which a pair falls
WEIGHTS = np.array([0.2, 0.5, 0.8])
FACTOR = 0.5  # value of further scalars
WITHOUT = ("zero", "random")  # whose windows are flat, or noise


def window(name: str) -> PairWindow:
    """Return what a rule with its default parameters does to a pair of spikes, at several weights."""
    extras = needed_scalars(RULES[name])
    site = Site("pair", projection=0, group=0, dt=1.0, history_length=STEPS, extra_names=extras)
    values = np.full((len(WEIGHTS), len(extras)), FACTOR) if extras else None
    return pair_window(make_rule(name), site, WEIGHTS, values)


def picture(name: str) -> bytes:
    """Return the window of a rule as a PNG file."""
    shown = window(name)
    figure, (axes,) = figure_of(5.2, 2.6)
    for weight, change, color in zip(WEIGHTS, shown.change, shades(len(WEIGHTS)), strict=True):
        branches(axes, shown.delays, change, color, f"w = {weight:g}")
    axes.axhline(0.0, color=FAINT, linewidth=0.8, zorder=0)
    axes.axvline(0.0, color=FAINT, linewidth=0.8, zorder=0)
    axes.ticklabel_format(axis="y", scilimits=(-2, 4))
    set_labels(axes, "", DELAY, CHANGE)
    legend_above(axes)
    return png(figure)


def section_of(name: str, rule: type[Any]) -> str:
    """Return what the page says of one rule."""
    parts = [f"## {name}", f"`make_rule({name!r})`, class `{rule.__name__}`.", introduction(rule)]
    if name not in WITHOUT:
        scalars = needed_scalars(rule)
        told = f", {' and '.join(scalars)} {FACTOR:g}" if scalars else ""
        caption = f"Change by one pre and one post spike, over their delay, at three weights{told}"
        parts.append(f"![{caption}]({name}.png)\n\n*{caption}; default parameters.*")
    infos = setting_fields(rule)
    parts.append(settings_table(infos) if infos else "It has no parameters.")
    return "\n\n".join(parts)


def _write(app: Sphinx) -> None:
    made = folder(app, "rules")
    text = "# Hand-written rules\n\n" + "\n\n".join(section_of(name, rule) for name, rule in RULES.items())
    write(made / "hand_written.md", text + "\n")
    for name in RULES:
        if name not in WITHOUT:
            write(made / f"{name}.png", picture(name))


def setup(app: Sphinx) -> dict[str, bool]:
    """Be an extension."""
    app.connect("builder-inited", _write)
    return {"parallel_read_safe": True}
