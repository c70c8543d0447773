"""The delta rule: its factor at presynaptic spikes, and nothing without a factor."""

import pytest
import torch

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.plasticity.events import KIND_BOTH, KIND_POST, KIND_PRE
from snn_plasticity_gym.rules import make_rule
from snn_plasticity_gym.rules.delta import DeltaRule

ID = "SNNPlastic-Semi-v0"
SMALL = {"dataset": "digits", "hidden_sizes": (8,), "num_steps": 6, "history_length": 6}


def test_the_factor_acts_at_presynaptic_spikes_alone(make_events):
    pre, post = [[0, 1], [1, 0], [0, 1]], [[1, 0], [0, 1], [1, 1]]
    events = make_events(pre, post, torch.tensor([0.5, -0.5, 0.1]))._replace(
        extras=torch.tensor([[0.3], [0.7], [-0.2]]), extra_names=("factor",)
    )
    assert events.kind.tolist() == [KIND_PRE, KIND_POST, KIND_BOTH]
    assert DeltaRule()(events).tolist() == pytest.approx([0.3, 0.0, -0.2])
    assert DeltaRule(gain=2.0)(events).tolist() == pytest.approx([0.6, 0.0, -0.4])
    assert DeltaRule()(events._replace(weight=-events.weight)).tolist() == pytest.approx([0.3, 0.0, -0.2])


def test_no_events_no_answer(make_events):
    events = make_events([[0, 1]], [[1, 0]], torch.tensor([0.5]))._replace(
        extras=torch.tensor([[0.3]]), extra_names=("factor",)
    )
    columns = ("pair", "synapse", "weight", "projection", "group", "kind", "extras")
    assert DeltaRule()(events._replace(**{name: getattr(events, name)[:0] for name in columns})).shape == (0,)


@pytest.mark.parametrize("factor", ["reward", "teaching", "feedback"])
def test_weights_move_by_eta_times_the_factor_synapse_by_synapse(factor):
    """Against a sum over the rasters of an image: w_ij grows by eta f_j at every spike of i; no clip is met."""
    settings = {**SMALL, "third_factor": factor, "eta": 1e-4, "w_init": 4.0, "w_max": 50.0, "w_min": -50.0}
    env = PlasticityVectorEnv(ID, num_envs=2, **settings)
    env.reset(seed=4)
    rule, factors = make_rule("delta"), {}
    for _ in range(3):  # the first two images have no surprise in them
        engine = env.engine
        before = {name: engine.network.weights_of(name).clone() for name in ("input_to_hidden_1", "hidden_1_to_output")}
        expected = {name: weight.clone() for name, weight in before.items()}
        while (events := env.events()) is not None:
            step = int(engine.steps[0]) - 1
            factors = dict(zip(before, engine.task._factor._factors, strict=True))
            for name, source in zip(before, ("input", "hidden_1"), strict=True):
                spikes = engine.raster[source][:, step].float()  # (B, n_pre)
                expected[name] += 1e-4 * spikes.unsqueeze(2) * factors[name].unsqueeze(1)
            env.apply(rule(events))
        for name, weight in expected.items():
            torch.testing.assert_close(engine.network.weights_of(name), weight, rtol=0, atol=1e-6)
        moved = (engine.network.weights_of("input_to_hidden_1") - before["input_to_hidden_1"]).abs().max()
        env.finish()
    if factor == "teaching":  # nothing is said to hidden neurons
        assert moved == 0
        said = factors["hidden_1_to_output"].sort(dim=1).values  # (2, 10) ascending
        torch.testing.assert_close(said, torch.tensor([[-0.1] * 9 + [0.9]] * 2))
    else:
        assert moved > 0


def test_without_a_factor_it_says_what_to_set():
    env = PlasticityVectorEnv(ID, num_envs=1, **SMALL)
    env.reset(seed=0)
    with pytest.raises(
        ValueError, match=r"needs the local scalar factor, its events show none; [^\n]*set third_factor"
    ) as e:
        make_rule("delta")(env.events())
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("gain", [0.0, -1.0])
def test_a_gain_that_is_not_positive_is_refused(gain):
    with pytest.raises(ConfigError, match="rule delta: gain must be greater than 0"):
        make_rule("delta", gain=gain)
