"""Whole images by operations on all synapses are the same event by event, and ask nothing of a GPU on the way."""

import pytest
import torch
from grids import grid
from hypothesis import given, settings
from hypothesis import strategies as st
from lives import DIEHL_COOK, FEEDFORWARD, HOMEOSTASIS, assert_same_lives, bold_rule, formula
from torch.utils._python_dispatch import TorchDispatchMode

from snn_plasticity_gym.envs import dense_images
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.networks.activity import SpikeList
from snn_plasticity_gym.policies.head_inputs import OwnLayer
from snn_plasticity_gym.rules import make_rule
from snn_plasticity_gym.rules.distilled import DistilledRule, Term
from snn_plasticity_gym.rules.triplet_stdp import TRIPLET_FITS

UNSUP1, UNSUP2, SEMI = "SNNPlastic-Unsup1-v0", "SNNPlastic-Unsup2-v0", "SNNPlastic-Semi-v0"
PLAIN = ["post", "pre*w", "post*x20", "pre*y20", "post*x20*w*w", "x5*y5", "w*w", "post*xn*yn"]


def dense(env: PlasticityVectorEnv) -> PlasticityVectorEnv:
    """An environment that takes the way of a GPU."""
    env.engine.whole.loops = False
    return env


def lives(env_id, rule, config, images=2, rounding=1e-6, **options):
    """What `assert_same_lives` returns."""
    lived = assert_same_lives(env_id, config, lambda env: (dense(env), rule)[1], images, rounding=rounding, **options)
    assert min(lived.spikes.values()) > 0
    return lived


def formulas(env_id, terms, config, bold=0.5, **options):
    lived = assert_same_lives(env_id, config, lambda env: formula(dense(env), terms, bold=bold), **options)
    assert min(lived.spikes.values()) > 0 and lived.moved > 1e-3


RULES = [
    ("stdp", {"scale": 0.05}),
    ("stdp", {"scale": 0.05, "pairing": "nearest", "coincident": True, "mu_plus": 0.3, "mu_minus": 0.7}),
    ("stdp", {"scale": 0.05, "inhibitory": "fixed", "alpha": 2.0, "w_max": 0.3}),
    ("target-stdp", {"bounds": "soft", "mu": 1.0, "learning_rate": 3.0, "x_tar": 1.5}),
    ("triplet-stdp", {**TRIPLET_FITS["hippocampus-nearest"], "scale": 0.05}),
    ("triplet-stdp", {"scale": 0.05}),
    ("bcm", {"theta_min": 0.2, "learning_rate": 0.3, "scale": 0.05}),
    ("oja", {"coincident": False, "learning_rate": 0.3, "scale": 0.05}),
    ("bcm", {"scale": 0.05}),
]
OPTIONS = [HOMEOSTASIS, {"history_length": 6}]
NAMES = ["homeostasis", "K < T"]


@pytest.mark.parametrize(
    ("rule", "options"),
    grid(RULES, OPTIONS, ids=[[f"{name} {number}" for number, (name, _) in enumerate(RULES)], NAMES]),
)
def test_rules_in_closed_form(rule, options):
    name, parameters = rule
    if name == "bcm" and "history_length" in options:
        pytest.skip("its running mean remembers what histories have forgotten")
    lived = lives(UNSUP2, make_rule(name, **parameters), {**DIEHL_COOK, **options}, images=2, rounding=1e-5)
    assert lived.moved > 0.01


@pytest.mark.parametrize(("name", "kinds"), grid(["stdp", "target-stdp", "bcm"], ["pre", "post"]))
def test_the_spikes_of_one_side_alone(name, kinds):
    config = {**DIEHL_COOK, "event_kinds": kinds, "max_rate": 0.3}  # so that both often fire at once
    lives(UNSUP2, make_rule(name, scale=0.05), config)


@pytest.mark.parametrize(
    ("name", "factor", "modulation"),
    grid(["delta", "feedback-surrogate"], ["reward", "teaching", "feedback"], ["none", "reward", "factor"]),
)
def test_third_factors(name, factor, modulation):
    config = {**FEEDFORWARD, "third_factor": factor, "modulation": modulation, "local_state": ["surrogate"]}
    lived = lives(SEMI, make_rule(name), config, rounding=1e-5)
    assert lived.moved > 0 or (factor, modulation) == ("reward", "factor")


