"""Pictures of a network of any task: the arrays that are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from toys_tasks import QUOTA, registered
from toys_worlds import CORRIDOR

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.evaluation.episode_life import EpisodeLife, record_episodes
from snn_plasticity_gym.report.episode_figures import LONGEST_TRACE, episode_pictures
from snn_plasticity_gym.report.portraits import portray
from snn_plasticity_gym.rules.registry import make_rule

CONTROL = "SNNPlastic-Control-v0"
SETTINGS = {
    "world": CORRIDOR,
    "world_kwargs": '{"cells": 4}',
    "max_actions": 30,
    "history_length": 6,
    "encoder_kwargs": '{"fields": 2, "period": 3}',
    "decoder_kwargs": '{"group_size": 3}',
    "hidden_sizes": (5,),
    "steps_per_action": 9,
    "w_init_min": 0.4,
    "w_init_max": 1.0,
}
STDP = make_rule("stdp", learning_rate=0.2, scale=0.05)


@pytest.fixture(scope="module", autouse=True)
def quota():
    with registered():
        yield


@pytest.fixture(scope="module")
def life() -> EpisodeLife:
    return record_episodes(STDP, CONTROL, environment_config(CONTROL, **SETTINGS), 5, seed=4)


@pytest.fixture(scope="module")
def figures(life) -> dict:
    return {picture.name: picture.figure for picture in episode_pictures(life, "p_")}


def test_there_is_every_picture(figures):
    names = ("episodes", "matrices", "weights", "signs", "groups", "raster")
    assert list(figures) == [f"p_network_{name}" for name in names]


def test_episodes_one_by_one(figures, life):
    panels = {axes.get_title(): axes for axes in figures["p_network_episodes"].axes if axes.get_title()}
    np.testing.assert_array_equal(panels["return"].lines[0].get_xydata(), np.stack([range(1, 6), life.returns], 1))
    rates = {line.get_label(): line.get_ydata() for line in panels["rates"].lines}
    assert set(rates) == {"input", "hidden 1", "motor"}
    np.testing.assert_array_equal(rates["motor"], life.rates["motor"])


def test_matrices_before_after_and_their_change(figures, life):
    images = [axes.images[0] for axes in figures["p_network_matrices"].axes if axes.images]
    first, last = (life.weights[place]["input_to_hidden_1"] for place in (0, -1))
    for image, expected in zip(images[:3], (first, last, last - first), strict=True):
        np.testing.assert_array_equal(image.get_array().filled(np.nan), expected)
        assert image.get_clim()[0] == -image.get_clim()[1]
    assert images[0].get_clim() == images[1].get_clim()


def test_weights_by_what_their_targets_stand_for(figures, life):
    (axes,) = figures["p_network_groups"].axes
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    after = life.weights[-1]["hidden_1_to_motor"]
    np.testing.assert_allclose(lines["action 0"], after[:, :3].mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(lines["action 1"], after[:, 3:].mean(axis=1), rtol=1e-6)


def test_the_last_episode_and_its_spikes(figures, life):
    axes = figures["p_network_raster"].axes
    assert [one.get_ylabel() for one in axes] == ["action", "reward", "neuron", "neuron", "neuron"]
    np.testing.assert_array_equal(axes[0].lines[0].get_ydata(), life.traces["action"][-LONGEST_TRACE:])
    np.testing.assert_array_equal(axes[1].lines[0].get_ydata(), life.step_rewards[-LONGEST_TRACE:])
    before = life.lengths[-1] - len(life.raster["motor"])  # time steps that are not kept
    for one, spikes in zip(axes[:1:-1], life.raster.values(), strict=True):
        step, neuron = spikes.nonzero()
        np.testing.assert_array_equal(one.lines[0].get_xydata(), np.stack([before + step + 1, neuron], axis=1))


def test_a_third_partys_task_has_its_portrait():
    life, section = portray("episodes", STDP, QUOTA, environment_config(QUOTA), 4, 0, "q_")
    names = [picture.name.removeprefix("q_network_") for picture in section.pictures]
    assert names == ["episodes", "matrices", "weights", "signs", "raster"]  # its answers stand for nothing
    rows = {row[0]: row[1:] for row in section.tables[0].rows}
    assert {"return of an episode", "fired", "rate of out (Hz)", "mean weight, in → out"} <= rows.keys()
    assert float(rows["mean weight, in → out"][1]) == pytest.approx(life.weights[-1]["in_to_out"].mean(), rel=5e-3)
    with pytest.raises(ConfigError, match="unknown portrait 'episode'; did you mean 'episodes'"):
        portray("episode", STDP, QUOTA, environment_config(QUOTA), 4, 0, "")
