"""The reward of reconstruction: what the weights of an image's winner explain of its spikes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lives import DIEHL_COOK, by_events

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.rewards.reconstruction import explained
from snn_plasticity_gym.rewards.winner import NO_WINNER
from snn_plasticity_gym.rules import make_rule

ID = "SNNPlastic-Unsup1-v0"
JUDGED = {**DIEHL_COOK, "reward_form": "reconstruction", "w_exc_sum": 8.0, "eta_exc": 0.2}


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 30))
def test_it_is_what_least_squares_leave(seed, networks, pixels):
    """Beside NumPy's least squares, which fits the scale of each winner's weights to the spikes."""
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, 4, size=(networks, pixels))
    weights = rng.random((networks, pixels)).astype(np.float32)
    winners = torch.zeros(networks, dtype=torch.int64)
    shares = explained(torch.from_numpy(inputs), torch.from_numpy(weights), winners)  # (R,)
    for spikes, own, share in zip(inputs, weights, shares.tolist(), strict=True):
        _, left, *_ = np.linalg.lstsq(own[:, None].astype(np.float64), spikes.astype(np.float64), rcond=None)
        assert share == pytest.approx(1.0 - left[0] / (spikes**2).sum() if spikes.any() else 0.0, abs=1e-5)


def test_nothing_is_explained_by_nobody():
    spikes, weights = torch.tensor([[3, 1], [3, 1], [0, 0], [3, 1]]), torch.tensor([[3.0, 1.0]] * 3 + [[0.0, 0.0]])
    shares = explained(spikes, weights, torch.tensor([0, NO_WINNER, 0, 0]))
    assert shares.tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("live", [lambda rule: rule, by_events], ids=["compiled", "by events"])
def test_networks_earn_what_their_winners_explain(live):
    """Weights, spikes and winners as an observer finds them after each image, which has changed the weights."""
    env = PlasticityVectorEnv(ID, num_envs=3, c_sparsity=0.5, c_diversity=1.0, c_stability=0.5, **JUDGED)
    env.reset(seed=2)
    rule, earned = live(make_rule("stdp", learning_rate=0.5)), 0
    for _ in range(6):
        result = env.run_episode(rule)
        record, weights = env.engine.task.record, env.engine.network.weights_of("input_to_exc")
        for b in range(3):
            raster = record.raster["input"][b] if "input" in record.raster else None
            spikes = record.counted["input"].counts[b] if record.counted else raster.sum(dim=0)
            winner = int(result.info["winner"][b])
            share = 0.0
            if winner != NO_WINNER:
                x, w = spikes.double().numpy(), weights[b, :, winner].double().numpy()
                share, earned = (x @ w) ** 2 / (x @ x) / (w @ w), earned + 1
            assert float(result.terms["reconstruction"][b]) == pytest.approx(share, abs=1e-5)
            assert float(result.reward[b]) == pytest.approx(2.0 * share, abs=2e-5)
    assert earned > 5


def test_a_rule_that_copies_images_explains_more_than_one_that_does_not():
    """Images repeat; changes of opposite sign are the mutation."""
    copy, means = make_rule("target-stdp", learning_rate=0.3, x_tar=0.2), []
    for rule in (make_rule("zero"), copy, lambda events: -torch.as_tensor(copy(events))):
        env = PlasticityVectorEnv(ID, num_envs=4, image_pool=3, event_kinds="post", **JUDGED)
        env.reset(seed=2)
        means.append(float(torch.stack([env.run_episode(rule).reward for _ in range(30)])[15:].mean()))
    none, copies, shuns = means
    assert copies > none + 0.05 > shuns + 0.05


def test_a_neuron_has_no_part_of_its_own():
    with pytest.raises(ConfigError, match=r"credit=neuron needs reward_form=sum or product, got reconstruction"):
        PlasticityVectorEnv(ID, num_envs=1, credit="neuron", **JUDGED)
