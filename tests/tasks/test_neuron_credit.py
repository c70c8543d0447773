"""Events of an unsupervised environment that are rewarded by their neuron's share of the image's reward."""

import pytest
import torch

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.networks.spike_counts import SpikeCounts
from snn_plasticity_gym.rules import make_rule
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

SIZES = {"dataset": "digits", "n_exc": 5, "num_steps": 12, "history_length": 8, "image_pool": 3}
SMALL = SIZES | {"gain_input_exc": 20.0, "max_rate": 0.05, "eta_exc": 0.05, "eta_inh": 0.05}


@pytest.mark.parametrize("env_id", ["SNNPlastic-Unsup1-v0", "SNNPlastic-Unsup2-v0"])
@pytest.mark.parametrize("kinds", ["merged", "split"])
def test_an_event_earns_what_its_e_neuron_is_worth(env_id, kinds, monkeypatch):
    """Post neurons are found here by looking for each synapse in the weights of its projection."""
    env = PlasticityVectorEnv(env_id, num_envs=2, credit="neuron", event_kinds=kinds, **SMALL)
    env.reset(seed=4)
    network, rule, nonzero = env.engine.network, make_rule("random"), 0
    ends = {}
    for projection in env.engine.network.projections:
        if projection.plasticity is not None:
            marked = torch.arange(len(network.weights))
            first, size = network.offsets[projection.name], network.weights_of(projection.name).numel()
            places = marked[first : first + size].view(network.weights_of(projection.name).shape)
            ends |= {int(places[b, i, j]): (b, j) for b, i, j in torch.ones_like(places).nonzero().tolist()}
    task = env.engine.task
    worths = []
    by_neuron = task._reward.by_neuron
    monkeypatch.setattr(task._reward, "by_neuron", lambda *given: worths.append(by_neuron(*given)) or worths[-1])
    for _ in range(4):
        met = []
        while (events := env.events()) is not None:
            met.append([ends[address] for address in events.synapse.tolist()])
            env.apply(rule(events))
        result = env.finish()
        assert result.event_rewards is not None and len(result.event_rewards) == len(met)
        for rewards, synapses in zip(result.event_rewards, met, strict=True):
            assert rewards.tolist() == [float(worths[-1][lifetime, neuron]) for lifetime, neuron in synapses]
            nonzero += int((rewards != 0).sum())
    assert nonzero > 50


def test_the_reward_of_the_image_stays_what_it_is():
    plain, credited = (PlasticityVectorEnv("SNNPlastic-Unsup1-v0", num_envs=2, credit=how, **SMALL) for how in
                       ("global", "neuron"))  # fmt: skip
    for env in (plain, credited):
        env.reset(seed=1)
    for _ in range(4):
        one, other = (env.run_episode(make_rule("stdp")) for env in (plain, credited))
        assert torch.equal(one.reward, other.reward) and one.event_rewards is None
        assert int(other.num_events.sum()) == sum(len(rewards) for rewards in other.event_rewards)


def test_lifetimes_in_slots_get_the_returns_of_their_events():
    whole = PlasticityVectorEnv("SNNPlastic-Unsup1-v0", num_envs=1, credit="neuron", **SMALL)
    whole.reset(seed=2)
    told = torch.cat(whole.run_episode(make_rule("zero")).event_rewards)
    slots = PlasticityVectorEnv("SNNPlastic-Unsup1-v0", num_envs=1, credit="neuron", events_per_step=7, **SMALL)
    slots.reset(seed=2)
    ended = False
    while not ended:
        _, _, terminations, _, infos = slots.step(0.0 * slots.action_space.sample())
        ended = bool(terminations[0])
    assert infos["final_info"]["returns"][0] == pytest.approx(told.tolist())


def test_a_silent_neighbour_takes_over_the_image():
    """A winner is worth less where another neuron would have answered as well."""
    env = PlasticityVectorEnv("SNNPlastic-Unsup1-v0", num_envs=1, credit="neuron", c_sparsity=0, c_stability=0,
                              **(SMALL | {"n_exc": 3}))  # fmt: skip
    reward = env.engine.task._reward
    row, image = torch.tensor([0]), torch.tensor([0])
    for first in (0, 1):  # both have won
        counts = torch.zeros(1, 3, dtype=torch.int64)
        counts[0, first] = 2
        reward(row, image, counts, torch.tensor([first]))
    third = SpikeCounts(torch.tensor([[1, 0, 3]]), torch.zeros(1, 3, dtype=torch.int64))
    worth = reward.by_neuron(row, image, third, torch.tensor([2]))[0]
    assert worth[2] > 0.1  # a third winner makes the distribution even
    assert worth[:2].tolist() == [0.0, 0.0]


def test_settings_that_do_not_go_together():
    with pytest.raises(ConfigError, match="credit=neuron needs reward_form=sum or product, got information"):
        PlasticityVectorEnv("SNNPlastic-Unsup1-v0", num_envs=1, credit="neuron", reward_form="information", **SMALL)
    env = make_sb3_env("SNNPlastic-Unsup1-v0", num_envs=2, credit="neuron", **SMALL)
    with pytest.raises(ValueError, match="exploration must be independent"):
        EventA2C("PlasticityPolicy", env, exploration="rule")
    EventA2C("PlasticityPolicy", env, n_steps=1).learn(4)
