"""Worlds whose best actions are known are learned, and unlearned where their reward has the wrong sign."""

import functools

import pytest
import torch
from toys import QUICK_FRONT
from toys_tasks import registered
from toys_worlds import BANDIT, CORRIDOR

from snn_plasticity_gym import ControlConfig, EventA2C, EventES, make_sb3_env
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.learners import on_policy
from snn_plasticity_gym.tasks.control import ControlTask

SIDED = "toys/Sided-v0"


class SidedTask(ControlTask):
    """Synapses are told on which side their motor neuron stands: 1 for those of action 1, -1 for the others."""

    def __init__(self, config, num_lifetimes, device):
        super().__init__(config, num_lifetimes, device)
        self.scalars = ("factor",)
        right = self.decoder.groups(torch.tensor([1])).float()  # (1, N)
        self._sides = (2.0 * right - 1.0).expand(num_lifetimes, -1)

    def factors(self):
        return {"motor": self._sides}


@pytest.fixture(scope="module", autouse=True)
def sided():
    with registered(SIDED, SidedTask, ControlConfig):
        yield


WORLDS = {BANDIT: {}, CORRIDOR: {"cells": 4}}
BEST = {BANDIT: 1.0, CORRIDOR: 0.97}
UPDATES = {BANDIT: 50, CORRIDOR: 14}
SETTINGS = {  # one-hot observations straight to the motor neurons, fresh weights in every episode
    "steps_per_action": 4,
    "history_length": 4,
    "max_actions": 8,
    "hidden_sizes": (),
    "encoder": "rate",
    "encoder_kwargs": {},
    "decoder_kwargs": {"group_size": 2},
    "lifetime_length": 1,
    "eta": 1.0,
    "w_init_min": -0.2,
    "w_init_max": 0.9,
}


def a2c(env):
    policy = QUICK_FRONT | {"sigma": 0.5, "hidden_sizes": (8,)}
    return EventA2C("PlasticityPolicy", env, learning_rate=0.02, baseline="lifetimes", policy_kwargs=policy, seed=0)


def es(env):
    return EventES("PlasticityPolicy", env, policy_kwargs=QUICK_FRONT | {"sigma": 0.1, "hidden_sizes": (8,)}, seed=0)


@functools.cache
def earned(world: str, rule=None) -> float:
    """What fresh lifetimes earn in the world as it is: by no plasticity, or by a rule."""
    env = PlasticityVectorEnv(SIDED, 64, world=world, world_kwargs=WORLDS[world], **SETTINGS)
    env.reset(seed=99)
    rule = (lambda events: torch.zeros(len(events.weight))) if rule is None else rule
    return float(env.run_episode(rule).reward.mean())


def learned(learner, world: str, sign: int) -> float:
    """What fresh lifetimes earn by a rule that was learned in the same world with rewards multiplied by `sign`."""
    env = make_sb3_env(SIDED, 32, world=world, world_kwargs={**WORLDS[world], "sign": sign}, **SETTINGS)
    model = learner(env)
    model.learn(10**9, episodes=32 * UPDATES[world])
    assert model.num_episodes == 32 * UPDATES[world]
    return earned(world, model.policy.frozen(on_policy.plasticity_env(env).config.history_length))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("learner", [a2c, es])
def test_a_world_is_learned(learner, world):
    assert earned(world) < 0.5  # by chance
    assert learned(learner, world, sign=1) > BEST[world] - 0.15


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("learner", [a2c, es])
def test_a_world_is_not_learned_where_its_reward_is_turned_round(learner, world):
    assert learned(learner, world, sign=-1) < earned(world) - 0.1


@pytest.mark.parametrize("world", WORLDS)
def test_the_best_rule_earns_the_most(world):
    """Strengthen what leads to action 1, weaken what leads to action 0."""
    assert earned(world, lambda events: events.scalar("factor")) == pytest.approx(BEST[world], abs=0.05)
