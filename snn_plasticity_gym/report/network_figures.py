"""Figures of one network that learns from images by a rule."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from snn_plasticity_gym.evaluation.comparison_figures import field_grid
from snn_plasticity_gym.evaluation.episode_life import EpisodeLife
from snn_plasticity_gym.evaluation.network_life import Life, Portrait, sign_index, winner_entropy
from snn_plasticity_gym.report.style import (
    COLORS,
    DARK,
    DIVERGING,
    FAINT,
    QUIET,
    SEQUENTIAL,
    Picture,
    color_bar,
    figure_of,
    legend_above,
    set_labels,
    shades,
)

BINS = 60
WINDOW = 20  # images over which the entropy of winners is taken
MOST_FIELDS = 400
FEW_CLASSES, MOST_NUMBERED, MOST_NAMED = 12, 26, 32  # classes whose names, or shares in the confusion, have room


def draw_fields(name: str, life: Life) -> Picture:
    """Draw the receptive fields of the neurons that the input projects to, after learning, and their change."""
    figure, axes = figure_of(12.0, 5.6, 1, 2)
    first, last = (life.fields(place)[:MOST_FIELDS] for place in (0, -1))
    _fields(axes[0], last, "weight (no unit)", signed=bool((last < 0).any()))
    set_labels(axes[0], f"after {life.ages[-1]} images")
    _fields(axes[1], last - first, "change of the weight", signed=True)
    set_labels(axes[1], "change by learning")
    shown = f"the first {MOST_FIELDS}" if len(life.fields(0)) > MOST_FIELDS else f"all {len(first)}"
    text = f"Receptive fields: weights {display_name(life.field_projection)} as seen from each of {shown} neurons."
    return Picture(name, figure, text)


def _fields(axes: Axes, fields: NDArray[np.float32], label: str, signed: bool) -> None:
    most = float(np.quantile(np.abs(fields), 0.999)) or float(np.abs(fields).max()) or 1.0  # extremes darken all else
    grid, _ = field_grid(fields)
    drawn = axes.imshow(grid, cmap=DIVERGING if signed else SEQUENTIAL, vmin=-most if signed else 0.0, vmax=most,
                        interpolation="nearest")  # fmt: skip
    axes.set_axis_off()
    beyond = ("both" if signed else "max") if np.abs(fields).max() > most else "neither"
    color_bar(drawn, axes, label, fraction=0.04, pad=0.01, extend=beyond)


def draw_weights(name: str, life: Life | EpisodeLife, unit: str = "images seen") -> Picture:
    """Draw histograms of the weights of every plastic projection, a line for each snapshot.

    Args:
        name: Of the picture.
        life: A network's record.
        unit: Unit of its age.
    """
    names = list(life.weights[0])
    figure, axes = figure_of(max(4.0 * len(names), 5.5), 3.2, 1, len(names))
    for one, projection in zip(axes, names, strict=True):
        every = [w[np.isfinite(w)] for w in (snapshot[projection] for snapshot in life.weights)]
        low, high = min(w.min() for w in every), max(w.max() for w in every)
        edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
        for weights, age, color in zip(every, life.ages, shades(len(every)), strict=True):
            share = np.histogram(weights, edges)[0] / len(weights)
            one.stairs(share, edges, color=color, linewidth=1.4, label=f"{age}")
        one.set_yscale("log")
        one.xaxis.set_major_locator(MaxNLocator(4))
        set_labels(one, f"{display_name(projection)}, {unit}:", "weight (no unit)", "share of synapses")
        legend_above(one)
    return Picture(name, figure, f"Weights before learning, on the way and after, in bins of 1/{BINS} of the range.")


def draw_signs(name: str, life: Life | EpisodeLife) -> Picture:
    """Draw, for every plastic projection, the balance of each pre neuron's outgoing weights, in order of size."""
    figure = balances([("before", QUIET, life.weights[0]), ("after", COLORS[0], life.weights[-1])])
    caption = "Outgoing weights by neuron: 1 is purely excitatory, −1 purely inhibitory, as in Dale's law."
    return Picture(name, figure, caption)


