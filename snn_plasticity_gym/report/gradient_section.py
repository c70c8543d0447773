"""Report section on runs in `Grad`: alignment of rules with the gradient, compared with the ceiling and BPTT."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.evaluation.figures import bptt_curve
from snn_plasticity_gym.report.page import Section
from snn_plasticity_gym.report.runs import Group, Run, mean_curve
from snn_plasticity_gym.report.style import (
    COLORS,
    FAINT,
    QUIET,
    Picture,
    band,
    figure_of,
    legend_above,
    number,
    set_labels,
)
from snn_plasticity_gym.runs.tables import Table

MEASURES = {"cosine": "cosine with −g", "sign_agreement": "share of events whose sign is that of −g"}


class Ceiling(NamedTuple):
    """Results of trainers/gradient_ceiling.py, by layer."""

    cosine: list[float]
    sign_agreement: list[float]


def read_ceiling(file: str | Path) -> Ceiling:
    """Read the last line of the output of trainers/gradient_ceiling.py.

    Raises:
        ConfigError: There is no such file, or its last line is something else.
    """
    try:
        line = Path(file).read_text(encoding="utf-8").strip().splitlines()[-1]
        found = json.loads(line)
        return Ceiling(*([float(value) for value in found[name]] for name in MEASURES))
    except OSError as error:
        raise ConfigError(f"cannot read the ceiling {file}: {error.strerror}") from error
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{file} holds no ceiling; write it by python trainers/gradient_ceiling.py ... > {file}"
        ) from error


def is_gradient(run: Run) -> bool:
    """Whether a run has logged its rule's alignment with the gradient."""
    return any(name.startswith("rollout/cosine_") for name in run.metrics)


def is_bptt(run: Run) -> bool:
    """Whether a run is one of train_bptt: the only learner without an environment that logs a classification loss."""
    return run.env is None and {"eval/accuracy", "eval/loss"} <= run.metrics.keys()


def gradient_section(groups: Sequence[Group], bptt: Sequence[Run], ceiling: Ceiling | None) -> Section:
    """Return the section on groups of runs in `Grad`.

    Args:
        groups: Of such runs.
        bptt: Runs of train_bptt as baselines.
        ceiling: Of these networks, if measured.

    Raises:
        ConfigError: The ceiling is that of a network with other layers.
    """
    pictures, tables = [], []
    for place, group in enumerate(groups):
        layers = layers_of(group)
        if ceiling is not None and len(ceiling.cosine) != len(layers):
            raise ConfigError(f"the ceiling has {len(ceiling.cosine)} layers, the run {group.label} has {len(layers)}")
        suffix = f"_{place + 1}" if len(groups) > 1 else ""
        pictures.append(_draw_alignment(f"gradient_alignment{suffix}", group, layers, ceiling))
        tables.append(_table(f"gradient{suffix}", group, layers, ceiling))
    pictures.append(_draw_loss("gradient_loss", groups, bptt))
    return Section("Following the gradient", "", pictures, tables)


def layers_of(group: Group) -> list[int]:
    """Return the numbers of the layers of synapses, from 1."""
    found = (re.fullmatch(r"rollout/cosine_(\d+)", name) for run in group.runs for name in run.metrics)
    return sorted({int(match.group(1)) for match in found if match})


def _draw_alignment(name: str, group: Group, layers: Sequence[int], ceiling: Ceiling | None) -> Picture:
    figure, axes = figure_of(9.4, 3.5, 1, 2)
    for one, (measure, label) in zip(axes, MEASURES.items(), strict=True):
        for place, layer in enumerate(layers):
            color = COLORS[place % len(COLORS)]
            x, mean, spread = mean_curve([run.curve(f"rollout/{measure}_{layer}") for run in group.runs])
            one.plot(x, mean, color=color, linewidth=1.4, label=f"layer {layer}")
            if len(group.runs) > 1:
                band(one, x, mean, spread, color)
            if ceiling is not None:
                one.axhline(getattr(ceiling, measure)[place], color=color, linestyle="--", linewidth=1)
        one.axhline(0.0 if measure == "cosine" else 0.5, color=FAINT, linewidth=0.8, zorder=0)
        set_labels(one, group.label, "training images", label)
        legend_above(one)
    caption = "How the weight changes follow the negative gradient while learning, layer by layer; grey: chance."
    if ceiling is not None:
        caption += (
            " Dashed: the ceiling, a network trained with supervision to predict −g from local inputs. It was "
            "trained for the size of g, so a rule may well agree in sign more often."
        )
    return Picture(name, figure, caption)


def _draw_loss(name: str, groups: Sequence[Group], bptt: Sequence[Run]) -> Picture:
    figure, (left, right) = figure_of(9.4, 3.5, 1, 2)
    for axes, key, label in (
        (left, "accuracy", "accuracy (%)"),
        (right, "loss", "cross-entropy (nats)"),
    ):
        factor = 100.0 if key == "accuracy" else 1.0
        for group, color in zip(groups, COLORS, strict=False):
            x, mean, spread = mean_curve([run.curve(f"rollout/{key}") for run in group.runs])
            axes.plot(x, factor * mean, color=color, linewidth=1.4, label=group.label)
            if len(group.runs) > 1:
                band(axes, x, factor * mean, factor * spread, color)
        for run in bptt:
            curve = bptt_curve(run.path)
            values = factor * curve.values[key][:, 0]
            axes.plot(curve.images, values, color=QUIET, linestyle="--", marker=".", linewidth=1.2, label=run.label)
        if bptt:
            axes.set_xscale("log")
        for classes in sorted({run.num_classes for group in groups for run in group.runs}):
            _chance(axes, 100.0 / classes if key == "accuracy" else float(np.log(classes)))
        set_labels(axes, "", "training images", label)
        legend_above(axes)
    left.set_ylim(0, 100)
    baseline = ", compared with backpropagation through time (dashed, held-out images)" if bptt else ""
    return Picture(name, figure, f"The networks' classification while the rule learns{baseline}; dotted: chance.")


def _chance(axes: Axes, level: float) -> None:
    axes.axhline(level, color=FAINT, linestyle=":", linewidth=1.2, zorder=0)


def _table(name: str, group: Group, layers: Sequence[int], ceiling: Ceiling | None) -> Table:
    """List the evaluations before and after training, mean over runs, and their share of the ceiling."""
    rows = []
    for measure in MEASURES:
        for place, layer in enumerate(layers):
            means = [
                _mean([run.last(f"eval_{when}/{measure}_{layer}") for run in group.runs])
                for when in ("before", "after")
            ]
            row = [
                f"{measure.replace('_', ' ')}, layer {layer}",
                *("–" if value is None else number(value) for value in means),
            ]
            if ceiling is not None:
                top = getattr(ceiling, measure)[place]
                share = "–" if means[1] is None or measure != "cosine" else f"{100 * means[1] / top:.0f} %"
                row += [number(top), share]
            rows.append(row)
    head = [group.label, "before", "after", *(["ceiling", "after / ceiling"] if ceiling is not None else [])]
    return Table(name, head, rows, "Held-out images, fresh networks, no exploration; mean over seeds.")


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None
