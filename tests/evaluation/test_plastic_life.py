"""What is noted of a trial, against the network itself."""

import numpy as np
import pytest
import torch

from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.config.schema import to_dict
from snn_plasticity_gym.evaluation.plastic_life import load_network, respond, watch
from snn_plasticity_gym.learners.plastic_network import make_network
from snn_plasticity_gym.tasks.cue_association import show_cues


@pytest.mark.parametrize("kind", ["ndp-bcm", "dp-oja", "backpropamine-retroactive", "formula", "head", "recurrent"])
def test_what_is_noted_is_what_the_network_does(kind, tmp_path):
    config = PlasticConfig(network=kind, hidden_size=5)
    network = make_network(config, torch.Generator().manual_seed(4))
    if kind == "formula":
        torch.nn.init.constant_(network.rule(0).coefficients, 0.1)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    loaded_config, loaded = load_network(to_dict(config) | {"foreign": 1}, tmp_path / "weights.pt")
    assert loaded_config == config
    trial = watch(loaded, (0, 1, 1), 20, "normal", 9, 4)
    inputs = torch.from_numpy(show_cues(np.random.default_rng(9), [(0, 1, 1)], 20, "normal").spikes)
    done = network(inputs)
    assert np.array_equal(trial.hidden, done.hidden[:, 0].detach()) and trial.hidden.any()
    assert np.array_equal(trial.output, done.output[:, 0].detach())
    if kind == "recurrent":
        assert trial.modulation.shape == (120, 0) and not trial.change.any()
        return
    hidden, _ = network.states(inputs)
    rule = network.rule(0)
    effective = rule.effective(network.weights[0], hidden[-1].plastic)[0].detach()  # (I, H)
    change = (effective - network.weights[0].detach()).abs()
    np.testing.assert_allclose(trial.change[-1], change.mean(dim=0), atol=1e-6)
    assert trial.weights.shape == (120, 4) and np.isin(trial.weights[-1].round(5), effective.numpy().round(5)).all()
    if kind in ("formula", "head"):
        assert trial.modulation.shape == (120, 0)
        return
    told = rule.modulation(hidden[49].post.level)[0].detach()  # what step 50 sees
    np.testing.assert_allclose(trial.modulation[50], told, atol=1e-6)
    assert (trial.modulation == 1).all() == (kind == "dp-oja")


def test_responses_are_means_over_trials():
    network = make_network(PlasticConfig(hidden_size=5), torch.Generator().manual_seed(1))
    response = respond(network, (0, 0, 0), 10, "noisy", 2, 6)
    done = network(torch.from_numpy(show_cues(np.random.default_rng(2), [(0, 0, 0)] * 6, 10, "noisy").spikes))
    np.testing.assert_allclose(response.output, done.output.detach().numpy().mean(axis=1))
    np.testing.assert_allclose(response.hidden, done.hidden.detach().numpy().mean(axis=(1, 2)), rtol=1e-5)