def balances(networks: Sequence[tuple[str, str, dict[str, NDArray[np.float32]]]]) -> Figure:
    """Draw the balances of pre neurons, a panel for each projection and a line for each network.

    Args:
        networks: Label, colour and weights by projection, (n_pre, n_post), of each; all have the same projections.
    """
    names = list(networks[0][2])
    figure, axes = figure_of(max(4.0 * len(names), 5.5), 3.2, 1, len(names))
    for one, projection in zip(axes, names, strict=True):
        for label, color, weights in networks:
            index = sign_index(weights[projection])
            index = np.sort(index[np.isfinite(index)])
            one.plot(np.linspace(0, 1, len(index)), index, color=color, linewidth=1.6, label=label)
        one.axhline(0.0, color=FAINT, linewidth=0.8, zorder=0)
        one.set_ylim(-1.08, 1.08)
        set_labels(
            one, display_name(projection), "pre neurons, by balance (share)", "sum w / sum |w| of outgoing weights"
        )
        legend_above(one)
    return figure


def draw_winners(name: str, life: Life) -> Picture:
    """Draw the winners: shares of held-out images by rank, and entropy and activity during learning."""
    figure, (left, right) = figure_of(9.0, 3.3, 1, 2)
    for portrait, color, label in ((life.before, QUIET, "before"), (life.after, COLORS[0], "after")):
        line_label = f"{label}, entropy {portrait.activity['winner_entropy']:.2f}"
        shares = np.sort(portrait.wins)[::-1]
        left.plot(np.arange(1, len(shares) + 1), shares, color=color, linewidth=1.6, label=line_label,
                  marker="." if len(shares) < 30 else None)  # fmt: skip
    left.axhline(1 / len(life.after.wins), color=FAINT, linestyle="--", linewidth=1, zorder=0)
    left.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    left.set_ylim(0, None)
    set_labels(left, "", "neurons by rank", "share of held-out images won")
    legend_above(left)
    images = np.arange(1, len(life.winners) + 1)
    entropy = winner_entropy(life.winners, len(life.after.wins), WINDOW)
    right.plot(images, entropy, color=COLORS[1], linewidth=1.6, label=f"entropy of the last {WINDOW} winners")
    right.plot(images, life.active, color=COLORS[2], linewidth=1.2, label="share of neurons active")
    right.set_ylim(-0.03, 1.03)
    set_labels(right, "", "training images", "in [0, 1]")
    legend_above(right)
    caption = (
        "Winners among the readout neurons. Dashed: all win equally often. Entropies are over their largest value."
    )
    return Picture(name, figure, caption)


