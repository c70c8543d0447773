"""Learning curves as a figure and as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.runs.metrics import read_metrics


class Curve(NamedTuple):
    """Learning curves of networks."""

    images: Sequence[float]  # training images, or episodes, seen at each of K tests
    values: Mapping[str, NDArray[np.float64]]  # by measure, (K, networks) each; those of `MEASURES` can be drawn


MEASURES = {  # what a curve may show: title of its axis, factor from the value to its unit, whether it is a share
    "accuracy": ("accuracy on held-out images (%)", 100.0, True),
    "loss": ("cross-entropy on them (nats)", 1.0, False),
    "all_activity": ("accuracy by all-activity (%)", 100.0, True),
    "proportion_weighting": ("by proportion weighting (%)", 100.0, True),
    "linear_probe": ("by a linear probe (%)", 100.0, True),
}


def bptt_curve(folder: str | Path) -> Curve:
    """Read the curve of a run of train_bptt from its metrics.csv.

    Raises:
        ConfigError: There is no such file, or it has no such columns.
    """
    path = Path(folder) / "metrics.csv"
    try:
        rows = [row for row in read_metrics(path)[1] if row.get("eval/accuracy")]
        keys = ("time/episodes", "eval/accuracy", "eval/loss")
        columns = [np.array([float(row[key]) for row in rows]) for key in keys]
    except (OSError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"cannot read a run of train_bptt from {path}: {error}") from error
    if not rows:
        raise ConfigError(f"{path} holds no evaluation; give the folder of a run of train_bptt")
    return Curve(list(columns[0]), {"accuracy": columns[1][:, None], "loss": columns[2][:, None]})


def draw_learning_curves(curves: Mapping[str, Curve], path: Path, num_classes: int) -> None:
    """Draw every measure against training images: mean of the networks, and a band of one standard deviation.

    Args:
        curves: By the name that the legend shows; all of the same measures.
        path: PNG file.
        num_classes: C; chance is right in one of C cases.
    """
    chance = 100.0 / num_classes  # %
    measures = list(next(iter(curves.values())).values)
    figure = Figure(figsize=(4.5 * len(measures), 3.6), layout="constrained")
    panels = figure.subplots(1, len(measures), squeeze=False)[0]
    most = max(max(curve.images) for curve in curves.values())
    least = min(max(curve.images) for curve in curves.values())
    for axes, measure in zip(panels, measures, strict=True):
        title, factor, is_share = MEASURES[measure]
        for place, (name, curve) in enumerate(curves.items()):
            values, color = factor * curve.values[measure], f"C{place}"  # (K, networks)
            mean, spread = values.mean(axis=1), values.std(axis=1)
            axes.plot(curve.images, mean, color=color, marker=".", label=name)
            axes.fill_between(curve.images, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)
        axes.set_xlabel("training images")
        axes.set_ylabel(title)
        if most > 10 * max(least, 1):  # curves of very different lengths
            axes.set_xscale("symlog", linthresh=100)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))  # more labels of five digits would touch
            axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.spines[["top", "right"]].set_visible(False)
        if is_share:
            axes.axhline(chance, color="0.6", linestyle=":", linewidth=1)
            axes.set_ylim(0, 100)
            axes.annotate("chance", (0.87, chance + 1.0), xycoords=("axes fraction", "data"), color="0.4", fontsize=8)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=1, frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def curve_table(curves: Mapping[str, Curve], first_seed: int, counted: str = "images") -> str:
    """Return curves as CSV, a row for each test of each network.

    Args:
        curves: By rule; all of the same measures.
        first_seed: Of the first network; the others follow.
        counted: What a network has learned from.
    """
    measures = list(next(iter(curves.values())).values)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rule", "seed", counted, *measures])
    for name, curve in curves.items():
        for network in range(curve.values[measures[0]].shape[1]):
            for place, images in enumerate(curve.images):
                row = (f"{curve.values[measure][place, network]:.6g}" for measure in measures)
                writer.writerow([name, first_seed + network, images, *row])
    return text.getvalue()
