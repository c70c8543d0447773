"""Pictures of a network: the arrays that are drawn."""

import numpy as np
import pytest

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.evaluation.comparison_figures import field_grid
from snn_plasticity_gym.evaluation.network_life import Life, record_lifetime, sign_index, winner_entropy
from snn_plasticity_gym.report.network_figures import BINS, WINDOW, network_pictures
from snn_plasticity_gym.rules.registry import make_rule

ENV = "SNNPlastic-Unsup1-v0"
SETTINGS = {
    "dataset": "digits",
    "n_exc": 6,
    "num_steps": 12,
    "history_length": 8,
    "max_rate": 0.05,
    "gain_input_exc": 8.0,
}


@pytest.fixture(scope="module")
def life() -> Life:
    rule = make_rule("stdp", learning_rate=0.3)
    return record_lifetime(rule, ENV, environment_config(ENV, **SETTINGS), WINDOW + 4, seed=0)


@pytest.fixture(scope="module")
def figures(life) -> dict:
    return {picture.name: picture.figure for picture in network_pictures(life, "p_")}


def test_there_is_every_picture(figures):
    names = ("fields", "weights", "signs", "winners", "stability", "raster", "confusion")
    assert list(figures) == [f"p_network_{name}" for name in names]


def test_fields_after_and_their_change(figures, life):
    after, change = figures["p_network_fields"].axes[:2]
    first, last = life.fields(0), life.fields(-1)
    for axes, fields in ((after, last), (change, last - first)):
        np.testing.assert_array_equal(axes.images[0].get_array().filled(np.nan), field_grid(fields)[0])
    low, high = change.images[0].get_clim()
    assert low == -high < 0 and "24 images" in after.get_title()


def test_histograms_count_the_synapses_that_there_are(figures, life):
    axes = figures["p_network_weights"].axes
    for one, projection in zip(axes, life.weights[0], strict=True):
        assert len(one.patches) == len(life.ages)
        for patch, snapshot in zip(one.patches, life.weights, strict=True):
            values, edges, _ = patch.get_data()
            weights = snapshot[projection]
            np.testing.assert_allclose(
                values, np.histogram(weights[np.isfinite(weights)], edges)[0] / np.isfinite(weights).sum()
            )
            assert len(values) == BINS and values.sum() == pytest.approx(1)
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == [str(age) for age in life.ages]


def test_balances_are_in_order_of_size(figures, life):
    for axes, projection in zip(figures["p_network_signs"].axes, life.weights[0], strict=True):
        before, after = (line.get_ydata() for line in axes.lines[:2])
        np.testing.assert_allclose(before, np.sort(sign_index(life.weights[0][projection])))
        np.testing.assert_allclose(after, np.sort(sign_index(life.weights[-1][projection])))


def test_winners_by_rank_and_over_time(figures, life):
    left, right = figures["p_network_winners"].axes
    for line, portrait in zip(left.lines, (life.before, life.after), strict=False):
        np.testing.assert_allclose(line.get_ydata(), np.sort(portrait.wins)[::-1])
        assert f"{portrait.activity['winner_entropy']:.2f}" in line.get_label()
    np.testing.assert_allclose(right.lines[0].get_ydata(), winner_entropy(life.winners, 6, WINDOW))
    np.testing.assert_allclose(right.lines[1].get_ydata(), life.active)


def test_matrices(figures, life):
    for axes, portrait in zip(figures["p_network_stability"].axes, (life.before, life.after), strict=False):
        np.testing.assert_array_equal(axes.images[0].get_array(), portrait.stability)
        assert f"{portrait.same_image:.2f}" in axes.get_title()
        assert axes.get_xticks().tolist() == list(np.arange(10) * 3 + 1.0)
    for axes, portrait in zip(figures["p_network_confusion"].axes, (life.before, life.after), strict=False):
        share = portrait.confusion / portrait.confusion.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(axes.images[0].get_array(), share)
        written = {text.get_position(): text.get_text() for text in axes.texts}
        assert written == {(c, r): f"{100 * share[r, c]:.0f}" for r, c in np.argwhere(share >= 0.095)}
        assert axes.get_ylabel() == "label" and axes.get_xlabel() == "prediction"


def test_the_raster_shows_every_spike(figures, life):
    axes = figures["p_network_raster"].axes
    for one, spikes in zip(axes[::-1], life.raster.values(), strict=True):
        step, neuron = spikes.nonzero()
        np.testing.assert_array_equal(one.lines[0].get_xydata(), np.stack([step + 1, neuron], axis=1))
    assert "ms" in axes[-1].get_xlabel()
