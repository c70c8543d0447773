"""A network's life on any task: what is written down is what happened."""

from __future__ import annotations

import numpy as np
import pytest
from toys_tasks import QUOTA, registered
from toys_worlds import CORRIDOR

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation import episode_life
from snn_plasticity_gym.evaluation.episode_life import record_episodes
from snn_plasticity_gym.rules.registry import make_rule

CONTROL = "SNNPlastic-Control-v0"
CORRIDORS = {
    "world": CORRIDOR,
    "world_kwargs": '{"cells": 4}',
    "max_actions": 30,
    "history_length": 6,
    "encoder": "one-hot",
    "encoder_kwargs": '{"fields": 2, "period": 3}',
    "decoder_kwargs": '{"group_size": 3}',
    "hidden_sizes": (5,),
    "steps_per_action": 9,
    "w_init_min": 0.4,
    "w_init_max": 1.0,
}
CASES = {"world": (CONTROL, CORRIDORS), "third party": (QUOTA, {}), "modulated": (QUOTA, {"modulation": "reward"})}


@pytest.fixture(scope="module", autouse=True)
def quota():
    with registered():
        yield


@pytest.mark.parametrize("case", CASES)
def test_a_life_is_that_of_the_environment(case):
    env_id, settings = CASES[case]
    rule = make_rule("stdp", learning_rate=0.2, scale=0.05)
    config = environment_config(env_id, **settings, lifetime_length=3, plastic_episodes=2)  # both set aside
    life = record_episodes(rule, env_id, config, 6, seed=4)
    env = PlasticityVectorEnv(env_id, num_envs=1, **settings)
    env.reset(seed=4)
    start = {name: weights.clone() for name, weights in env.engine.plastic_weights(0).items()}
    results = [env.run_episode(rule) for _ in range(6)]
    assert life.ages == [0, 2, 3, 4, 6] and len(life.weights) == 5
    assert life.returns.tolist() == pytest.approx([float(result.reward) for result in results])
    assert life.lengths.tolist() == [float(result.length) for result in results]
    for name, values in life.terms.items():
        np.testing.assert_array_equal(values, [float(result.terms[name]) for result in results])
    for name, rates in life.rates.items():
        size = env.engine.network.populations[name].size
        expected = [int(result.spikes[name]) / size / int(result.length) * 1000 for result in results]
        np.testing.assert_allclose(rates, expected)
    moved = False
    for name, end in env.engine.plastic_weights(0).items():
        np.testing.assert_allclose(life.weights[0][name], start[name])
        np.testing.assert_allclose(life.weights[-1][name], end.numpy(), atol=1e-6)
        moved |= not np.array_equal(life.weights[0][name], life.weights[-1][name])
    assert moved
    assert life.step_rewards.tolist() == pytest.approx(results[-1].payments[0].tolist())
    assert life.reward_steps.tolist() == results[-1].payment_steps.tolist()


def test_what_a_control_task_tells_of_itself():
    config = environment_config(CONTROL, **CORRIDORS)
    life = record_episodes(make_rule("zero"), CONTROL, config, 2, seed=0)
    actions = life.traces["action"]
    assert len(actions) == len(life.step_rewards) == life.lengths[-1] / 9 and set(actions) <= {0.0, 1.0}
    cell, rewards = 0, []
    for action in actions:  # the walk that these actions make is the one that was paid
        cell = min(max(cell + (1 if action == 1 else -1), 0), 3)
        rewards.append((1.0 if cell == 3 else 0.0) - 0.01)
    assert life.step_rewards.tolist() == pytest.approx(rewards)
    assert {name: neurons.tolist() for name, neurons in life.groups.items()} == {
        "action 0": [0, 1, 2],
        "action 1": [3, 4, 5],
    }
    assert life.answering == ["hidden_1_to_motor"]
    kept = min(90, int(life.lengths[-1]))
    counts = life.raster["motor"][-9:].sum(axis=0)  # the spikes of the last action decide it, unless they are even
    votes = counts[:3].sum(), counts[3:].sum()
    assert len(life.raster["motor"]) == kept and (votes[0] == votes[1] or actions[-1] == (votes[1] > votes[0]))


def test_groups_of_actions_that_have_bounds():
    settings = {"world": "Pendulum-v1", "encoder": "gaussian", "encoder_kwargs": '{"fields": 4}',
                "decoder": "population", "decoder_kwargs": '{"group_size": 6}', "max_actions": 2}  # fmt: skip
    life = record_episodes(make_rule("zero"), CONTROL, environment_config(CONTROL, **settings), 1, seed=0)
    assert {name: neurons.tolist() for name, neurons in life.groups.items()} == {
        "action 0 up": [0, 1, 2],
        "action 0 down": [3, 4, 5],
    }
    assert life.traces["action"].shape == (2, 1)


def test_no_episode_begins_after_the_most_steps(monkeypatch):
    monkeypatch.setattr(episode_life, "MOST_STEPS", 25)  # of 12 each
    life = record_episodes(make_rule("stdp"), QUOTA, environment_config(QUOTA), 50, seed=0)
    assert len(life.returns) == 3 and life.ages == [0, 3] and len(life.weights) == 2


def test_facts_are_means_of_the_first_and_last_quarter():
    life = record_episodes(make_rule("stdp", learning_rate=0.3), QUOTA, environment_config(QUOTA), 8, seed=1)
    first, last = life.facts["return of an episode"]
    assert (first, last) == (life.returns[:2].mean(), life.returns[-2:].mean())
    enough = life.facts["enough"]
    assert all(value == 1 or np.isnan(value) for value in enough)  # over those that have a value
