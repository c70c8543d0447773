"""Cue association as a world: what its spikes say, what it pays, and who can play it."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO

import snn_plasticity_gym
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.tasks.cue_world import CueAssociationEnv


def answer_by_counting(env, seed):
    """Count the spikes of both cues, and answer by the sum: nearly an ideal observer."""
    spikes, info = env.reset(seed=seed)
    total, steps, paid = np.zeros(40), 0, 0.0
    over = False
    while not over:
        if steps < 175:
            total += spikes
        action = int(total[10:20].sum() > total[:10].sum())
        spikes, reward, over, cut, last = env.step(np.int64(action))
        assert not cut and (steps >= 175 + info["rest"]) == (reward != 0)
        paid += reward
        steps += 1
    assert steps == 200 + info["rest"] and last["correct"] == pytest.approx((paid + 1) / 2)
    return paid


def test_gymnasium_checks_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("CueAssociation-v0").unwrapped, skip_render_check=True)


def test_who_counts_is_paid():
    env = gymnasium.make("CueAssociation-v0", condition="normal")
    assert np.mean([answer_by_counting(env, seed) for seed in range(30)]) > 0.95


def test_noise_does_not_carry_the_answer():
    env = CueAssociationEnv(condition="both", rests=(10,))
    conditions = {env.reset(seed=seed)[1]["condition"] for seed in range(20)}
    assert conditions == {"normal", "noisy"}
    rates = {condition: [] for condition in conditions}
    for seed in range(20):
        spikes, info = env.reset(seed=seed)
        over, seen = False, [spikes]
        while not over:
            spikes, _, over, _, _ = env.step(np.int64(0))
            seen.append(spikes)
        rates[info["condition"]].append(np.stack(seen)[:-1, 30:].mean())
    assert np.mean(rates["normal"]) == pytest.approx(0.2, abs=0.02)
    assert np.mean(rates["noisy"]) == pytest.approx(0.4, abs=0.02)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.int64(0))


def test_stable_baselines_plays_it():
    model = PPO("MlpPolicy", gymnasium.make("CueAssociation-v0"), n_steps=64, batch_size=32, n_epochs=1, seed=0)
    model.learn(128)


def test_a_network_of_synaptic_agents_lives_in_it():
    env = PlasticityVectorEnv("SNNPlastic-CueAssociation-v0", num_envs=2)
    env.reset(seed=0)
    result = env.run_episode(lambda events: 0.0 * events.weight)
    assert env.config.world == "CueAssociation-v0"
    assert (np.abs(np.asarray(result.reward)) <= 1).all()
    env.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"condition": "loud"}, "unknown condition 'loud'; valid names: normal, noisy, both$"),
        ({"condition": ["normal"]}, r"unknown condition \['normal'\]; did you mean 'normal'"),
        ({"cues": 6}, "must be odd.*got 6"),
        ({"cues": 3.0}, r"^cues must be a whole number, got 3\.0$"),
        ({"cues": "3"}, "^cues must be a whole number, got '3'$"),
        ({"cues": True}, "^cues must be a whole number, got True$"),
        ({"rests": ()}, r"rests must hold numbers of steps, .* got \[\]$"),
        ({"rests": 5}, "rests must hold numbers of steps, .* got 5$"),
        ({"rests": "45"}, "rests must hold numbers of steps, .* got '45'$"),
        ({"rests": [4, 1.5]}, r"rests must hold numbers of steps, .* got \[4, 1\.5\]$"),
        ({"rests": [-1]}, r"rests must hold numbers of steps, .* got \[-1\]$"),
        ({"render_mode": "rgb_array"}, "nothing is drawn.*got 'rgb_array'"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CueAssociationEnv(**settings)
    assert "CueAssociation-v0" in gymnasium.registry and snn_plasticity_gym.__version__


def test_rests_may_come_in_an_array():
    rests = {CueAssociationEnv(rests=np.arange(3, 5)).reset(seed=seed)[1]["rest"] for seed in range(20)}
    assert rests == {3, 4}
