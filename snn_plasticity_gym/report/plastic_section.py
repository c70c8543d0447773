"""Report section on a network with trained plasticity: its accuracy, and a recorded trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from snn_plasticity_gym.config.plastic import BACKPROPAMINE, FORMULA, HEAD, PER_SYNAPSE, RETROACTIVE
from snn_plasticity_gym.evaluation.plastic_life import PlasticTrial, Responses, load_network, respond, watch
from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.report.page import Section
from snn_plasticity_gym.report.plastic_world_section import plastic_world_section
from snn_plasticity_gym.report.rule_section import formula_section
from snn_plasticity_gym.report.runs import Run
from snn_plasticity_gym.report.style import (
    COLORS,
    DIVERGING,
    FAINT,
    QUIET,
    SEQUENTIAL,
    Picture,
    color_bar,
    figure_of,
    legend_above,
    set_labels,
)
from snn_plasticity_gym.runs.tables import Table
from snn_plasticity_gym.tasks.cue_association import CONDITIONS, CUE_STEPS, GROUP, LEFT, RIGHT

WEIGHTS, RESULT = "weights.pt", "result.json"
SHOWN_CUES = (LEFT, RIGHT, RIGHT, LEFT, RIGHT, LEFT, RIGHT)
LINES = 12  # weights that are drawn
TRIALS = 40  # over which responses are averaged
SMOOTHED = 15  # steps of a running mean of spikes
SIDES = ("left", "right")
TEXT = (
    "Two layers whose weights within a trial are w + gain * E; E starts at 0 and follows the rule in every step. The "
    "decision is the output neuron that spikes more while the decision cue is on."
)
FORMULA_TEXT = (
    "Two layers whose weights start each trial at their trained values, and then follow one formula, that of the "
    "table: w changes by eta * Δd at a synapse one of whose neurons spikes. The decision is the output neuron that "
    "spikes more while the decision cue is on. The folder of this run is a rule for every environment (evaluate.py "
    "--rules)."
)
HEAD_TEXT = (
    "Two layers whose weights start each trial at their trained values, and then follow one policy head: w changes by "
    "eta * Δd at a synapse one of whose neurons spikes. The decision is the output neuron that spikes more while the "
    "decision cue is on. The folder of this run is a rule for every environment (evaluate.py --rules)."
)
OWN_TEXT = (
    "Two layers whose weights start each trial at their trained values, and then follow a formula: w changes by eta * "
    "Δd at a synapse one of whose neurons spikes. Each synapse has separate coefficients, so this is no rule for other "
    "networks. The decision is the output neuron that spikes more while the decision cue is on."
)


def is_plastic(run: Run) -> bool:
    """Whether a run is a finished one of train_plastic."""
    return "rule_gradient" in run.config and (run.path / WEIGHTS).is_file() and (run.path / RESULT).is_file()


def plastic_section(run: Run, seed: int, prefix: str) -> Section:
    """Return the section on the network of a run.

    Args:
        run: One that `is_plastic`.
        seed: Of the trials that are drawn.
        prefix: Of the names of pictures and tables.
    """
    result = json.loads((run.path / RESULT).read_text(encoding="utf-8"))
    if run.config.get("world"):
        return plastic_world_section(result, prefix)
    config, network = load_network(run.config, run.path / WEIGHTS)
    rest = config.rests[len(config.rests) // 2]
    trial = watch(network, SHOWN_CUES, rest, "normal", seed, LINES)
    count = len(SHOWN_CUES)
    given = {"only left": (LEFT,) * count, "only right": (RIGHT,) * count, "no cues": (-1,) * count}
    responses = {name: respond(network, cues, rest, "normal", seed, TRIALS) for name, cues in given.items()}
    usual = 0.0 if config.network in (BACKPROPAMINE, RETROACTIVE) else 1.0
    pictures = [
        _draw_trial(f"{prefix}plastic_trial", trial, rest, usual),
        _draw_responses(f"{prefix}plastic_cues", responses, rest),
    ]
    tables, text = [_accuracies(f"{prefix}plastic_answers", result)], TEXT
    if config.network == FORMULA and config.coefficients == PER_SYNAPSE:
        text = OWN_TEXT
    elif config.network == HEAD:
        text = HEAD_TEXT
    elif config.network == FORMULA:
        rule = load_rule(run.path)
        tables += formula_section(rule.description.groups, rule.rule.formulas(), prefix).tables
        text = FORMULA_TEXT
    return Section("What changes within a trial", text, pictures, tables)


def _accuracies(name: str, result: Mapping[str, Any]) -> Table:
    test = result["test"]
    rows = [["as in training", *(_percent(test[condition]["accuracy"]) for condition in CONDITIONS)]]
    for rest in test["normal"]["by_rest"]:
        rows.append([f"… rest of {rest} ms", *(_percent(test[condition]["by_rest"][rest]) for condition in CONDITIONS)])
    for key, what in (("longer_rests", "rest of {} ms, not in training"), ("more_cues", "{} cues, not in training")):
        for value, by in result[key].items():
            rows.append([what.format(value), *(_percent(by[condition]) for condition in CONDITIONS)])
    caption = (
        f"Accuracy in held-out trials; chance is 50 %. {result['parameters']} parameters, "
        f"{result['not_finite_steps']} steps of training left out as not finite."
    )
    return Table(name, ["test trials", *CONDITIONS], rows, caption)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _draw_trial(name: str, trial: PlasticTrial, rest: int, usual: float) -> Picture:
    """Draw a trial; `usual` is the neuromodulator that is drawn without a color."""
    modulated, changes = trial.modulation.shape[1] > 0, trial.weights.shape[1] > 0
    rows = 3 + modulated + 2 * changes
    figure, axes = figure_of(8.2, 1.5 * rows, rows)
    for place, group in enumerate(("left", "right", "decision", "noise")):
        there = slice(place * GROUP, (place + 1) * GROUP)
        color = {"left": COLORS[0], "right": COLORS[1], "decision": COLORS[2]}.get(group, FAINT)
        _raster(axes[0], trial.inputs[:, there], color, place * GROUP)
    set_labels(axes[0], "Input spikes: left (blue), right (orange), decision (green), noise (grey)", "", "neuron")
    _raster(axes[1], trial.hidden, QUIET, 0)
    set_labels(axes[1], "Hidden spikes", "", "neuron")
    for side, color in enumerate(COLORS[:2]):
        axes[2].plot(_smooth(trial.output[:, side]), color=color, label=f"output {SIDES[side]}")
    set_labels(axes[2], "Output neurons", "", "spikes per ms")
    legend_above(axes[2])
    if modulated:
        off = float(np.abs(trial.modulation - usual).max()) or 1.0
        drawn = axes[3].imshow(trial.modulation.T, aspect="auto", cmap=DIVERGING, vmin=usual - off, vmax=usual + off,
                               interpolation="nearest")  # fmt: skip
        set_labels(axes[3], "Neuromodulator m of each hidden neuron", "", "neuron")
        color_bar(drawn, axes[3], "m")
    if changes:
        there, traces = axes[rows - 2], axes[rows - 1]
        drawn = there.imshow(trial.change.T, aspect="auto", cmap=SEQUENTIAL, vmin=0, interpolation="nearest")
        set_labels(there, "Change of the weights into each hidden neuron", "", "neuron")
        color_bar(drawn, there, "mean |change|")
        traces.plot(trial.weights, linewidth=1)
        set_labels(traces, "Weights that change most", "", "weight")
    axes[rows - 1].set_xlabel("ms", fontsize=9)
    for one in axes:
        one.set_xlim(0, len(trial.hidden))
        _mark(one, rest)
    caption = (
        "One trial with left, right, right, left, right, left, right. Dotted: ends of cues, and where the decision cue "
        "begins."
    )
    return Picture(name, figure, caption)


def _draw_responses(name: str, responses: Mapping[str, Responses], rest: int) -> Picture:
    figure, axes = figure_of(8.2, 4.4, 2, len(responses))
    most = max(float(_smooth(value).max()) for one in responses.values() for value in one.output.T) or 1.0
    lively = max(float(_smooth(one.hidden).max()) for one in responses.values()) or 1.0
    for place, (title, one) in enumerate(responses.items()):
        above, below = axes[place], axes[place + len(responses)]
        for side, color in enumerate(COLORS[:2]):
            above.plot(_smooth(one.output[:, side]), color=color, label=SIDES[side])
        set_labels(above, title, "", "" if place else "output, spikes per ms")
        above.set_ylim(0, 1.05 * most)
        below.plot(_smooth(one.hidden), color=QUIET)
        set_labels(below, "", "ms", "" if place else "hidden, spikes per ms")
        below.set_ylim(0, 1.05 * lively)
        _mark(above, rest)
        _mark(below, rest)
    axes[0].legend(frameon=False, fontsize=7.5)
    caption = f"Responses to one kind of cue and to none, means of {TRIALS} trials of the normal condition."
    return Picture(name, figure, caption)


def _raster(axes: Axes, spikes: np.ndarray, color: str, first: int) -> None:
    steps, neurons = np.nonzero(spikes)
    axes.plot(steps, neurons + first, "|", color=color, markersize=2)


def _mark(axes: Axes, rest: int) -> None:
    end = len(SHOWN_CUES) * CUE_STEPS
    for step in (*range(CUE_STEPS, end + 1, CUE_STEPS), end + rest):
        axes.axvline(step, color=FAINT, linestyle=":", linewidth=0.7)


def _smooth(spikes: np.ndarray) -> np.ndarray:
    """Return the mean of the last SMOOTHED steps, (T,)."""
    kernel = np.ones(SMOOTHED) / SMOOTHED
    return np.convolve(spikes, kernel)[: len(spikes)]
