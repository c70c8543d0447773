"""Algorithms of Stable-Baselines3 and sb3-contrib as they come, with their own policies, on every registered id."""

import gymnasium
import numpy as np
import pytest
import torch
from grids import grid
from sb3_contrib import TQC, TRPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3

import snn_plasticity_gym  # noqa: F401
from snn_plasticity_gym.config.environments import ENVIRONMENTS

IMAGES = {"dataset": "digits", "num_steps": 6, "history_length": 4, "events_per_step": 8}
WORLDS = {"history_length": 4, "events_per_step": 8, "max_actions": 3, "steps_per_action": 4}
FIELDS = {"fields": 3, "low": [None, -1, None, -1], "high": [None, 1, None, 1], "period": 2}
SETTINGS = {  # little work
    "SNNPlastic-Unsup1-v0": {**IMAGES, "n_exc": 6},
    "SNNPlastic-Unsup2-v0": {**IMAGES, "n_exc": 6},
    "SNNPlastic-Grad-v0": {**IMAGES, "hidden_sizes": (8,), "layer_scalars": (0.5, 1.0)},
    "SNNPlastic-Semi-v0": {**IMAGES, "hidden_sizes": (8,)},
    "SNNPlastic-Control-v0": {**WORLDS, "world": "CartPole-v1", "encoder_kwargs": FIELDS},
    "SNNPlastic-CartPole-v0": WORLDS,
    "SNNPlastic-MountainCar-v0": WORLDS,
    "SNNPlastic-Pendulum-v0": WORLDS,
    "SNNPlastic-Acrobot-v0": WORLDS,
    "SNNPlastic-InvertedPendulum-v0": WORLDS,
    "SNNPlastic-HalfCheetah-v0": WORLDS,
    "SNNPlastic-LunarLander-v0": WORLDS,
    "SNNPlastic-CueAssociation-v0": WORLDS,
}
FROM_A_BUFFER = {"buffer_size": 64, "learning_starts": 8, "batch_size": 8}  # else a million observations
ALGORITHMS = {
    A2C: {},
    PPO: {"n_steps": 16, "batch_size": 8, "n_epochs": 2},
    DDPG: FROM_A_BUFFER,
    SAC: FROM_A_BUFFER,
    TD3: FROM_A_BUFFER,
    RecurrentPPO: {"n_steps": 16, "batch_size": 8, "n_epochs": 1},
    TQC: FROM_A_BUFFER,
    TRPO: {"n_steps": 16, "batch_size": 8},
}


def policy_of(algorithm):
    return "MultiInputLstmPolicy" if algorithm is RecurrentPPO else "MultiInputPolicy"


@pytest.mark.parametrize(
    ("algorithm", "env_id"),
    grid(ALGORITHMS, ENVIRONMENTS, ids=[[algorithm.__name__ for algorithm in ALGORITHMS], ENVIRONMENTS]),
)
def test_every_algorithm_learns_on_every_id(algorithm, env_id):
    if not env_id.startswith("SNNPlastic-"):
        pytest.skip("another test has registered it")
    env = gymnasium.make(env_id, **SETTINGS[env_id])
    model = algorithm(policy_of(algorithm), env, seed=0, **ALGORITHMS[algorithm])
    before = torch.cat([values.detach().flatten() for values in model.policy.parameters()])
    model.learn(24)
    after = torch.cat([values.detach().flatten() for values in model.policy.parameters()])
    assert after.isfinite().all() and not torch.equal(before, after)
    observation, _ = env.reset()
    action, _ = model.predict(observation)
    assert action in env.action_space


def test_default_slots_and_histories_learn_too():
    env = gymnasium.make("SNNPlastic-Unsup1-v0", dataset="digits")
    model = PPO("MultiInputPolicy", env, n_steps=4, batch_size=4, n_epochs=1, seed=0).learn(4)
    assert np.isfinite(model.predict(env.reset()[0])[0]).all()
