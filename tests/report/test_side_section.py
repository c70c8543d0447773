"""Rules side by side: their kernels, their differences, their networks."""

import numpy as np
import pytest

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.evaluation.event_sample import sample_events
from snn_plasticity_gym.evaluation.network_life import record_lifetime, sign_index
from snn_plasticity_gym.report.side_section import Study, side_sections
from snn_plasticity_gym.rules.registry import make_rule

SETTINGS = {
    "dataset": "digits",
    "n_exc": 5,
    "num_steps": 12,
    "history_length": 10,
    "max_rate": 0.05,
    "gain_input_exc": 8.0,
}
SEMI = {"dataset": "digits", "hidden_sizes": (5,), "w_init": 6.0}


def study(label: str, env_id: str, settings: dict, **parameters) -> Study:
    config, rule = environment_config(env_id, **settings), make_rule("stdp", **parameters)
    return Study(
        label, rule, sample_events(rule, env_id, config, 2, 1, 300, 0), record_lifetime(rule, env_id, config, 2, 0)
    )


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    return [
        study("one", "SNNPlastic-Unsup1-v0", SETTINGS, learning_rate=0.005),
        study("two", "SNNPlastic-Unsup2-v0", SETTINGS, learning_rate=0.002, tau_plus=10.0),
    ]


def test_kernels_and_what_tells_them_apart(studies):
    (section,) = side_sections(studies)
    axes = section.pictures[0].figure.axes
    assert [one.get_title().split(",")[0] for one in axes[:2]] == ["input → exc", "inh → exc"]
    lines = {line.get_label(): line for line in axes[0].lines}
    delays = np.arange(1, 10)
    np.testing.assert_allclose(lines["one"].get_ydata(), 0.5 * np.exp(-delays / 20), rtol=1e-5)
    np.testing.assert_allclose(lines["two"].get_ydata(), 0.2 * np.exp(-delays / 10), rtol=1e-5)
    difference = {line.get_label(): line for line in axes[2].lines}["two"]
    np.testing.assert_allclose(
        difference.get_ydata(), 0.2 * np.exp(-delays / 10) - 0.5 * np.exp(-delays / 20), rtol=1e-5
    )
    assert axes[2].get_title() == "difference from one"
    inhibitory = {line.get_label(): line for line in axes[1].lines}["one"]  # more negative after pre before post
    np.testing.assert_allclose(inhibitory.get_ydata(), -0.5 * np.exp(-delays / 20), rtol=1e-5)


def test_networks_beside_each_other(studies):
    (section,) = side_sections(studies)
    _, signs, winners = (picture.figure for picture in section.pictures)
    for axes, projection in zip(signs.axes, ("input_to_exc", "inh_to_exc"), strict=True):
        for line, one in zip(axes.lines, studies, strict=False):
            np.testing.assert_allclose(line.get_ydata(), np.sort(sign_index(one.life.weights[-1][projection])))
    for line, one in zip(winners.axes[0].lines, studies, strict=False):
        np.testing.assert_allclose(line.get_ydata(), 5 * np.sort(one.life.after.wins)[::-1])
    (table,) = section.tables
    assert table.head[1:] == ["one", "two"] and all(len(row) == 3 for row in table.rows)


def test_rules_of_other_networks_are_not_compared(studies):
    other = study("semi", "SNNPlastic-Semi-v0", SEMI)
    assert side_sections([studies[0], other]) == side_sections(studies[:1]) == []
    (section,) = side_sections([studies[0], other, studies[1]])
    assert section.tables[0].head[1:] == ["one", "two"]
