"""Oja's rule: its rate form has a closed end, and spikes do on average what rates do."""

import math

import pytest
import torch

from snn_plasticity_gym.rules.oja import Oja, oja_change


def test_the_rate_form_finds_the_principal_component_with_norm_one():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    correlation = mixing @ mixing.T  # E[x x^T]
    inputs = torch.linalg.cholesky(correlation) * 5**0.5  # columns: five inputs of equal probability
    weight = torch.rand(5, generator=generator, dtype=torch.float64)
    for _ in range(4000):
        post = inputs.T @ weight  # (5,) of a linear neuron
        change = oja_change(inputs.T, post.unsqueeze(1), post.unsqueeze(1), weight)  # (inputs, weights)
        weight = weight + 0.005 * change.mean(dim=0)
    principal = torch.linalg.eigh(correlation).eigenvectors[:, -1]
    assert weight.norm().item() == pytest.approx(1.0, abs=1e-6)
    assert abs((weight @ principal).item()) == pytest.approx(1.0, abs=1e-6)


def test_a_post_spike_moves_the_weight_by_traces_of_its_neurons(make_events):
    pre, post = [0, 1, 0, 0, 1], [1, 0, 0, 1, 1]
    rule = Oja(learning_rate=0.1, decay=2.0, tau=3.0, scale=0.5)
    decay = math.exp(-1 / 3)
    x, y = decay**3 + 1, decay**4 + decay
    events = make_events([pre], [post], torch.tensor([0.7], dtype=torch.float64))
    assert rule(events).item() == pytest.approx(0.1 * (x - 2 * y * 0.7) / 0.5)
    earlier = Oja(learning_rate=0.1, decay=2.0, tau=3.0, scale=0.5, coincident=False)
    assert earlier(events).item() == pytest.approx(0.1 * (x - 1 - 2 * y * 0.7) / 0.5)
    events = make_events([pre], [[1, 0, 0, 1, 0]], torch.tensor([0.7], dtype=torch.float64))
    assert rule(events).item() == 0.0


def test_poisson_spikes_have_their_balance_where_the_rate_form_has_it(make_events, trains):
    """At the weight x / y the mean change is zero; the norm of a linear neuron's weights is then one."""
    count, length, rates = 20_000, 120, (0.03, 0.06)
    pre, post = trains(count, length, rates[0], seed=7), trains(count, length, rates[1], seed=8)
    post[:, -1] = 1  # look at post spikes
    rule = Oja(coincident=False, scale=0.01)
    balance = rates[0] / rates[1]
    for weight, sign in ((balance, 0), (0.8 * balance, 1), (1.2 * balance, -1)):
        change = rule(make_events(pre, post, torch.full((count,), weight, dtype=torch.float64)))
        error = change.std().item() / count**0.5
        expected = rates[0] / (math.exp(1 / 20) - 1) * (1 - weight / balance)
        assert abs(change.mean().item() - expected) < 4 * error
        assert sign == 0 or sign * change.mean().item() > 5 * error


def test_the_weights_of_linear_poisson_neurons_end_with_norm_one(make_events):
    """200 neurons with three inputs of constant rates: w goes to rates / |rates|."""
    copies, length, steps = 200, 64, 1500
    rates = torch.tensor([0.02, 0.04, 0.04], dtype=torch.float64)  # spikes per step; |rates| = 0.06
    rule = Oja(tau=10.0, coincident=False, learning_rate=0.1, scale=1.0)
    generator = torch.Generator().manual_seed(9)
    weight = torch.tensor([0.7, 0.4, 0.9], dtype=torch.float64).repeat(copies, 1)
    pre, post = torch.zeros(copies, 3, length), torch.zeros(copies, length)
    mean = torch.zeros(3, dtype=torch.float64)
    for step in range(steps):
        pre, post = pre.roll(-1, dims=2), post.roll(-1, dims=1)
        pre[:, :, -1] = (torch.rand(copies, 3, generator=generator) < rates).float()
        post[:, -1] = (torch.rand(copies, generator=generator) < weight @ rates).float()
        fired = post[:, -1].nonzero().squeeze(1)
        if len(fired):
            seen = post[fired].unsqueeze(1).expand(-1, 3, -1).flatten(0, 1)
            events = make_events(pre[fired].flatten(0, 1), seen, weight[fired].flatten())
            weight[fired] += rule(events).view(-1, 3)
        if step >= 1000:
            mean += weight.mean(dim=0) / (steps - 1000)
    assert mean.norm().item() == pytest.approx(1.0, abs=0.05)
    assert (mean - rates / rates.norm()).norm().item() < 0.05
