"""A rule by itself: dense arrays, what it was made for, files and zips, and its exports."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from batches import K, events_of
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import PPO
from torch import Tensor, nn
from toys import BanditEnv, bandit

import snn_plasticity_gym
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.networks.spike_history import pack
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.learned_rule import LearnedRule
from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.policies.network import new_network
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.policies.rule_description import describe
from snn_plasticity_gym.policies.saved import load_policy

TERMS = ("post", "pre*post", "w*w", "post*x20*w", "y5*xn", "factor*pre", "x2.5")


class Product(nn.Module):
    """A head of one's own."""

    def __init__(self, num_features: int, num_scalars: int) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(num_features, 4), nn.Linear(num_scalars, 4)

    def forward(self, features: Tensor, scalars: Tensor) -> Tensor:
        return (self.left(features) * self.right(scalars)).sum(dim=1)


class Fickle(Product):
    """One that cannot be traced: its path depends on its input."""

    def forward(self, features: Tensor, scalars: Tensor) -> Tensor:
        return super().forward(features, scalars) * (1.0 if len(features) > 3 else 2.0)


RULES = {
    "one head": {"extra_keys": ("factor",)},
    "kinds and heads": {"num_groups": 3, "use_kind": True, "hidden_sizes": (9, 8, 7)},
    "formula": {"extra_keys": ("factor",), "formula_terms": TERMS, "dt": 2.0},
    "formulas": {"num_groups": 2, "formula_terms": ("post*x20", "pre*y20", "w"), "dt": 0.5},
    "heads over terms": {
        "num_groups": 2,
        "formula_terms": ("post*x20", "w"),
        "dt": 0.5,
        "head": "terms",
        "hidden_sizes": (5, 4),
    },
    "own head": {"num_groups": 2, "use_kind": True, "extra_keys": ("factor",), "head": "product"},
}