def draw_stability(name: str, life: Life) -> Picture:
    """Draw the cosine of two responses, to one image (diagonal) and to different ones, before and after."""
    figure, axes = figure_of(9.4, 4.3, 1, 2)
    drawn = None
    for one, portrait, label in zip(axes, (life.before, life.after), ("before", "after"), strict=True):
        drawn = one.imshow(portrait.stability, cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest")
        classes, first = np.unique(portrait.labels, return_index=True)
        middle = first + (np.diff([*first, len(portrait.labels)]) - 1) / 2
        _name_classes(one, middle, [life.classes[label] for label in classes])
        set_labels(one, f"{label}: same image {portrait.same_image:.2f}, others {portrait.other_images:.2f}",
            "image, second showing, by class", "image, first showing, by class")  # fmt: skip
    assert drawn is not None
    color_bar(drawn, axes, "cosine of spike counts", fraction=0.025, pad=0.01)
    caption = (
        "Stability: responses to held-out images shown twice, with other input spikes. A bright diagonal on dark "
        "ground is a network with reproducible, image-specific responses."
    )
    return Picture(name, figure, caption)


def draw_confusion(name: str, life: Life) -> Picture:
    """Draw the confusion matrices, before and after learning."""
    figure, axes = figure_of(9.4, 4.4, 1, 2)
    drawn = None
    for one, portrait, label in zip(axes, (life.before, life.after), ("before", "after"), strict=True):
        drawn = _confusion(one, portrait, life.classes)
        set_labels(one, f"{label}: {100 * portrait.accuracy:.1f} % correct", "prediction", "label")
    assert drawn is not None
    color_bar(drawn, axes, "share of the label's images", fraction=0.025, pad=0.01)
    how = (
        "neurons got labels from other training images and classify by all-activity"
        if life.after.labelled
        else "the output answers"
    )
    numbers = " Numbers: percent, from 10 on." if len(life.classes) <= MOST_NUMBERED else ""
    return Picture(name, figure, f"Confusion on held-out images with frozen weights; {how}.{numbers}")


def _confusion(axes: Axes, portrait: Portrait, classes: Sequence[str]) -> AxesImage:
    count = portrait.confusion.sum(axis=1, keepdims=True)
    share = portrait.confusion / np.maximum(count, 1)  # (C, C)
    drawn = axes.imshow(share, cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest")
    for row, column in np.argwhere(share >= 0.095) if len(classes) <= MOST_NUMBERED else ():
        bright = share[row, column] > 0.6
        axes.text(column, row, f"{100 * share[row, column]:.0f}", ha="center", va="center",
                  fontsize=7 if len(classes) <= FEW_CLASSES else 5,
                  color=DARK if bright else "white")  # fmt: skip
    _name_classes(axes, np.arange(len(share)), classes)
    return drawn


def _name_classes(axes: Axes, places: NDArray[np.float64] | NDArray[np.int64], names: Sequence[str]) -> None:
    """Label both axes with class names; of many, every second or third, and the lower ones upright."""
    step, few = math.ceil(len(names) / MOST_NAMED), len(names) <= FEW_CLASSES
    axes.set_xticks(places[::step], names[::step], rotation=0 if few else 90)
    axes.set_yticks(places[::step], names[::step])
    axes.tick_params(length=0, labelsize=8 if few else 6)


def draw_raster(name: str, life: Life) -> Picture:
    """Draw the spikes of every population for the last image."""
    sizes = {population: spikes.shape[1] for population, spikes in life.raster.items()}
    figure = Figure(figsize=(9.0, 1.5 + 1.7 * len(sizes)), layout="constrained", facecolor="white")
    axes = figure.subplots(len(sizes), 1, sharex=True, squeeze=False)[:, 0]
    for one, color, (population, spikes) in zip(axes[::-1], COLORS, life.raster.items(), strict=False):
        spikes_of(one, spikes, color)
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8, length=3)
        set_labels(
            one, f"{display_name(population)}: {int(spikes.sum())} spikes of {spikes.shape[1]} neurons", "", "neuron"
        )
    axes[-1].set_xlabel(f"time step of {life.step_length:g} ms", fontsize=9)
    shown = life.classes[life.label]
    caption = f"Spike raster of the last image, a {shown}, the input at the bottom."
    return Picture(name, figure, caption)


def spikes_of(axes: Axes, spikes: NDArray[np.bool_], color: str, first: int = 0) -> None:
    """Draw a mark for each spike.

    Args:
        axes: To draw in.
        spikes: (T, N).
        color: Of the marks.
        first: Time steps that came before.
    """
    step, neuron = spikes.nonzero()
    size = float(np.clip(40 / np.sqrt(len(step) + 1), 2, 4))  # points; few spikes must be visible, many must not touch
    axes.plot(first + step + 1, neuron, "s", markersize=size, color=color, markeredgewidth=0)
    axes.set_xlim(first + 0.5, first + len(spikes) + 0.5)
    axes.set_ylim(-0.5, spikes.shape[1] - 0.5)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def network_pictures(life: Life, prefix: str) -> Sequence[Picture]:
    """Return all figures of a network's lifetime, in the order of the report."""
    return [
        draw_fields(f"{prefix}network_fields", life),
        draw_weights(f"{prefix}network_weights", life),
        draw_signs(f"{prefix}network_signs", life),
        draw_winners(f"{prefix}network_winners", life),
        draw_stability(f"{prefix}network_stability", life),
        draw_raster(f"{prefix}network_raster", life),
        draw_confusion(f"{prefix}network_confusion", life),
    ]


def display_name(name: str) -> str:
    """Return the display name of a population or projection: input_to_exc is "input → exc"."""
    return name.replace("_to_", " → ").replace("_", " ")
