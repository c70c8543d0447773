"""Figures of learning curves."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from snn_plasticity_gym.config.schema import ConfigError


class Curve(NamedTuple):
    """How networks did while they learned."""

    images: Sequence[float]  # training images seen, at each of C tests
    accuracy: NDArray[np.float64]  # (C, networks)
    loss: NDArray[np.float64]  # (C, networks)


def bptt_curve(folder: str | Path) -> Curve:
    """Read the curve of a run of train_bptt from its metrics.csv.

    Raises:
        ConfigError: There is no such file, or it has no such columns.
    """
    path = Path(folder) / "metrics.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get("eval/accuracy")]
        columns = [np.array([float(row[key]) for row in rows]) for key in ("time/images", "eval/accuracy", "eval/loss")]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"cannot read a run of train_bptt from {path}: {error}") from error
    if not rows:
        raise ConfigError(f"{path} holds no evaluation; give the folder of a run of train_bptt")
    return Curve(list(columns[0]), columns[1][:, None], columns[2][:, None])


def draw_learning_curves(curves: Mapping[str, Curve], path: Path) -> None:
    """Draw accuracy and loss against training images: mean of the networks, and a band of one standard deviation.

    Args:
        curves: By the name that the legend shows.
        path: PNG file.
    """
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, (name, curve) in enumerate(curves.items()):
        color = f"C{place}"
        for axes, values in ((left, 100.0 * curve.accuracy), (right, curve.loss)):
            mean, spread = values.mean(axis=1), values.std(axis=1)
            axes.plot(curve.images, mean, color=color, marker=".", label=name)
            axes.fill_between(curve.images, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)
    most = max(max(curve.images) for curve in curves.values())
    least = min(max(curve.images) for curve in curves.values())
    for axes, label in ((left, "accuracy on held-out images (%)"), (right, "cross-entropy on them (nats)")):
        axes.set_xlabel("training images")
        axes.set_ylabel(label)
        if most > 10 * max(least, 1):  # curves of very different lengths
            axes.set_xscale("symlog", linthresh=100)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))  # more labels of five digits would touch
            axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.spines[["top", "right"]].set_visible(False)
    left.axhline(10.0, color="0.6", linestyle=":", linewidth=1)
    left.set_ylim(0, 100)
    left.annotate("chance", (0.87, 11.0), xycoords=("axes fraction", "data"), color="0.4", fontsize=8)
    right.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