def rule_of(name: str, history_length: int = K, own_head=Product) -> LearnedRule:
    shape = Architecture(**({"hidden_sizes": (7, 5), "channels": (6, 8)} | RULES[name]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = new_network(shape, own_head)
        for parameter in network.heads.parameters():
            nn.init.normal_(parameter, std=0.4)
    groups = [f"group-{number}" for number in range(shape.num_groups)]
    return LearnedRule(describe(shape, groups=groups, history_length=history_length), network)


def events_for(rule: LearnedRule, count: int = 40) -> SynapseEvents:
    """Events whose kinds are those of the present step."""
    batch = events_of([count], groups=rule.num_groups)
    bits = batch.history()  # (E, 2, K)
    kind = torch.arange(count) % 3
    bits[:, 0, -1], bits[:, 1, -1] = kind != 1, kind != 0
    rows = torch.arange(2 * count).view(-1, 2)
    return batch._replace(
        histories=pack(bits.flatten(0, 1)), pair_pre=rows[:, 0], pair_post=rows[:, 1], pair=torch.arange(count),
        kind=kind.to(torch.uint8), extras=torch.randn(count, len(rule.extra_keys)),
    )  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_the_dense_form_answers_as_the_rule_does(name):
    rule = rule_of(name)
    events = events_for(rule)
    expected = rule(events)
    assert expected.abs().max() > 0.05
    extras = events.extras if rule.extra_keys else None
    dense = rule.delta_d(events.history(), events.weight, events.kind, events.group, extras)
    assert isinstance(dense, Tensor) and dense.dtype == torch.float32
    torch.testing.assert_close(dense, expected)
    group = None if rule.num_groups == 1 else events.group.numpy().astype(np.float64)
    by_arrays = rule.delta_d(
        events.history().numpy().astype(bool), events.weight.double().numpy(), group=group,
        extras=None if extras is None else extras.numpy(),
    )  # fmt: skip
    assert isinstance(by_arrays, np.ndarray) and by_arrays.dtype == np.float32
    np.testing.assert_allclose(by_arrays, expected, rtol=1e-5, atol=1e-6)
    nothing = rule.delta_d(
        np.zeros((0, 2, K)), np.zeros(0), np.zeros(0), np.zeros(0), np.zeros((0, len(rule.extra_keys)))
    )
    assert nothing.shape == (0,)


def refusal(call, *arguments, **named) -> str:
    with pytest.raises(ConfigError) as error:
        call(*arguments, **named)
    assert "\n" not in str(error.value)
    return str(error.value)


HISTORY, WEIGHT = np.ones((3, 2, K)), np.zeros(3)
BAD = [
    ("one head", {"history": np.ones((3, K))}, "history must have the shape (E, 2, K)"),
    ("one head", {"history": np.full((3, 2, K), 2)}, "history must hold 0 and 1 alone"),
    ("one head", {"history": "spikes"}, "history must be an array or a tensor of numbers"),
    ("one head", {"history": np.ones((3, 2, K)) * 1j}, "history must be an array or a tensor of numbers"),
    ("one head", {"weight": np.zeros((3, 1))}, "weight must have the shape (3,), a row for each event, got (3, 1)"),
    ("one head", {}, "extras must give factor of each event, got None"),
    ("one head", {"extras": np.zeros(3)}, "extras must have the shape (3, 1)"),
    ("one head", {"extras": np.zeros((3, 1)), "group": [0, 1, 0]}, "group must hold whole numbers from 0 to 0 alone"),
    ("kinds and heads", {}, "group must say which of the rule's 3 heads answers"),
    ("kinds and heads", {"group": [0, 1, 2], "kind": [0, 1, 3]}, "kind must hold whole numbers from 0 to 2 alone"),
    ("kinds and heads", {"group": [0, 1, 2], "kind": [0, 1, 0.5]}, "kind must hold whole numbers"),
    ("kinds and heads", {"group": [0, 1, 2], "history": np.zeros((3, 2, K))}, "kind must be given where neither"),
    ("formulas", {"group": [0, 1, 1], "history": np.zeros((3, 2, K))}, "the last of history, as in row 0"),
    ("one head", {"extras": np.zeros((3, 1)), "history": np.ones((3, 2, 4))}, "needs histories of 10 steps"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "message"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_wrong_arrays_are_refused_in_one_line(name, given, message):
    assert message in refusal(rule_of(name).delta_d, **({"history": HISTORY, "weight": WEIGHT} | given))


@given(st.recursive(st.none() | st.floats() | st.text(max_size=3), lambda x: st.lists(x, max_size=3), max_leaves=8))
def test_any_history_is_answered_or_refused_in_one_line(history):
    try:
        rule_of("formulas").delta_d(history, np.zeros(2), group=np.zeros(2))
    except ConfigError as error:
        assert "\n" not in str(error)


def test_a_rule_for_another_history_length_says_what_to_do():
    rule, events = rule_of("one head", history_length=K + 2), events_for(rule_of("one head"))
    message = refusal(rule, events)
    assert f"needs histories of {K + 2} steps, got {K}" in message and f"call rule.frozen({K})" in message
    assert f"environment with history_length={K + 2}" in message
    torch.testing.assert_close(rule.frozen(K)(events), rule_of("one head")(events))
    formula = rule_of("formula", history_length=K + 2)  # traces are those of any length
    torch.testing.assert_close(formula(events), rule_of("formula")(events))


def test_other_scalars_are_refused_in_one_line():
    rule = rule_of("one head")
    message = refusal(rule, events_for(rule)._replace(extras=torch.zeros(40, 2)))
    assert "has 1 scalars besides the weight (factor), the events have 2" in message


@pytest.mark.parametrize("name", ["plain", "formula"])
def test_the_only_head_answers_all_groups(name):
    shape = {"plain": Architecture(), "formula": Architecture(formula_terms=("post*x20", "w"))}[name]
    network = new_network(shape)
    for values in network.parameters():
        torch.nn.init.normal_(values, std=0.2)
    rule = LearnedRule(describe(shape, history_length=K), network)
    several = rule.for_groups(["exc", "inh"])
    assert several.description.groups == ["exc", "inh"] and several.num_groups == 2
    one, two = events_of([9], groups=1), events_of([9], groups=2)
    assert len(set(two.group.tolist())) == 2
    torch.testing.assert_close(several(two), rule(two._replace(group=torch.zeros_like(two.group))))
    assert several(one).abs().min() > 0
    with pytest.raises(ConfigError, match="only a rule with one head fits any groups, this one has 2"):
        several.for_groups(["a"])


def test_a_policy_of_stock_ppo_becomes_a_rule_and_files(tmp_path):
    model = PPO(PlasticityPolicy, bandit(4), n_steps=4, batch_size=8, seed=0, policy_kwargs={"hidden_sizes": (6, 5)})
    model.learn(32)
    rule = model.policy.as_rule(groups=["all"])
    answers = {}
    history, weight = np.ones((3, 2, 4)), np.array([0.1, 0.5, 0.9])
    answers["rule"] = rule.delta_d(history, weight)
    assert model.policy.save_rule(tmp_path / "new" / "folder") == tmp_path / "new" / "folder"
    answers["files"] = snn_plasticity_gym.load_rule(tmp_path / "new" / "folder").delta_d(history, weight)
    model.save(tmp_path / "model")
    answers["zip"] = load_rule(tmp_path / "model.zip", trust=True).delta_d(history, weight)
    snapshot = model.policy.as_rule()
    answers["frozen"] = model.policy.frozen(4).delta_d(history, weight)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.zero_()
    answers["later"] = snapshot.delta_d(history, weight)
    for answer in answers.values():
        np.testing.assert_array_equal(answer, answers["rule"])
    assert rule.description.groups == ["all"] and rule.description.history_length == 4
    assert not model.policy.as_rule().delta_d(history, weight).any()
    assert all(parameter.requires_grad for parameter in model.policy.parameters())
    env = BanditEnv(2)
    env.reset(seed=0)
    assert env.run_episode(rule).reward.isfinite().all()


def test_a_zip_is_loaded_only_with_trust_and_a_file_that_is_none_is_refused(tmp_path):
    EventA2C("PlasticityPolicy", bandit(2), seed=0).save(tmp_path / "final.zip")
    message = refusal(snn_plasticity_gym.load_rule, tmp_path / "final.zip")
    assert "can run code" in message and "trust=True" in message and "rule.json" in message
    assert refusal(load_rule, tmp_path) == message
    of_folder, of_zip = load_rule(tmp_path, trust=True), load_rule(tmp_path / "final.zip", trust=True)
    for one, two in zip(of_folder.rule.parameters(), of_zip.rule.parameters(), strict=True):
        assert torch.equal(one, two)
    (tmp_path / "rule.zip").write_text("no zip")
    assert "give the folder of a finished run, its rule.json or rule.safetensors, or a zip" in refusal(
        load_rule, tmp_path / "rule.zip", trust=True
    )
    assert "no rule at" in refusal(load_rule, tmp_path / "nowhere.zip", trust=True)


class Bomb:
    """Unpickled, it leaves a trace."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


def test_what_a_policy_does_not_need_of_a_zip_is_not_unpickled(tmp_path):
    model = EventA2C("PlasticityPolicy", bandit(2), seed=0)
    model.bomb = Bomb(tmp_path / "touched")
    model.save(tmp_path / "final.zip")
    load_policy(tmp_path)
    assert not (tmp_path / "touched").exists()
    EventA2C.load(tmp_path / "final.zip")  # as Stable-Baselines3 does it: the bomb works
    assert (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", RULES)
def test_torchscript_answers_as_the_rule_does(name, tmp_path):
    rule = rule_of(name)
    file = rule.to_torchscript(tmp_path / "rule.pt")
    loaded = torch.jit.load(file)
    for count in (0, 1, 40):
        events = events_for(rule, count)
        got = loaded(events.history(), events.weight, events.kind, events.group, events.extras)
        torch.testing.assert_close(got, rule(events), rtol=1e-4, atol=1e-5)


def test_a_head_that_cannot_be_traced_is_refused_and_leaves_no_file(tmp_path):
    message = refusal(rule_of("own head", own_head=Fickle).to_torchscript, tmp_path / "rule.pt")
    assert "head 'product' cannot be exported" in message and not list(tmp_path.iterdir())


def functions_of(source: str, tmp_path) -> dict:
    file = tmp_path / "formula.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location("formula", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return vars(module)


def traces_by_hand(events: SynapseEvents, event: int, dt: float, tau: float) -> tuple[float, float]:
    rows = events.history()[event].tolist()
    sums = [sum(math.exp(-age * dt / tau) for age in range(1, K) if row[K - 1 - age]) for row in rows]
    return sums[0], sums[1]


def test_a_formula_is_plain_python_of_its_factors(tmp_path):
    rule = rule_of("formula")
    events, answers = events_for(rule), rule(events_for(rule))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        events = events_for(rule)
    answers = rule(events)
    delta_d = functions_of(rule.to_python(), tmp_path)["delta_d"]
    for event in range(40):
        kind, trace = int(events.kind[event]), lambda tau, event=event: traces_by_hand(events, event, 2.0, tau)
        value = delta_d(
            pre=kind != 1, post=kind != 0, w=float(events.weight[event]), factor=float(events.extras[event, 0]),
            x20=trace(20.0)[0], x2_5=trace(2.5)[0], y5=trace(5.0)[1], xn=trace(math.inf)[0],
        )  # fmt: skip
        assert value == pytest.approx(float(answers[event]), abs=1e-5)
    two = rule_of("formulas")
    functions = functions_of(two.to_python(), tmp_path)
    events = events_for(two)
    for event, answer in enumerate(two(events).tolist()):
        kind, traces = int(events.kind[event]), traces_by_hand(events, event, 0.5, 20.0)
        name = f"delta_d_group_{int(events.group[event])}"
        value = functions[name](kind != 1, kind != 0, float(events.weight[event]), *traces)
        assert value == pytest.approx(answer, abs=1e-5)


def test_a_network_is_no_plain_python():
    assert "only a formula can be written out as Python" in refusal(rule_of("one head").to_python)
