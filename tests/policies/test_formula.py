"""Rules that are formulas: each event by hand, what they learn, what comes back from files, and what is refused."""

import copy
import math

import pytest
import torch
from batches import K, events_of
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import A2C
from toys import bandit

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.learners import imitation, on_policy, rule_steps
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.networks.spike_history import unpack
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.formula import MAX_TERMS, FormulaHead, default_terms, read_term
from snn_plasticity_gym.policies.formula_terms import FormulaTerms, TermInputs
from snn_plasticity_gym.policies.frozen_rule import FrozenRule, LayerByLayer, SummedTerms
from snn_plasticity_gym.policies.head_inputs import DenseInputs, OwnLayer
from snn_plasticity_gym.policies.heads import Head, Readout
from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.policies.network import RuleNetwork, new_network
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.policies.rule_description import describe
from snn_plasticity_gym.policies.rule_files import save_rule
from snn_plasticity_gym.policies.saved import load_policy, transfer
from snn_plasticity_gym.rules.distilled import DistilledRule, written_out
from snn_plasticity_gym.rules.registry import make_rule

DT = 2.0
TERMS = ("post", "pre*post", "w", "post*x20*w", "y5*xn", "factor*pre")


def events(num_events: int = 40, groups: int = 2, seed: int = 0) -> SynapseEvents:
    """Events of three lifetimes, of all kinds, with a factor."""
    batch = events_of([num_events // 2, 0, num_events - num_events // 2], seed, groups)
    kind = (torch.arange(num_events) % 3).to(torch.uint8)
    return batch._replace(kind=kind, extras=torch.linspace(-1, 1, num_events).unsqueeze(1))


def formula(terms: tuple[str, ...] = TERMS, groups: int = 2, extra_names: tuple[str, ...] = ("factor",)) -> RuleNetwork:
    """A formula with coefficients that matter."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = Architecture(groups, True, extra_names, (7, 5), (6, 8), formula_terms=terms, dt=DT)
        network = new_network(shape)
        for parameter in network.heads.parameters():
            torch.nn.init.normal_(parameter)
    return network


def phi_by_hand(batch: SynapseEvents, event: int, term: str) -> float:
    bits = unpack(batch.histories, batch.history_length).tolist()
    pair, kind = int(batch.pair[event]), int(batch.kind[event])
    trains = {"x": bits[int(batch.pair_pre[pair])], "y": bits[int(batch.pair_post[pair])]}
    value = 1.0
    for name in term.split("*"):
        if name in ("pre", "post"):
            value *= kind != {"pre": 1, "post": 0}[name]
        elif name in ("w", "factor"):
            value *= float(batch.weight[event] if name == "w" else batch.extras[event, 0])
        else:
            ages = [age for age, spike in enumerate(reversed(trains[name[0]])) if spike and age]
            value *= len(ages) if name[1] == "n" else sum(math.exp(-age * DT / float(name[1:])) for age in ages)
    return value


@pytest.mark.parametrize("groups", [1, 2])
def test_answers_are_those_of_the_formula_by_hand(groups):
    network, batch = formula(groups=groups), events(groups=groups)
    state = batch.local_state()
    expected = torch.empty(40)
    for event in range(40):
        layer = network.heads[int(batch.group[event])].coefficients
        terms = [phi_by_hand(batch, event, term) for term in TERMS]
        expected[event] = math.tanh(
            layer.bias.item() + sum(c * t for c, t in zip(layer.weight[0].tolist(), terms, strict=True))
        )
    for answers in (
        network.mean(network.features(state), state),
        network.act(network.head_features.frozen(K), state),
        FrozenRule(network, K)(batch),
    ):
        torch.testing.assert_close(answers, expected, rtol=1e-4, atol=1e-5)
    lifetime = torch.arange(3).repeat_interleave(batch.lengths)
    same, moments = network.explore(network.head_features.frozen(K), state, lifetime, None)
    torch.testing.assert_close(same, expected, rtol=1e-4, atol=1e-5)
    assert moments[:, 0, 0].tolist() == batch.group.bincount(minlength=groups).tolist()


def test_each_lifetime_explores_by_coefficients_of_its_own():
    network, batch = formula(), events()
    generator = torch.Generator().manual_seed(4)
    readout = Readout(*(torch.randn(3, 2, *size, generator=generator) for size in ((len(TERMS),), ())))
    got, moments = FrozenRule(network, K).explore(batch, readout)
    lifetime = torch.arange(3).repeat_interleave(batch.lengths)
    for event in range(40):
        moved, group, who = copy.deepcopy(network), int(batch.group[event]), int(lifetime[event])
        with torch.no_grad():
            moved.heads[group].coefficients.weight += readout.weights[who, group]
            moved.heads[group].coefficients.bias += readout.bias[who, group]
        torch.testing.assert_close(got[event], FrozenRule(moved, K)(batch)[event], rtol=1e-4, atol=1e-5)
    phi = network.head_features.dense(batch.local_state())[batch.group == 1].double()
    torch.testing.assert_close(moments[1, 0, 1:], phi.sum(dim=0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(moments[1, 1:, 1:], phi.T @ phi, rtol=1e-5, atol=1e-5)


def test_a_new_formula_changes_nothing_and_says_so():
    network = new_network(Architecture(2, False, (), (7,), (6, 8), formula_terms=()))
    batch = events()._replace(extras=torch.empty(40, 0))
    assert not FrozenRule(network, K)(batch).any()
    assert [written_out(terms) for terms in network.formulas()] == ["0", "0"]


def test_the_default_has_every_kind_of_event_with_and_without_a_trace_times_weight_and_scalars():
    plain = ["post", "pre*post", "post*x20", "pre*y20"]
    weighed = ["w", "post*w", "pre*post*w", "post*x20*w", "pre*y20*w"]
    assert sorted(default_terms(())) == sorted(plain + weighed)
    with_factor = default_terms(("factor",))
    assert len(with_factor) == 19 and len(default_terms(("layer", "factor"))) == 29
    told = {"factor", "w*factor", *(f"{term}*factor" for term in plain + weighed[1:])}
    assert set(with_factor) - set(default_terms(())) == told


def test_the_formula_that_is_told_is_the_rule_but_for_its_bounds():
    network, batch = formula(), events()
    told = DistilledRule(network.formulas(), DT, ("factor",))(batch)
    torch.testing.assert_close(torch.tanh(told), FrozenRule(network, K)(batch), rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_coefficients_of_the_group_alone_and_the_front_through_the_critic():
    network, batch = formula(), events()
    state = batch._replace(group=torch.zeros_like(batch.group)).local_state()
    features = network.features(state)
    (network.mean(features, state).sum() + network.value(features, state).sum()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.heads[0].parameters())
    assert all(p.grad is None or not p.grad.any() for p in network.heads[1].parameters())
    assert network.front.conv1.weight.grad.abs().sum() > 0


def test_a_rule_of_the_same_form_is_imitated(monkeypatch):
    monkeypatch.setattr(imitation, "STEPS", 800)
    network = new_network(Architecture(1, True, (), (7,), (6, 8), formula_terms=()))
    batch = events(4000, groups=1)._replace(extras=torch.empty(4000, 0), weight=torch.rand(4000) * 0.5)
    rule = make_rule("stdp", learning_rate=0.001, alpha=0.0, mu_plus=1.0, dt=1.0)
    told = rule(batch)
    imitation.imitate(network, batch.local_state(), told, seed=3)
    wrong = FrozenRule(network, K)(batch) - told
    assert wrong.square().mean().sqrt() < 0.1 * told.square().mean().sqrt()
    weights = {"*".join(term.factors): term.coefficient for term in network.formulas()[0]}
    assert weights["post*x20"] > 0.08 and weights["post*x20*w"] < 0


def bandit_error(sign: float, monkeypatch, **arguments) -> float:
    """Distance of a formula's answers from the bandit's best one after learning; 0.5 before."""
    right = rule_steps.ranks
    monkeypatch.setattr(rule_steps, "ranks", lambda returns: sign * right(returns))
    model = EventA2C(
        "PlasticityPolicy", bandit(32), seed=0, exploration="rule", advantage="ranks", mirrored=True,
        policy_kwargs={"sigma": 0.1, "hidden_sizes": (8,), "formula_terms": ()}, **arguments,
    )  # fmt: skip
    model.learn(32 * 4 * 40)
    env, rule, answers = on_policy.plasticity_env(model.env), model.policy.frozen(4), []
    env.reset(seed=5)
    while (found := env.events()) is not None:
        answers.append(rule(found))
        env.apply(answers[-1])
    return float((torch.cat(answers) - 0.5).abs().mean())


def test_the_bandit_is_learned_and_is_not_with_the_wrong_sign(monkeypatch):
    arguments = {"perturb": "head", "rule_learning_rate": 2.0}
    assert bandit_error(1.0, monkeypatch, **arguments) < 0.15
    monkeypatch.undo()
    assert bandit_error(-1.0, monkeypatch, **arguments) > 0.6


def policy_of(formula_terms, **arguments) -> PlasticityPolicy:
    env = bandit(2)
    policy = PlasticityPolicy(
        env.observation_space,
        env.action_space,
        lambda _: 0.0,
        hidden_sizes=(6,),
        formula_terms=formula_terms,
        **arguments,
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return policy


def test_a_formula_comes_back_from_its_files_and_from_a_zip(tmp_path):
    policy, batch = policy_of(("post*x20", "w"), dt=0.5), events(groups=1)._replace(extras=torch.empty(40, 0))
    save_rule(tmp_path, policy.rule, describe(policy.architecture, groups=["all"], history_length=K))
    rule = load_rule(tmp_path)
    assert torch.equal(rule(batch), policy.frozen(K)(batch)) and rule.formula_terms == ("post*x20", "w")
    assert rule.description.architecture.dt == 0.5
    model = EventA2C(
        "PlasticityPolicy", bandit(2), policy_kwargs={"formula_terms": ("post", "w"), "hidden_sizes": (6,)}
    )
    model.policy.rule.heads[0].coefficients.bias.data.fill_(0.3)
    model.save(tmp_path / "final.zip")
    assert torch.equal(load_policy(tmp_path).frozen(K)(batch), model.policy.frozen(K)(batch))
    policy.save(tmp_path / "policy.zip")
    assert torch.equal(PlasticityPolicy.load(tmp_path / "policy.zip").frozen(K)(batch), policy.frozen(K)(batch))


def test_a_formula_takes_over_what_it_has_in_common_with_another():
    source, target = policy_of(("w*post", "pre*post")), policy_of(("w", "post*w"))
    transfer(source, target)
    old, new = (policy.rule.heads[0].coefficients for policy in (source, target))
    assert new.weight[0].tolist() == [0.0, old.weight[0, 0].item()] and torch.equal(new.bias, old.bias)
    assert torch.equal(source.rule.critic.first.weight, target.rule.critic.first.weight)


@pytest.mark.parametrize(("source", "target", "form"), [((), None, "formula"), (None, (), "network")])
def test_a_formula_and_a_network_do_not_start_from_each_other(source, target, form):
    with pytest.raises(ConfigError, match=f"start from is a {form}, .* give rule_form={form}"):
        transfer(policy_of(source), policy_of(target))


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (("post", "z20"), "unknown factor 'z20' in a formula; valid: pre, post, w"),
        (("post*factor",), "unknown factor 'factor'"),
        (("post", ""), "unknown factor ''"),
        (("x0",), "unknown factor 'x0'"),
        (("post*w", "pre", "w*post"), "must differ from each other, got 'w\\*post' twice"),
        (tuple(f"x{tau}" for tau in range(1, MAX_TERMS + 2)), f"formula_terms must have 1 to {MAX_TERMS} entries"),
    ],
)
def test_what_is_no_formula_is_refused_in_one_line(terms, message):
    with pytest.raises(ValueError, match=message) as error:
        policy_of(terms)
    assert "\n" not in str(error.value)


@given(st.lists(st.text("prewostxyn*025. ", max_size=8), min_size=1, max_size=4))
def test_any_text_is_a_formula_or_is_refused_in_one_line(terms):
    try:
        read = [read_term(term, ()) for term in terms]
    except ConfigError as error:
        assert "\n" not in str(error) and "unknown factor" in str(error)
    else:
        batch = events()._replace(extras=torch.empty(40, 0))
        distinct = len({tuple(sorted(factors)) for factors in read}) == len(read)
        if distinct:
            network = new_network(Architecture(2, False, (), (3,), (2, 2), (1, 1), formula_terms=tuple(terms)))
            assert network.head_features.dense(batch.local_state()).isfinite().all()


def test_formulas_act_by_the_loop():
    assert type(FrozenRule(formula(), K)._act) is SummedTerms
    network, state = formula(), events().local_state()
    features = network.head_features.frozen(K)
    written_out = LayerByLayer(network, features)(state)
    torch.testing.assert_close(SummedTerms(list(network.heads), features)(state), written_out, rtol=1e-4, atol=1e-5)


def test_a_network_is_what_it_was():
    policy = policy_of(None)
    assert isinstance(policy.rule.heads[0], Head) and not policy.architecture.is_formula
    assert policy.rule.formulas() == [] and isinstance(policy_of(()).rule.heads[0], FormulaHead)


FACTORS = ("pre", "post", "w", "x20", "y5", "xn", "yn", "factor")


@given(
    st.lists(st.lists(st.sampled_from(FACTORS), min_size=1, max_size=5), min_size=1, max_size=6),
    st.lists(st.integers(0, 9), min_size=1, max_size=4),
    st.integers(1, 3),
)
def test_the_loop_is_the_sum_of_the_terms_written_out(terms, lengths, groups):
    batch = events_of(lengths, seed=len(terms), groups=groups)
    total, generator = sum(lengths), torch.Generator().manual_seed(sum(lengths))
    batch = batch._replace(
        kind=torch.randint(3, (total,), generator=generator).to(torch.uint8),
        extras=torch.randn(total, 1, generator=generator),
    )
    layout, state = FormulaTerms([tuple(term) for term in terms], DT, ("factor",)), batch.local_state()
    for own in {1, len(lengths)}:  # lifetimes that have a formula in common, and each its own
        heads = [
            [OwnLayer(*(torch.randn(own, size, 1, generator=generator) for size in (len(terms), 1)))]
            for _ in range(groups)
        ]
        got = TermInputs(layout, state).by_lifetime(heads, batch.lengths)
        common = [[OwnLayer(*(part.expand(len(lengths), -1, -1) for part in head[0]))] for head in heads]
        expected = DenseInputs(layout.dense(state), state.group).by_lifetime(common, batch.lengths)
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(TermInputs(layout, state).rows(slice(None, None, 2)), layout.dense(state)[::2])


def test_stock_stable_baselines_learns_coefficients_from_slots():
    model = A2C(
        PlasticityPolicy, bandit(4), n_steps=4, seed=0, policy_kwargs={"hidden_sizes": (6,), "formula_terms": ()}
    )
    model.learn(4 * 4 * 3)
    (terms,) = model.policy.rule.formulas()
    assert all(math.isfinite(term.coefficient) for term in terms) and any(term.coefficient for term in terms)
