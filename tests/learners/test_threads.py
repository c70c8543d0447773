"""The same numbers with 1 and with 2 threads of torch, as far as docs/scaling.md promises them."""

from collections.abc import Callable

import pytest
import torch

from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.policies.network import new_network
from snn_plasticity_gym.rules import make_rule

UNSUP = "SNNPlastic-Unsup2-v0"
# 64 x 200 + 200 x 200 weights in each of 2 lifetimes, and as many events in some steps: beyond the 32,768 numbers from
# which on torch shares out an operation.
LARGE = {"dataset": "digits", "n_exc": 200, "num_steps": 12, "history_length": 12, "max_rate": 0.3}
LARGE |= {"gain_input_exc": 20.0, "eta_exc": 0.05, "eta_inh": 0.05, "exc_theta_plus": 1.0, "w_exc_sum": 20.0}


@pytest.fixture(autouse=True)
def one_thread_afterwards():
    yield
    torch.set_num_threads(1)


def untrained_rule(num_groups: int) -> FrozenRule:
    """Bold answers, so that weights move."""
    torch.manual_seed(3)
    network = new_network(Architecture(num_groups=num_groups, hidden_sizes=(16, 16), channels=(8, 8)))
    for head in network.heads:
        torch.nn.init.normal_(head.rest[-1].weight)
    return FrozenRule(network, LARGE["history_length"])


def life(rule: Callable, threads: int, images: int = 3) -> dict[str, torch.Tensor]:
    """What is left of a network that lives by a rule."""
    torch.set_num_threads(threads)
    env = PlasticityVectorEnv(UNSUP, num_envs=2, **LARGE)
    env.reset(seed=5)
    results = [env.run_episode(rule) for _ in range(images)]
    assert sum(int(result.num_events.sum()) for result in results) > 32_768
    rewards = torch.stack([result.reward for result in results])
    thresholds = {name: state.theta for name, state in env.engine.network.states.items()}
    return {"weights": env.engine.network.weights, "rewards": rewards, **thresholds}


@pytest.mark.parametrize("kind", ["compiled", "events", "learned"])
def test_lives_are_the_same_with_one_and_two_threads(kind):
    stdp = make_rule("stdp")
    rule = {"compiled": stdp, "events": lambda events: stdp(events), "learned": untrained_rule(2)}[kind]
    one, two = life(rule, 1), life(rule, 2)
    assert not torch.equal(one["weights"], life(make_rule("zero"), 1)["weights"])
    assert all(torch.equal(one[name], two[name]) for name in one)