@pytest.mark.parametrize("kinds", ["merged", "pre", "post"])
def test_factors_with_traces_and_learning_rates_that_fall(kinds):
    config = {**FEEDFORWARD, "third_factor": "feedback", "local_state": ["surrogate"], "event_kinds": kinds}
    rule = make_rule("feedback-surrogate", gain=0.5, tau_pre=5.0)
    assert lives(SEMI, rule, {**config, "eta_decay": 1.5, "factor_steps": 7}, images=2).moved > 0


@pytest.mark.parametrize(("env_id", "options"), grid([UNSUP1, UNSUP2], OPTIONS, ids=[[UNSUP1, UNSUP2], NAMES]))
def test_formulas_in_the_diehl_cook_network(env_id, options):
    formulas(env_id, PLAIN, {**DIEHL_COOK, **options}, images=2)


@pytest.mark.parametrize("kinds", ["pre", "post"])
def test_formulas_at_the_spikes_of_one_side(kinds):
    formulas(UNSUP2, PLAIN, {**DIEHL_COOK, "event_kinds": kinds, "max_rate": 0.3}, images=2)


def test_formulas_of_scalars():
    terms = ["pre*surrogate", "post*x20*potential", "theta*w", "reward*pre", "pre*surrogate*surrogate*y20"]
    config = {**DIEHL_COOK, **HOMEOSTASIS, "local_state": ["potential", "surrogate", "theta", "reward"]}
    formulas(UNSUP1, terms, config, bold=0.2, images=2)


@pytest.mark.parametrize("modulation", ["none", "reward", "factor"])
def test_formulas_of_a_third_factor(modulation):
    config = {**FEEDFORWARD, "third_factor": "feedback", "modulation": modulation, "local_state": ["surrogate"]}
    formulas(SEMI, ["pre*factor*surrogate", "post*x20*factor", "pre*factor*factor", "pre*w"], config, images=2)


def test_a_formula_of_each_lifetimes_own():
    def own(env: PlasticityVectorEnv):
        shared = formula(dense(env), PLAIN)
        draw = torch.Generator().manual_seed(2)
        heads = [
            [OwnLayer(*(torch.randn(env.num_envs, *shape, generator=draw) / 2 for shape in ((len(PLAIN), 1), (1, 1))))]
            for _ in env.engine.heads
        ]
        return shared.of_lifetimes(heads)

    lived = assert_same_lives(UNSUP2, DIEHL_COOK, own, images=3, num_envs=3)
    assert lived.moved > 0.1


def test_a_distilled_formula_with_a_head_for_each_projection():
    heads = [[Term(0.4, ("post", "x20")), Term(-0.3, ())], [Term(0.9, ("pre", "w")), Term(0.2, ("yn", "post"))]]
    assert lives(UNSUP2, DistilledRule(heads, 1.0, ()), DIEHL_COOK).moved > 0.1


@settings(max_examples=10)
@given(
    st.sampled_from(["stdp", "triplet-stdp", "target-stdp", "oja", "bcm"]),
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(1, 30),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.integers(0, 1000),
)
def test_networks_of_any_shape(name, num_envs, n_exc, num_steps, dt, seed):
    config = {**DIEHL_COOK, "n_exc": n_exc, "num_steps": num_steps, "history_length": num_steps, "dt": dt}
    rule = make_rule(name, scale=0.05, dt=dt)
    assert_same_lives(
        UNSUP2, config, lambda env: (dense(env), rule)[1], images=2, num_envs=num_envs, seed=seed, least=1e-4
    )


def test_where_plasticity_has_ended_nothing_moves():
    config = {**DIEHL_COOK, **HOMEOSTASIS, "w_exc_sum": 0.0, "lifetime_length": 8, "plastic_episodes": 3}
    env = dense(PlasticityVectorEnv(UNSUP1, num_envs=2, **config))
    env.reset(seed=1)
    weights, moved = env.engine.network.weights, []
    for _ in range(6):
        before, theta = weights.clone(), env.engine.network.states["exc"].theta.clone()
        result = env.run_episode(make_rule("stdp", scale=0.05))
        still = torch.equal(theta, env.engine.network.states["exc"].theta) and torch.equal(before, weights)
        moved.append(not still)
        assert result.spikes["exc"].sum() > 0 and (result.num_events.sum() > 0) is not still
    assert moved == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("env_id", "rule_of", "config"),
    [
        (UNSUP1, lambda env: make_rule("random"), DIEHL_COOK),
        (UNSUP1, bold_rule, DIEHL_COOK),
        (UNSUP1, lambda env: make_rule("stdp"), {**DIEHL_COOK, "event_kinds": "split"}),
        (UNSUP1, lambda env: make_rule("stdp"), {**DIEHL_COOK, "credit": "neuron"}),
        ("SNNPlastic-CartPole-v0", lambda env: make_rule("stdp"), {"hidden_sizes": [3]}),
    ],
    ids=["no closed form", "a policy", "two phases", "rewards by event", "a closed loop"],
)
def test_what_has_to_go_by_events(env_id, rule_of, config):
    env = dense(PlasticityVectorEnv(env_id, num_envs=1, **config))
    assert env.engine.whole.way(rule_of(env)) is None


