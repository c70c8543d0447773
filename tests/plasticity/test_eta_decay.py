"""Learning rates that fall with the age of a lifetime."""

import pytest
import torch
from toys import SMALL

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.plasticity.events import per_event
from snn_plasticity_gym.rules import make_rule

ID, ETA = "SNNPlastic-Unsup1-v0", 1e-4  # too small for any clip


@pytest.mark.parametrize(("schedule", "pace"), [("inverse", 1 / (1 + 3 / 2)), ("linear", 1 - 3 / 4)])
def test_each_lifetime_slows_down_by_its_own_age(schedule, pace):
    settings = {"eta_decay": 2.0, "eta_schedule": schedule, "eta_exc": ETA, "eta_inh": ETA, "w_exc_init_max": 0.5}
    env = PlasticityVectorEnv(ID, num_envs=2, **settings, **SMALL)
    env.reset(seed=1)
    for _ in range(3):
        env.run_episode(lambda events: torch.zeros_like(events.weight))
    env.reset(seed=[None, 5])  # row 1 begins anew
    assert env.engine.ages.tolist() == [3, 0]
    seen = 0
    while (events := env.events()) is not None:
        before = env.engine.network.weights.double()
        env.apply(torch.full_like(events.weight, -3.0))
        moved = (env.engine.network.weights.double() - before)[events.synapse]
        expected = per_event(torch.tensor([-ETA * pace, -ETA]).double(), events.lengths)
        strong = events.weight > 2 * ETA  # others meet the lower clip
        torch.testing.assert_close(moved[strong], expected[strong], rtol=0, atol=1e-7)
        seen += int(strong.sum())
    assert seen > 100


@pytest.mark.parametrize("rule", ["stdp", None])  # in compiled loops, and by events
def test_where_rates_have_fallen_to_nothing_weights_stay(rule):
    env = PlasticityVectorEnv(ID, num_envs=1, eta_decay=1.0, eta_schedule="linear", w_exc_sum=0.0, **SMALL)
    env.reset(seed=1)
    answer = make_rule(rule) if rule else lambda events: torch.full_like(events.weight, 0.5)
    moved = []
    for _ in range(4):
        before = env.engine.network.weights.clone()
        env.run_episode(answer)
        moved.append(not torch.equal(env.engine.network.weights, before))
    assert moved == [True, True, False, False]
    env.close()


def test_rates_in_a_straight_line_need_a_length():
    with pytest.raises(ConfigError, match="eta_schedule linear needs eta_decay"):
        PlasticityVectorEnv(ID, num_envs=1, eta_schedule="linear", **SMALL)


def test_the_env_of_one_network_slows_down_alike():
    settings = {"eta_decay": 1.0, "eta_exc": ETA, "w_exc_init_max": 0.5, **SMALL}
    single, many = PlasticityEnv(ID, **settings), PlasticityVectorEnv(ID, num_envs=1, **settings)
    observation, _ = single.reset(seed=3)
    many.reset(seed=3)
    for _ in range(3):
        many.run_episode(lambda events: torch.full_like(events.weight, 0.7))
        ended = False
        while not ended:
            observation, _, ended, _, _ = single.step(torch.full_like(torch.tensor(observation["weight"]), 0.7).numpy())
        observation, _ = single.reset()
    torch.testing.assert_close(single.engine.network.weights, many.engine.network.weights, rtol=0, atol=1e-7)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(value):
    env = PlasticityVectorEnv(ID, num_envs=1, eta_decay=1.0, **SMALL)
    env.reset(seed=1)
    with pytest.raises(ValueError, match="finite"):
        while (events := env.events()) is not None:
            env.apply(torch.full_like(events.weight, value))
