"""Report section on the test returns of a network with trained plasticity, in its environment and in changed ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snn_plasticity_gym.report.page import Section
from snn_plasticity_gym.report.style import COLORS, QUIET, Picture, figure_of, set_labels
from snn_plasticity_gym.runs.tables import Table

TEXT = (
    "The network's parameters are those that were best on validation episodes. They are tested on other episodes, with "
    "the same initial states in every row, by the most likely actions. Plastic changes last from the first action of "
    "an episode to its last. No training used these disturbances."
)
AS_IN_TRAINING = "as in training"  # name of the undisturbed environment


def plastic_world_section(result: Mapping[str, Any], prefix: str) -> Section:
    """Return the section on the test returns of a run.

    Args:
        result: Of its result.json.
        prefix: Of the names of picture and table.
    """
    tests = {AS_IN_TRAINING: result["test"], **result["disturbed"]}
    rows = [
        [name, f"{test['return']:.1f} ± {test['return_spread']:.1f}", f"{test['length']:.0f}",
         f"{test['hidden_rate']:.0f}", f"{test['output_rate']:.0f}"]
        for name, test in tests.items()
    ]  # fmt: skip
    caption = (
        f"Returns of held-out episodes in {result['world']}, mean ± standard deviation over episodes; "
        f"{result['parameters']} parameters, {result['not_finite_steps']} steps of training left out as not finite."
    )
    columns = ["test episodes", "return", "actions", "spikes of a hidden neuron per s", "of an output neuron"]
    table = Table(f"{prefix}plastic_world", columns, rows, caption)
    return Section("Test returns of the network", TEXT, [_draw(f"{prefix}plastic_disturbed", tests)], [table])


def _draw(name: str, tests: Mapping[str, Mapping[str, float]]) -> Picture:
    figure, (axes,) = figure_of(8.2, 0.8 + 0.35 * len(tests), 1)
    colors = [COLORS[0] if one == AS_IN_TRAINING else QUIET for one in tests]
    returns, spreads = ([test[key] for test in tests.values()] for key in ("return", "return_spread"))
    axes.barh(list(tests), returns, xerr=spreads, color=colors)
    axes.invert_yaxis()
    set_labels(axes, "Return of a test episode", "return", "")
    return Picture(name, figure, "Mean and standard deviation over episodes.")
