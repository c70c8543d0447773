"""Feedback alignment with the derivative: trace, surrogate and factor multiplied, at the events that it answers."""

import math

import pytest
import torch

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.plasticity.events import KIND_BOTH, KIND_POST, KIND_PRE
from snn_plasticity_gym.rules import make_rule

ID = "SNNPlastic-Semi-v0"
SMALL = {
    "dataset": "digits", "hidden_sizes": (8,), "num_steps": 6, "history_length": 6, "third_factor": "feedback",
    "local_state": ("surrogate",), "w_init": 4.0,
}  # fmt: skip


@pytest.fixture
def three_kinds(make_events):
    pre, post = [[0, 1, 1], [1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 0, 1], [1, 0, 1]]
    events = make_events(pre, post, torch.tensor([0.5, -0.5, 0.1]))._replace(
        extras=torch.tensor([[0.3, 0.5], [0.8, 1.0], [-0.2, 0.25]]), extra_names=("factor", "surrogate")
    )
    assert events.kind.tolist() == [KIND_PRE, KIND_POST, KIND_BOTH]
    return events


def test_by_hand(three_kinds):
    """Traces that halve in a step: 1 + 1/2, 1/2 + 1/4, 1."""
    rule = make_rule("feedback-surrogate", gain=2.0)
    assert rule(three_kinds).tolist() == pytest.approx([2 * 0.15 * 1.5, 2 * 0.8 * 0.75, 2 * -0.05], rel=1e-4)
    slower = make_rule("feedback-surrogate", tau_pre=2.0, dt=3.0)
    assert slower(three_kinds)[0] == pytest.approx(0.15 * (1 + math.exp(-1.5)), rel=1e-6)
    mirrored = three_kinds._replace(weight=-three_kinds.weight)
    assert torch.equal(rule(mirrored), rule(three_kinds)), "the sign of a weight is none of its business"


@pytest.mark.parametrize("kinds", ["merged", "pre", "post"])
def test_weights_move_by_sums_over_the_rasters(kinds):
    """w_ij grows by eta x_i psi_j f_j in every step in which i, or j, or one of them fires; no clip is met."""
    env = PlasticityVectorEnv(ID, num_envs=2, **SMALL, eta=1e-4, w_max=50.0, w_min=-50.0, event_kinds=kinds)
    rule, engine = make_rule("feedback-surrogate"), env.engine
    env.reset(seed=4)
    names = ("input_to_hidden_1", "hidden_1_to_output")
    expected = {name: engine.network.weights_of(name).clone() for name in names}
    first = {name: weight.clone() for name, weight in expected.items()}
    traces = {"input": torch.zeros(2, 784), "hidden_1": torch.zeros(2, 8)}
    while (events := env.events()) is not None:
        step = int(engine.steps[0]) - 1
        for name, source, target in zip(names, traces, ("hidden_1", "output"), strict=True):
            pre, post = (engine.raster[p][:, step].float() for p in (source, target))  # (B, n)
            traces[source] = traces[source] * math.exp(-1 / 1.4427) + pre
            told = engine.scalars._values["surrogate"], engine.task.factors()[target]
            block = engine.scalars._blocks[target]
            psi = told[0][block[0] : block[0] + 2 * block[1]].view(2, -1)  # (B, n_post)
            at_pre, at_post = pre.unsqueeze(2).bool() & (kinds != "post"), post.unsqueeze(1).bool() & (kinds != "pre")
            fires = at_pre | at_post
            product = traces[source].unsqueeze(2) * (psi * told[1]).unsqueeze(1)  # (B, n_pre, n_post)
            expected[name] += 1e-4 * fires * product.clamp(-1, 1)
        env.apply(rule(events))
    for name, weight in expected.items():
        torch.testing.assert_close(engine.network.weights_of(name), weight, rtol=0, atol=1e-6)
        assert (weight - first[name]).abs().max() > 1e-5


def test_without_its_scalars_it_says_what_to_set(three_kinds):
    rule = make_rule("feedback-surrogate")
    for name in ("factor", "surrogate"):
        with pytest.raises(ConfigError, match=f"needs the local scalar {'factor' if name == 'surrogate' else 'surr'}"):
            rule(three_kinds._replace(extras=three_kinds.extras[:, :1], extra_names=(name,)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"gain": 0}, "gain must be greater than 0"), ({"tau_pre": 0}, "tau_pre must be greater than 0")],
)
def test_parameters_that_cannot_be_are_refused(parameters, message):
    with pytest.raises(ConfigError, match=message):
        make_rule("feedback-surrogate", **parameters)
