"""Heads of one's own: what they answer, what they learn, what comes back from files, and what is refused."""

import copy

import pytest
import torch
from batches import K, events_of
from stable_baselines3 import PPO
from torch import Tensor, nn
from toys import bandit

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.learners.evolution import EventES
from snn_plasticity_gym.policies import head_registry
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.policies.head_registry import OwnHead, register_head, resolve_head
from snn_plasticity_gym.policies.heads import Readout
from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.policies.network import RuleNetwork, new_network
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.policies.saved import load_policy, transfer


class Gated(nn.Module):
    """A head that is no perceptron: the scalars gate the features."""

    def __init__(self, num_features: int, num_scalars: int) -> None:
        super().__init__()
        self.gate = nn.Linear(num_scalars, num_features)
        self.sum = nn.Linear(num_features, 1)

    def forward(self, features: Tensor, scalars: Tensor) -> Tensor:
        return self.sum(features * torch.sigmoid(self.gate(scalars))).squeeze(1)


class Told(Gated):
    """The same, which tells its last layer."""

    @property
    def last_layer(self) -> nn.Linear:
        return self.sum

    def last_hidden(self, features: Tensor, scalars: Tensor) -> Tensor:
        return features * torch.sigmoid(self.gate(scalars))


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """A registry of the test's own."""
    monkeypatch.setattr(head_registry, "_FACTORIES", {})


def network(head=Gated, groups: int = 2) -> RuleNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return new_network(Architecture(groups, True, channels=(6, 8), head="own"), head)


def events(groups: int = 2):
    batch = events_of([15, 0, 25], groups=groups)
    return batch._replace(kind=(torch.arange(40) % 3).to(torch.uint8))


@pytest.mark.parametrize("groups", [1, 2])
def test_each_event_is_answered_by_the_head_of_its_group(groups):
    net, batch = network(groups=groups), events(groups)
    state = batch.local_state()
    features, scalars = net.front(batch.history()), net.scalars(state)  # by the plain convolution
    expected = torch.stack(
        [torch.tanh(net.heads[int(group)].module(features[e : e + 1], scalars[e : e + 1])[0])
         for e, group in enumerate(batch.group)]
    )  # fmt: skip
    rows = net.head_features.frozen(K).inputs(state).rows(slice(None))
    for answers in (
        net.mean(net.features(state), state), FrozenRule(net, K)(batch), net.answers(rows, batch.group)
    ):  # fmt: skip
        torch.testing.assert_close(answers, expected, rtol=1e-4, atol=1e-5)
    nothing = events_of([0, 0], groups=groups)
    assert FrozenRule(net, K)(nothing).shape == (0,)


def test_front_and_critic_begin_as_with_any_other_head():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = new_network(Architecture(2, True, channels=(6, 8)))
    own = network()
    for part in ("front", "critic"):
        for one, two in zip(getattr(own, part).parameters(), getattr(plain, part).parameters(), strict=True):
            assert torch.equal(one, two)


def test_gradients_reach_the_head_and_the_front():
    net, state = network(groups=1), events(1).local_state()
    net.mean(net.features(state), state).sum().backward()
    parts = [net.front.conv1.weight, *net.heads.parameters()]
    assert all(parameter.grad.abs().sum() > 0 for parameter in parts)


@pytest.mark.parametrize("algorithm", [EventA2C, PPO])
def test_it_is_learned_by_noise_of_each_event(algorithm):
    policy = PlasticityPolicy if algorithm is PPO else "PlasticityPolicy"
    sizes = {"n_steps": 4, "batch_size": 8} if algorithm is PPO else {}
    arguments = {"seed": 0, "learning_rate": 0.01, "policy_kwargs": {"head": Gated, "hidden_sizes": (6,)}, **sizes}
    model = algorithm(policy, bandit(4), **arguments)
    before = copy.deepcopy(model.policy.rule.heads.state_dict())
    model.learn(4 * 4 * 2)
    assert all(not torch.equal(before[name], value) for name, value in model.policy.rule.heads.state_dict().items())


def test_a_head_that_tells_its_last_layer_is_explored_by_it():
    net, batch = network(Told), events()
    generator = torch.Generator().manual_seed(4)
    readout = Readout(torch.randn(3, 2, 8, generator=generator), torch.randn(3, 2, generator=generator))
    got, _ = FrozenRule(net, K).explore(batch, readout)
    lifetime = torch.arange(3).repeat_interleave(batch.lengths)
    for event in range(40):
        moved, group, who = copy.deepcopy(net), int(batch.group[event]), int(lifetime[event])
        with torch.no_grad():
            moved.heads[group].module.sum.weight += readout.weights[who, group]
            moved.heads[group].module.sum.bias += readout.bias[who, group]
        torch.testing.assert_close(got[event], FrozenRule(moved, K)(batch)[event], rtol=1e-4, atol=1e-5)
    model = EventA2C("PlasticityPolicy", bandit(4), exploration="rule", seed=0, policy_kwargs={"head": Told})
    before = model.policy.rule.heads[0].module.sum.weight.clone()
    model.learn(4 * 4 * 3)
    assert not torch.equal(before, model.policy.rule.heads[0].module.sum.weight)


