"""Figures of a comparison of rules: accuracies with every network as a dot, and receptive fields."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

READ_OUTS = {  # key in the results: name, colour (Okabe & Ito 2008, safe for colour-blind readers), marker
    "all_activity": ("all-activity", "#0072b2", "o"),
    "proportion_weighting": ("proportion weighting", "#d55e00", "s"),
    "linear_probe": ("linear probe on spike counts", "#009e73", "^"),
}
_QUIET = "0.4"
_STEP = 0.24  # between the read-outs of a rule; rules are 1 apart
_LONGEST = 22  # characters of a rule's name in one line


def draw_comparison(
    results: Mapping[str, Mapping[str, Any]], pixels: Mapping[str, Any], caption: str, path: Path
) -> None:
    """Draw the accuracy of every rule by every read-out: networks as dots, their mean as a bar.

    Args:
        results: By the name that the axis shows; see `Judgement.as_dict`.
        pixels: Results of nearest centroid on pixels, drawn as a line across; its confusion matrix gives the number of
            classes, hence chance level.
        caption: Says how the numbers were made.
        path: PNG file.
    """
    names = list(results)
    figure = Figure(figsize=(max(5.5, 2.2 + 1.5 * len(names)), 4.2), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(names):
        for number, (key, (_, color, marker)) in enumerate(READ_OUTS.items()):
            values = 100.0 * np.array(results[name]["accuracy"][key]["values"])  # (B,) %
            x = place + (number - 1) * _STEP
            axes.bar(x, values.mean(), width=0.85 * _STEP, color=color, alpha=0.25, linewidth=0)
            spread = np.linspace(-0.06, 0.06, len(values)) if len(values) > 1 else np.zeros(1)
            axes.plot(x + spread, values, marker, color=color, markersize=4.5, markeredgewidth=0, linestyle="none")
            axes.text(
                x, values.max() + 1.8, f"{values.mean():.1f}", ha="center", va="bottom", fontsize=7.5, color="0.15"
            )
    centroid = 100.0 * pixels["accuracy"]["nearest_centroid"]["mean"]
    axes.axhline(centroid, color="0.2", linestyle="--", linewidth=1, zorder=0)
    chance = 100.0 / len(pixels["confusion"]["nearest_centroid"][0])  # %
    axes.axhline(chance, color="0.6", linestyle=":", linewidth=1, zorder=0)
    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="none", markersize=5, label=name)
        for name, color, marker in READ_OUTS.values()
    ]
    bar = f"pixels, nearest centroid {centroid:.1f} %"
    handles.append(Line2D([], [], color="0.2", linestyle="--", linewidth=1, label=bar))
    handles.append(Line2D([], [], color="0.6", linestyle=":", linewidth=1, label="chance"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    axes.set_xticks(range(len(names)), [broken(name) for name in names], fontsize=9)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(0, 108)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("accuracy on held-out images (%)")
    axes.set_xlabel(caption, fontsize=8, color=_QUIET, labelpad=8)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def broken(name: str, longest: int = _LONGEST) -> str:
    """Break a long name into lines, after a separator if there is one."""
    lines = [""]
    for part in name.replace(":", ":\n").replace("/", "/\n").split("\n"):
        if lines[-1] and len(lines[-1] + part) > longest:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def draw_receptive_fields(
    fields: NDArray[np.float32], title: str, path: Path, labels: Sequence[str] | None = None
) -> None:
    """Draw the input weights of all neurons in a grid, by index from the upper left, on one scale.

    Args:
        fields: Weights, (N, H, W).
        title: Title of the figure.
        path: PNG file.
        labels: Label of each neuron, written in its corner; empty: none. None: no labels at all.
    """
    grid, corners = field_grid(fields)
    figure = Figure(figsize=(7.6, 7.2 * grid.shape[0] / grid.shape[1] + 0.5), layout="constrained", facecolor="white")
    axes = figure.subplots()
    most = float(np.quantile(fields, 0.999)) or float(fields.max()) or 1.0  # a few extreme weights leave the rest dark
    drawn = axes.imshow(grid, cmap="cividis", vmin=0.0, vmax=most, interpolation="nearest")
    box = {"facecolor": "black", "edgecolor": "none", "pad": 0.8}
    written: dict[str, Any] = {"ha": "left", "va": "top", "fontsize": 5.5, "color": "white", "bbox": box}
    for (top, left), label in zip(corners, labels or (), strict=False):
        if label:
            axes.text(left, top, label, **written)
    axes.set_axis_off()
    axes.set_title(title, fontsize=10)
    bar = figure.colorbar(drawn, ax=axes, fraction=0.035, pad=0.01, extend="max" if most < fields.max() else "neither")
    bar.set_label("weight input → E (no unit)", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=140)


def field_grid(fields: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
    """Arrange images in a grid, row by row, a pixel of NaN between them.

    Args:
        fields: (N, H, W).

    Returns:
        The grid, and the upper left corner (row, column) of each picture in it.
    """
    count, height, width = fields.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    corners = [((place // columns) * (height + 1), (place % columns) * (width + 1)) for place in range(count)]
    grid = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan, dtype=np.float32)
    for (top, left), field in zip(corners, fields, strict=True):
        grid[top : top + height, left : left + width] = field
    return grid, corners
