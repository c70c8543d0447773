"""Report sections on a learned rule: its STDP kernel, its formula, its explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from snn_plasticity_gym.config.environments import EnvironmentConfig
from snn_plasticity_gym.evaluation.event_sample import EventSample
from snn_plasticity_gym.evaluation.explain import Explanation
from snn_plasticity_gym.evaluation.kernels import PairWindow, pair_window, rate_response
from snn_plasticity_gym.evaluation.stdp_fit import WindowFit, fit_window
from snn_plasticity_gym.report.explain_figures import draw_explanations
from snn_plasticity_gym.report.kernel_figures import draw_maps, draw_rates, draw_scalar, draw_windows
from snn_plasticity_gym.report.network_figures import display_name
from snn_plasticity_gym.report.page import Section
from snn_plasticity_gym.report.runs import Array
from snn_plasticity_gym.report.style import Picture, number
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.distilled import Term, format_formula, written_out
from snn_plasticity_gym.runs.tables import Table

QUANTILES = (0.02, 0.25, 0.5, 0.75, 0.98)  # of the weights of recorded events, at which windows are drawn
MAP_WEIGHTS = 31
RATES = 9
SCALAR_VALUES = 5
LEGEND = (
    "pre, post: 1 where that neuron fires now, else 0. x20, y20: trace of the earlier spikes of the pre, the post "
    "neuron, 20 ms; xn, yn: their number. w: weight."
)
TITLE = "The rule as a kernel"
LEAST_HISTORY = 3  # steps, with which there are two delays on each side
LEAST_RATE = 100.0  # Hz, to which bursts go at least


class SiteStudy:
    """Kernel of a rule at one projection, at the weights and scalars of recorded events.

    Args:
        rule: Plasticity rule.
        sample: Recorded events.
        place: Index of the projection.
    """

    def __init__(self, rule: Rule, sample: EventSample, place: int) -> None:
        self.rule = rule
        self.site = sample.sites[place]
        mine = sample.of(place)
        weight = sample.events.weight[mine].double().numpy()
        scalars = sample.events.extras[mine].double().numpy()  # (M, X)
        self.weights = _apart(np.quantile(weight, QUANTILES))
        self.scalars = [_spread_out(column) for column in scalars.T]
        self.usual = np.array([values[len(values) // 2] for values in self.scalars])  # (X,)

    @property
    def middle(self) -> float:
        """The median weight."""
        return float(self.weights[len(self.weights) // 2])

    def windows(self, weights: Array) -> PairWindow:
        """Return the kernel at several weights, further scalars at their usual values."""
        return pair_window(self.rule, self.site, weights, np.tile(self.usual, (len(weights), 1)))

    def map_weights(self) -> Array:
        """Return weights from the smallest to the largest."""
        low, high = self.weights[0], self.weights[-1]
        return np.linspace(low, high if high > low else low + 1e-3, MAP_WEIGHTS)

    def by_scalar(self, column: int, values: Array) -> PairWindow:
        """Return the kernel at the middle weight, at several values of one scalar."""
        extras = np.tile(self.usual, (len(values), 1))
        extras[:, column] = values
        return pair_window(self.rule, self.site, np.full(len(values), self.middle), extras)


def _spread_out(values: Array) -> Array:
    """Return representative values: all if there are few distinct ones, else quantiles."""
    distinct = np.unique(values)
    if len(distinct) <= SCALAR_VALUES:
        return distinct
    return _apart(np.quantile(values, np.linspace(0.02, 0.98, SCALAR_VALUES)))


def _apart(values: Array) -> Array:
    """Return ascending values without those that look equal to the one before in a legend."""
    values = np.unique(values)
    near = np.diff(values, prepend=-np.inf) < 1e-3 * np.abs(values).max()
    return values[~near]


def kernel_section(rule: Rule, config: EnvironmentConfig, sample: EventSample, prefix: str) -> Section:
    """Return the section on a rule's STDP kernel.

    Args:
        rule: Plasticity rule.
        config: Settings of its environment.
        sample: Recorded events, from which weights and scalars are taken.
        prefix: Of the names of pictures and tables.
    """
    studies = [SiteStudy(rule, sample, place) for place in range(len(sample.sites)) if len(sample.of(place))]
    if not studies:
        return Section(TITLE, "No synapse had an event: nothing fires in fresh networks.")
    if sample.sites[0].history_length < LEAST_HISTORY:
        return Section(TITLE, f"A history of fewer than {LEAST_HISTORY} steps has no window of delays.")
    titles = [display_name(study.site.name) for study in studies]
    windows = [study.windows(study.weights) for study in studies]
    fits = [fit_window(window.delays, window.interaction[len(window.change) // 2]) for window in windows]
    top = max(LEAST_RATE, 1000.0 * sample.max_rate / config.dt)
    rates = np.linspace(0.0, top, RATES)
    responses = [rate_response(rule, study.site, study.middle, rates, study.usual) for study in studies]
    pictures: list[Picture] = [
        draw_windows(f"{prefix}kernel_pairs", titles, windows, [study.weights for study in studies], fits),
        draw_maps(
            f"{prefix}kernel_map",
            titles,
            [study.windows(study.map_weights()) for study in studies],
            [study.map_weights() for study in studies],
        ),
        draw_rates(f"{prefix}kernel_rates", titles, responses),
    ]
    for column, scalar in enumerate(sample.sites[0].extra_names):
        values = [study.scalars[column] for study in studies]
        name = f"{prefix}kernel_{scalar}"
        if max(map(len, values)) > 1:
            shown = [study.by_scalar(column, some) for study, some in zip(studies, values, strict=True)]
            pictures.append(draw_scalar(name, scalar, titles, shown, values))
        elif len(studies) > 1:  # each projection has a separate value, as a layer has
            every = np.unique(np.concatenate(values))
            pictures.append(
                draw_scalar(
                    name,
                    scalar,
                    [f"all synapses, w {number(studies[0].middle)}"],
                    [studies[0].by_scalar(column, every)],
                    [every],
                )
            )
    table = Table(
        f"{prefix}kernel",
        ["synapses", "w", "pre alone", "post alone", "A₊", "τ₊ (ms)", "A₋", "τ₋ (ms)", "R² of the window"],
        [_row(*one) for one in zip(titles, studies, windows, fits, strict=True)],
        "Window: A₊ exp(−Δt/τ₊) for Δt > 0, −A₋ exp(Δt/τ₋) for Δt < 0, fitted to a pair's change beyond its two "
        "spikes alone; delta_d in units of the learning rate. A time constant in brackets is at the end of its range: "
        "the side is flat, or ends within a step.",
    )
    return Section(TITLE, _remark(windows, fits), pictures, [table])


def formula_section(heads: Sequence[str], formulas: Sequence[Sequence[Term]], prefix: str) -> Section:
    """Return the section on a rule that is a formula.

    Args:
        heads: Names of the groups.
        formulas: Terms of each.
        prefix: Of the name of the table.
    """
    rows = [[head, format_formula(terms)] for head, terms in zip(heads, formulas, strict=True)]
    return Section("The rule", "", [], [Table(f"{prefix}rule", ["head", "rule"], rows, LEGEND)])


def explanation_section(
    explanations: Sequence[Explanation], rewards: Mapping[str, float], prefix: str, usable: str
) -> Section:
    """Return the section on the explanations of a rule.

    Args:
        explanations: Of its heads; at least one.
        rewards: Mean reward on the same networks and images of the rule, its formula and others, by name.
        prefix: Of the names of pictures and tables.
        usable: Name of the formula as a `--rules` argument.
    """
    rows = [[one.head, number(one.r_squared), f"Δd = {written_out(one.terms)}"] for one in explanations]
    table = Table(
        f"{prefix}formula",
        ["head", "R²", "formula"],
        rows,
        f"{LEGEND} As a rule: --rules {usable}",
    )
    reward_rows = Table(
        f"{prefix}formula_reward",
        ["rule", "reward"],
        [[name, f"{reward:.4g}".replace("-", "−")] for name, reward in rewards.items()],
        "Mean reward of the same fresh networks on held-out images, or in fresh episodes; after plasticity where that "
        "ends.",
    )
    return Section(
        "Which known rule explains it",
        "",
        [draw_explanations(f"{prefix}explained", explanations)],
        [table, reward_rows],
    )


def _row(title: str, study: SiteStudy, window: PairWindow, fit: WindowFit) -> list[str]:
    middle = len(window.change) // 2
    taus = [
        f"({tau:.3g})" if bound else f"{tau:.3g}"
        for tau, bound in zip((fit.tau_plus, fit.tau_minus), fit.at_bound, strict=True)
    ]
    alone = [number(values[middle]) for values in (window.pre_alone, window.post_alone)]
    return [title, number(study.middle), *alone, number(fit.a_plus), taus[0], number(fit.a_minus), taus[1],
            number(fit.r_squared)]  # fmt: skip


def _remark(windows: list[PairWindow], fits: list[WindowFit]) -> str:
    """Return the main finding of the windows in one sentence."""
    if all(np.abs(window.change).max() < 1e-12 for window in windows):
        return "The rule changes no weight."
    lone = sum(float(np.abs(w.pre_alone + w.post_alone).mean()) for w in windows)
    paired = sum(float(np.abs(w.interaction[:, w.delays != 0]).max(axis=1).mean()) for w in windows)
    if lone > paired:
        return (
            "Single spikes change more than their pairing: a spike's change alone exceeds the most that a partner "
            "adds to it."
        )
    return "Pairing changes more than single spikes alone."