def refusal(call, *arguments, **named) -> str:
    with pytest.raises(ConfigError) as error:
        call(*arguments, **named)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_cannot_be_explored_by_rules_is_refused_in_one_line():
    own = {"policy_kwargs": {"head": Gated}}
    last = refusal(EventA2C, "PlasticityPolicy", bandit(4), exploration="rule", **own)
    assert "last_hidden" in last and "exploration to independent" in last and "Gated" in last
    told = {"policy_kwargs": {"head": Told}}
    whole = refusal(EventA2C, "PlasticityPolicy", bandit(4), exploration="rule", perturb="head", **told)
    assert "move all layers" in whole and "perturb to last" in whole
    assert "evolution strategies" in refusal(EventES, "PlasticityPolicy", bandit(4), **told)


class Column(Gated):
    def forward(self, features: Tensor, scalars: Tensor) -> Tensor:
        return super().forward(features, scalars).unsqueeze(1)


class Odd(Gated):
    def forward(self, features: Tensor, scalars: Tensor) -> Tensor:
        return super().forward(features, scalars) / 0.0 * 0.0


class Nothing(Gated):
    def forward(self, features: Tensor, scalars: Tensor) -> None:
        return None


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (Column, "must return one number per event, shape (40,), got (40, 1)"),
        (Nothing, "must return one number per event, shape (40,), got NoneType"),
        (Odd, "must return finite numbers, got nan"),
    ],
)
def test_wrong_answers_are_refused_at_the_first_call(head, message):
    assert message in refusal(FrozenRule(network(head, groups=1), K), events(1))


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda num_features, num_scalars: 3, "must make a torch.nn.Module, got int"),
        (lambda num_features: nn.Identity(), "must be called as head(num_features, num_scalars): "),
    ],
)
def test_what_makes_no_head_is_refused(factory, message):
    assert message in refusal(network, factory)


def test_a_name_is_given_once():
    register_head("gated", Gated)
    register_head("gated", Gated)  # a plug-in may be imported twice
    assert resolve_head("gated") == ("gated", Gated) and resolve_head(Gated) == ("gated", Gated)
    assert "the name 'gated' of a head is taken" in refusal(register_head, "gated", Told)
    assert "the name 'mlp' of a head is taken" in refusal(register_head, "mlp", Told)
    assert "must be a text that is not empty" in refusal(register_head, " ", Told)
    assert "must be called as head(num_features, num_scalars), got 3" in refusal(register_head, "three", 3)
    assert "head 'gate' is not registered (known: mlp, gated)" in refusal(resolve_head, "gate")
    assert "got a Linear" in refusal(resolve_head, nn.Linear(2, 1)) and "got 3" in refusal(resolve_head, 3)
    assert "leave one of them out" in refusal(
        PlasticityPolicy, bandit(2).observation_space, bandit(2).action_space, lambda _: 0.0, head="gated",
        formula_terms=(),
    )  # fmt: skip


def policy_of(head) -> PlasticityPolicy:
    env = bandit(2)
    return PlasticityPolicy(env.observation_space, env.action_space, lambda _: 0.0, head=head, hidden_sizes=(6,))


def test_a_rule_file_names_the_head_and_who_has_it_not_is_told(tmp_path, monkeypatch):
    register_head("gated", Gated)
    policy, batch = policy_of("gated"), events(1)._replace(history_length=4, histories=events(1).histories & 15)
    policy.save_rule(tmp_path)
    drawn = torch.random.get_rng_state()
    rule = load_rule(tmp_path)
    assert torch.equal(drawn, torch.random.get_rng_state())
    assert rule.description.architecture.head == "gated" and torch.equal(rule(batch), policy.frozen(4)(batch))
    monkeypatch.setattr(head_registry, "_FACTORIES", {})
    told = refusal(load_rule, tmp_path)
    assert "head 'gated' is not registered" in told and "register_head('gated', ...)" in told and "--plugin" in told
    unnamed = policy_of(Gated)
    unnamed.save_rule(tmp_path / "unnamed")
    name = f"{__name__}:Gated"
    assert f"head {name!r} is not registered" in refusal(load_rule, tmp_path / "unnamed")
    assert f"import {__name__} and" in refusal(load_rule, tmp_path / "unnamed")
    register_head(name, Gated)
    assert torch.equal(load_rule(tmp_path / "unnamed")(batch), unnamed.frozen(4)(batch))
    register_head("gated", Told)  # the same parameters
    load_rule(tmp_path)
    monkeypatch.setattr(head_registry, "_FACTORIES", {"gated": lambda features, scalars: nn.Linear(features, 1)})
    assert "does not fit rule.json" in refusal(load_rule, tmp_path)


def test_it_comes_back_from_zips_and_another_training_takes_it_over(tmp_path):
    register_head("gated", Gated)
    model = EventA2C("PlasticityPolicy", bandit(2), seed=0, policy_kwargs={"head": "gated", "hidden_sizes": (6,)})
    model.save(tmp_path / "final.zip")
    batch = events(1)._replace(history_length=4, histories=events(1).histories & 15)
    loaded = load_policy(tmp_path)
    assert torch.equal(loaded.frozen(4)(batch), model.policy.frozen(4)(batch))
    again = EventA2C.load(tmp_path / "final.zip", env=bandit(2))
    assert isinstance(again.policy.rule.heads[0], OwnHead)
    target = policy_of("gated")
    transfer(loaded, target)
    assert torch.equal(target.frozen(4)(batch), loaded.frozen(4)(batch))
    assert "has head gated, this one mlp" in refusal(transfer, loaded, policy_of("mlp"))
