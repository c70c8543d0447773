"""Report section that compares the rules of several trainings, e.g. Unsup1's and Unsup2's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.evaluation.episode_life import EpisodeLife
from snn_plasticity_gym.evaluation.event_sample import EventSample
from snn_plasticity_gym.evaluation.kernels import PairWindow, pair_window
from snn_plasticity_gym.evaluation.network_life import Life
from snn_plasticity_gym.evaluation.probes import Site
from snn_plasticity_gym.report.kernel_figures import DELAY, branches
from snn_plasticity_gym.report.network_figures import balances, display_name
from snn_plasticity_gym.report.page import Section
from snn_plasticity_gym.report.runs import Array
from snn_plasticity_gym.report.style import COLORS, FAINT, Picture, figure_of, legend_above, number, set_labels
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.runs.tables import Table


class Study(NamedTuple):
    """Results of a report on the rule of one training."""

    label: str
    rule: Rule
    sample: EventSample
    life: Life | EpisodeLife

    @property
    def sites(self) -> dict[str, Site]:
        """Its probe sites, by projection."""
        return {site.name: site for site in self.sample.sites}


def side_sections(studies: Sequence[Study]) -> list[Section]:
    """Compare the rules of networks that have the same projections, a section for each such set of several."""
    sets: dict[tuple[str, ...], list[Study]] = {}
    for study in studies:
        sets.setdefault(tuple(study.sites), []).append(study)
    compared = [some for some in sets.values() if len(some) > 1]
    return [_compare(some, f"side{place or ''}_") for place, some in enumerate(compared)]


def _compare(studies: Sequence[Study], prefix: str) -> Section:
    """Compare rules; all kernels of a projection are at one weight, the median of all recorded events there."""
    names = list(studies[0].sites)
    weights = [_median_weight(studies, name) for name in names]
    windows = [
        [pair_window(study.rule, study.sites[name], np.array([weight])) for study in studies]
        for name, weight in zip(names, weights, strict=True)
    ]
    pictures = [
        _draw_kernels(f"{prefix}kernels", studies, names, weights, windows),
        _draw_signs(f"{prefix}signs", studies),
    ]
    wins = [study.life.wins for study in studies]
    shares = [won for won in wins if won is not None]
    if len(shares) == len(studies):
        pictures.append(_draw_winners(f"{prefix}winners", [study.label for study in studies], shares))
    return Section("Side by side", "", pictures, [_table(f"{prefix}networks", studies, names, windows)])


def _median_weight(studies: Sequence[Study], name: str) -> float:
    events = [study.sample.events.weight[study.sample.of(study.sites[name].projection)] for study in studies]
    every = np.concatenate([some.double().numpy() for some in events])
    return float(np.median(every)) if len(every) else 0.0


def _draw_kernels(name: str, studies: Sequence[Study], names: Sequence[str], weights: Sequence[float],
                  windows: Sequence[Sequence[PairWindow]]) -> Picture:  # fmt: skip
    figure, axes = figure_of(max(4.4 * len(names), 6.0), 5.8, 2, len(names))
    for column, (projection, weight, own) in enumerate(zip(names, weights, windows, strict=True)):
        above, below = axes[column], axes[len(names) + column]
        for study, window, color in zip(studies, own, COLORS, strict=False):
            branches(above, window.delays, window.change[0], color, study.label)
            if study is not studies[0] and len(window.delays) == len(own[0].delays):
                branches(below, window.delays, window.change[0] - own[0].change[0], color, study.label)
        set_labels(above, f"{display_name(projection)}, w {number(weight)}", DELAY, "Δd by the pair")
        set_labels(below, f"difference from {studies[0].label}", DELAY, "difference in Δd")
        for one in (above, below):
            one.axhline(0.0, color=FAINT, linewidth=0.8, zorder=0)
            one.axvline(0.0, color=FAINT, linewidth=0.8, zorder=0)
            one.ticklabel_format(axis="y", scilimits=(-2, 4))
            legend_above(one)
    caption = "Kernels for pairs of single spikes at one weight, and how they differ; Δt = 0 (circle) is the same step."
    return Picture(name, figure, caption)


def _draw_signs(name: str, studies: Sequence[Study]) -> Picture:
    networks = [(study.label, color, study.life.weights[-1]) for study, color in zip(studies, COLORS, strict=False)]
    figure = balances(networks)
    return Picture(name, figure, "Outgoing weights by neuron after learning: 1 excitatory, −1 inhibitory only.")


def _draw_winners(name: str, labels: Sequence[str], wins: Sequence[Array]) -> Picture:
    figure, (axes,) = figure_of(6.0, 3.3)
    for label, color, won in zip(labels, COLORS, wins, strict=False):
        shares = np.sort(won)[::-1]
        axes.plot(np.linspace(0, 1, len(shares)), shares * len(shares), color=color, linewidth=1.6, label=label)
    axes.axhline(1.0, color=FAINT, linestyle="--", linewidth=1, zorder=0)
    axes.set_ylim(0, None)
    set_labels(axes, "winners on held-out images, after learning", "neurons by rank (share)", "images won / fair share")
    legend_above(axes)
    return Picture(name, figure, "Winners: neurons in order of the images they win; dashed: all win equally often.")


def _table(name: str, studies: Sequence[Study], names: Sequence[str], windows: Sequence[Sequence[PairWindow]]) -> Table:
    facts = [study.life.facts for study in studies]
    shared = [name for name in facts[0] if all(name in others for others in facts)]
    rows = [[name, *(number(own[name][-1]) for own in facts)] for name in shared]
    for projection, own in zip(names, windows, strict=True):
        rows.append([f"Δd of a pre spike alone, {display_name(projection)}", *(number(w.pre_alone[0]) for w in own)])
        rows.append([f"Δd of a post spike alone, {display_name(projection)}", *(number(w.post_alone[0]) for w in own)])
    return Table(name, ["after learning", *(study.label for study in studies)], rows)
