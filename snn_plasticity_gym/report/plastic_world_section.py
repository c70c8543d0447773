"""The part of a report that shows what a network with trained plasticity is worth in a world, and in a changed one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snn_plasticity_gym.report.page import Section
from snn_plasticity_gym.report.style import COLORS, QUIET, Picture, figure_of, say
from snn_plasticity_gym.runs.tables import Table

TEXT = (
    "The network's parameters are those that were best on validation episodes. They are judged by other episodes, with "
    "the same starts in every row, by the most likely actions. What plasticity changes lasts from the first action of "
    "an episode to its last. Nothing was trained with these disturbances."
)
AS_IN_TRAINING = "as in training"  # what the circumstances of training are called


def plastic_world_section(result: Mapping[str, Any], prefix: str) -> Section:
    """Show what a run has come to.

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
    return Section("What the network is worth", TEXT, [_draw(f"{prefix}plastic_disturbed", tests)], [table])


def _draw(name: str, tests: Mapping[str, Mapping[str, float]]) -> Picture:
    figure, (axes,) = figure_of(8.2, 0.8 + 0.35 * len(tests), 1)
    colors = [COLORS[0] if one == AS_IN_TRAINING else QUIET for one in tests]
    returns, spreads = ([test[key] for test in tests.values()] for key in ("return", "return_spread"))
    axes.barh(list(tests), returns, xerr=spreads, color=colors)
    axes.invert_yaxis()
    say(axes, "Return of a test episode", "return", "")
    return Picture(name, figure, "Mean and standard deviation over episodes.")
