"""Style of the report's figures: a colour-blind-safe palette, uncluttered axes, PNG as bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

Values = NDArray[np.float64]

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe & Ito (2008)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DARK, QUIET, FAINT = "0.1", "0.4", "0.75"
SEQUENTIAL, DIVERGING = "cividis", "PuOr"  # both colour-blind safe
DPI = 110


class Picture(NamedTuple):
    """A figure of a report."""

    name: str  # of its PNG, without suffix
    figure: Figure
    caption: str  # plain text


def figure_of(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of the given size in inches, and its axes, row by row."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False)
    for one in axes.flat:
        tidy(one)
    return figure, list(axes.flat)


def tidy(axes: Axes) -> None:
    """Remove the upper and right spines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, length=3)


def set_labels(axes: Axes, title: str, x: str = "", y: str = "") -> None:
    """Set title and axis labels (with units)."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)


def legend_above(axes: Axes) -> None:
    """Put the legend in a row between title and axes."""
    axes.set_title(axes.get_title(), fontsize=10, pad=20)
    count = len(axes.get_legend_handles_labels()[1])
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 0.985), ncols=count, frameon=False, fontsize=7.5,
                columnspacing=0.9, handlelength=1.1, handletextpad=0.4, borderaxespad=0.2)  # fmt: skip


def color_bar(drawn: ScalarMappable, axes: Axes | Sequence[Axes], label: str, **placement: Any) -> None:
    """Add a colour bar next to the axes; `placement` is for `Figure.colorbar`."""
    first = axes if isinstance(axes, Axes) else axes[0]
    figure = cast(Figure, first.figure)
    bar = figure.colorbar(drawn, ax=axes, **placement)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.formatter.set_powerlimits((-2, 4))  # type: ignore[attr-defined]


def band(axes: Axes, x: Values, mean: Values, spread: Values, color: str) -> None:
    """Shade from mean - spread to mean + spread."""
    axes.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)


def number(value: float) -> str:
    """Return three digits of a number, with a typographic minus; a dash for NaN."""
    return "–" if np.isnan(value) else f"{value:.3g}".replace("-", "−")


def shades(count: int) -> list[tuple[float, float, float, float]]:
    """Return colours from dark to light for values in order."""
    return [colormaps[SEQUENTIAL](0.9 * place / max(count - 1, 1)) for place in range(count)]


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def tint(color: str) -> tuple[float, float, float, float]:
    """Return a lighter version of a colour."""
    return to_rgba(color, 0.35)