def test_a_formula_that_is_not_finite_is_named():
    env = dense(PlasticityVectorEnv(UNSUP1, num_envs=2, **DIEHL_COOK))
    env.reset(seed=1)
    env.run_episode(lambda events: torch.zeros_like(events.weight))
    with pytest.raises(ValueError, match="delta_d must be finite, got NaN in lifetime 0"):
        env.run_episode(DistilledRule([[Term(float("nan"), ("pre",))]], 1.0, ()))


class NoWaiting(TorchDispatchMode):
    """Refuses operations whose result, or its shape, the processor has to hear from a GPU."""

    waits = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "bincount")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masked = name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        assert name not in self.waits and not masked, f"{name} waits"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("env_id", "rule_of", "config"),
    [
        (UNSUP2, lambda env: make_rule("stdp"), {**DIEHL_COOK, **HOMEOSTASIS}),
        (UNSUP2, lambda env: make_rule("bcm"), {**DIEHL_COOK, "modulation": "reward"}),
        (UNSUP1, lambda env: formula(env, PLAIN), {**DIEHL_COOK, "history_length": 6}),
        (SEMI, lambda env: make_rule("delta"), {**FEEDFORWARD, "third_factor": "feedback"}),
        (SEMI, lambda env: formula(env, ["pre*factor"]), {**FEEDFORWARD, "third_factor": "teaching"}),
    ],
    ids=["stdp", "bcm", "formula", "feedback", "teaching"],
)
def test_no_step_waits_for_a_result(env_id, rule_of, config, monkeypatch):
    env = dense(PlasticityVectorEnv(env_id, num_envs=2, **config))
    env.reset(seed=1)
    rule, engine = rule_of(env), env.engine
    env.run_episode(rule)
    simulate, steps = engine.whole._play, 0

    def watched(step: int):
        nonlocal steps
        steps += 1
        with NoWaiting():
            return simulate(step)

    learn = dense_images.DensePlasticity.learn

    def learn_watched(self, step, activity):
        with NoWaiting():
            learn(self, step, activity)

    monkeypatch.setattr(engine.whole._dense, "_play", watched)
    monkeypatch.setattr(dense_images.DensePlasticity, "learn", learn_watched)
    env.run_episode(rule)
    assert steps == env.config.num_steps


SPIKES = torch.tensor([[True, False, True]])


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (lambda: SpikeList.of(SPIKES), "nonzero"),  # with which the way by events begins each step
        (lambda: SPIKES.any().item(), "_local_scalar_dense"),
        (lambda: torch.ones(1, 3)[SPIKES], "index"),
        (lambda: torch.ones(1, 3).masked_select(SPIKES), "masked_select"),
        (lambda: torch.arange(3).bincount(), "bincount"),
    ],
)
def test_what_waits_is_seen(operation, name):
    """Or the test above shows nothing."""
    with pytest.raises(AssertionError, match=f"{name} waits"), NoWaiting():
        operation()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_id", "rule_of", "config"),
    [
        (UNSUP2, lambda env: make_rule("stdp", scale=0.05), {**DIEHL_COOK, **HOMEOSTASIS}),
        (UNSUP2, lambda env: make_rule("target-stdp", scale=0.05), {**DIEHL_COOK, "modulation": "reward"}),
        (UNSUP2, lambda env: formula(env, PLAIN), DIEHL_COOK),
        (SEMI, lambda env: make_rule("delta"), {**FEEDFORWARD, "third_factor": "feedback"}),
    ],
    ids=["stdp", "held back", "formula", "feedback"],
)
def test_fused_operations_are_the_same(env_id, rule_of, config):
    """As on a GPU, with the compiler of the CPU; nothing breaks the chain of operations."""

    def fusing(env: PlasticityVectorEnv):
        dense(env).engine.whole._dense.fuses = True
        return rule_of(env)

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    assert_same_lives(env_id, config, fusing, images=2, rounding=1e-5)
    counters = torch._dynamo.utils.counters
    assert counters["frames"]["ok"] > 0 and not counters["graph_break"]
