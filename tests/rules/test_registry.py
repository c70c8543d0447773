"""Every rule by its name: what all of them have in common."""

import pickle

import pytest
import torch

from snn_plasticity_gym.config.schema import to_dict
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.rules import RULES, make_rule, read_rule
from snn_plasticity_gym.rules.base import needed_scalars

ALONE = [name for name, rule in RULES.items() if not needed_scalars(rule)]  # that need nothing but spikes and weight
LOCAL = [name for name in ALONE if name != "random"]
ENVIRONMENTS = {
    "SNNPlastic-Unsup1-v0": {"n_exc": 10, "num_steps": 30, "history_length": 30, "gain_input_exc": 10.0},
    "SNNPlastic-Grad-v0": {"hidden_sizes": (20, 15), "layer_scalars": (0.2, 0.5, 1.0)},
}


@pytest.fixture(scope="module")
def busy_events(make_events, trains):
    """Events of every kind, with weights of both signs."""
    pre, post = trains(300, 70, 0.2, seed=20), trains(300, 70, 0.2, seed=21)
    pre[:100, -1] = 1
    post[100:, -1] = 1
    weight = torch.rand(300, generator=torch.Generator().manual_seed(22), dtype=torch.float64) * 2 - 1
    return make_events(pre, post, weight)


def subset(events, rows):
    columns = ("pair", "synapse", "weight", "projection", "group", "kind", "extras")
    chosen = {name: getattr(events, name)[rows] for name in columns}
    return events._replace(**chosen, lengths=torch.tensor([len(rows)]))


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
@pytest.mark.parametrize("name", ALONE)
def test_every_rule_lives_through_an_image(name, env_id):
    env = PlasticityVectorEnv(env_id, num_envs=2, dataset="digits", **ENVIRONMENTS[env_id])
    env.reset(seed=3)
    before = env.engine.network.weights.clone()
    rule = make_rule(name)
    answered = 0
    while (events := env.events()) is not None:
        seen = [column.clone() for column in (events.weight, events.histories, events.pair)]
        delta_d = rule(events)
        assert delta_d.shape == events.weight.shape and delta_d.dtype == events.weight.dtype
        assert torch.isfinite(delta_d).all()
        assert all(map(torch.equal, seen, (events.weight, events.histories, events.pair))), "a rule only looks"
        answered += len(delta_d)
        env.apply(delta_d)
    assert answered > 1000 and torch.isfinite(env.finish().reward).all()
    assert torch.equal(before, env.engine.network.weights) == (name == "zero")


@pytest.mark.parametrize("name", LOCAL)
def test_permuting_events_permutes_the_answer(name, busy_events):
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    rule = make_rule(name)
    answer = rule(busy_events)
    for rows in (order, order[:40]):
        torch.testing.assert_close(rule(subset(busy_events, rows)), answer[rows], rtol=1e-13, atol=0.0)
    if name != "zero":
        assert len(answer.unique()) > 30


@pytest.mark.parametrize("name", LOCAL)
def test_single_precision_answers_as_double_precision_does(name, busy_events):
    rule = make_rule(name)
    single = rule(busy_events._replace(weight=busy_events.weight.float()))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), rule(busy_events), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", ALONE)
def test_no_events_no_answer(name, busy_events):
    nothing = subset(busy_events, torch.empty(0, dtype=torch.int64))
    assert make_rule(name)(nothing).shape == (0,)
    alone = nothing._replace(
        histories=busy_events.histories[:1], pair_pre=nothing.pair, pair_post=nothing.pair
    )  # a step in which nothing has ever fired
    assert make_rule(name)(alone).shape == (0,)


@pytest.mark.parametrize("name", [name for name in LOCAL if name != "zero"])
def test_scale_divides_and_inhibition_mirrors(name, busy_events):
    answer = make_rule(name)(busy_events)
    torch.testing.assert_close(make_rule(name, scale=0.05)(busy_events), answer * 0.2, rtol=1e-12, atol=1e-6)
    mirrored = make_rule(name)(busy_events._replace(weight=-busy_events.weight))
    torch.testing.assert_close(mirrored, -answer)
    fixed = make_rule(name, inhibitory="fixed")(busy_events)
    assert torch.equal(fixed, torch.where(busy_events.weight < 0, 0.0, answer))
    moved = busy_events.weight + 0.01 * answer
    assert (moved * busy_events.weight > 0).all(), "a weight keeps its sign"


def test_random_has_a_stream_of_its_own(busy_events):
    rule, twin = make_rule("random", sigma=0.3, seed=4), make_rule("random", sigma=0.3, seed=4)
    first = rule(busy_events)
    assert torch.equal(first, twin(busy_events)) and not torch.equal(first, rule(busy_events))
    assert first.std().item() == pytest.approx(0.3, rel=0.15)


@pytest.mark.parametrize("name", RULES)
def test_rules_are_made_of_plain_numbers_and_texts(name, busy_events):
    rule = make_rule(name)
    again = make_rule(name, **{key: str(value) for key, value in to_dict(rule).items()})
    assert again == rule == pickle.loads(pickle.dumps(rule))


@pytest.mark.parametrize(
    "name, parameters, message",
    [
        ("stpd", {}, "unknown rule 'stpd'; did you mean 'stdp'?"),
        ("hebb-1949", {}, f"unknown rule 'hebb-1949'; valid names: {', '.join(RULES)}"),
        ("stdp", {"tau_pluss": 1.0}, "rule stdp: unknown argument 'tau_pluss'; did you mean 'tau_plus'?"),
        ("oja", {"tau": 0.0}, "rule oja: tau must be greater than 0, got 0.0"),
        ("random", {"sigma": -1.0}, "rule random: sigma must be greater than or equal to 0, got -1.0"),
        ("bcm", {"inhibitory": "fix"}, "rule bcm: inhibitory must be one of magnitude, fixed, got 'fix'"),
        ("zero", {"sigma": 1.0}, "rule zero: unknown argument 'sigma'; valid names: none"),
    ],
)
def test_mistakes_are_named_in_one_line(name, parameters, message):
    with pytest.raises(ValueError) as error:
        make_rule(name, **parameters)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_a_text_names_a_rule_and_its_parameters():
    read = read_rule("target-stdp:bounds=soft:mu=1:learning_rate=5e-3:dt=2", dt=0.5, scale=0.25, seed=3)
    expected = make_rule("target-stdp", bounds="soft", mu=1.0, learning_rate=0.005, dt=2.0, scale=0.25)
    assert read == expected and read != make_rule("target-stdp")
    assert read_rule("zero", dt=0.5, scale=0.25, seed=3) == make_rule("zero")
    assert read_rule("random", dt=0.5, seed=3) == make_rule("random", seed=3)


@pytest.mark.parametrize(
    "text, message",
    [
        ("stdp:mu", "parameters of a rule are written name:key=value:key=value, got 'stdp:mu'"),
        ("stdp:=1", "parameters of a rule are written name:key=value:key=value, got 'stdp:=1'"),
        ("stdp:mu_plus=x", "rule stdp: mu_plus"),
        ("stdp:tau=1", "rule stdp: unknown argument 'tau'"),
        ("sdtp:mu=1", "unknown rule 'sdtp'; did you mean 'stdp'?"),
        ("", "unknown rule ''"),
    ],
)
def test_mistakes_in_a_text_are_named(text, message):
    with pytest.raises(ValueError) as error:
        read_rule(text, dt=1.0)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
