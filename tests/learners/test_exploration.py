"""Exploration: noise that is a function of a synapse's state, of unit variance, and lasts until it is drawn anew."""

import math

import numpy as np
import pytest
import torch
from batches import SIGMA, K, Policy, events_of, generator, repeated
from scipy.linalg import fractional_matrix_power

from snn_plasticity_gym.config.learning import EventOptions
from snn_plasticity_gym.config.values import ConfigError
from snn_plasticity_gym.learners.exploration import IndependentNoise, RuleNoise
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.policies.network import RuleNetwork, new_network

WIDTH = 16


@pytest.fixture(scope="module")
def network() -> RuleNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return new_network(Architecture(num_groups=2, hidden_sizes=(24, WIDTH)))


@pytest.fixture(scope="module")
def rule(network) -> FrozenRule:
    return FrozenRule(network, K)


def exploration(mirrored: bool = False, seed: int = 3, common_share: float = 0.1) -> RuleNoise:
    options = EventOptions(exploration="rule", mirrored=mirrored, common_share=common_share)
    return RuleNoise(Policy(), generator(seed), options)


def noise_of(noise: RuleNoise, rule: FrozenRule, events: SynapseEvents) -> torch.Tensor:
    """n of each event, delta_d = tanh(w . phi + b + sigma n) where tanh(w . phi + b) is the mean rule."""
    delta_d, log_probs = noise.act(rule, events)
    assert log_probs is None and delta_d.abs().max() < 1
    return ((torch.atanh(delta_d.double()) - torch.atanh(rule(events).double())) / SIGMA).float()


def measured(rule: FrozenRule, num_lifetimes: int, events: SynapseEvents, mirrored=False, seed: int = 3) -> RuleNoise:
    """Rule noise that has seen `events` in a rollout, and is in the first image of the next one."""
    noise = exploration(mirrored, seed)
    noise.begin_rollout()
    noise.perturb(num_lifetimes)
    noise.act(rule, events)
    noise.begin_rollout()
    noise.perturb(num_lifetimes)
    return noise


def hidden(network: RuleNetwork, events: SynapseEvents) -> torch.Tensor:
    """Last hidden layer of each event in the head of its group, (E, F), by the plain convolution."""
    state = events.local_state()
    features, scalars = network.features(state), network.scalars(state)
    rows = []
    for event in range(len(state.pair)):
        head = network.heads[int(state.group[event])]
        one = slice(event, event + 1)
        rows.append(head.last_hidden(head.pair_part(features), state.pair[one], scalars[one])[0])
    return torch.stack(rows).detach()


def test_independent_noise_is_normal_and_new_at_every_event(rule):
    events = events_of([900, 0, 1100])
    noise = IndependentNoise(Policy(), generator())
    noise.begin_rollout()
    noise.perturb(3)
    actions, log_probs = noise.act(rule, events)
    off = (actions - rule(events)) / SIGMA
    assert abs(off.mean().item()) < 4 / 2000**0.5 and off.std().item() == pytest.approx(1.0, abs=0.08)
    torch.testing.assert_close(log_probs, -off.square() / 2 - math.log(SIGMA * math.sqrt(2 * math.pi)))
    assert not torch.equal(actions, noise.act(rule, events)[0])
    assert torch.equal(actions, IndependentNoise(Policy(), generator()).act(rule, events)[0])


def test_the_first_rollout_follows_the_mean_rule_and_later_ones_do_not(rule):
    noise, events = exploration(), events_of([20, 30])
    noise.begin_rollout()
    for _ in range(2):  # images
        noise.perturb(2)
        for _ in range(2):  # time steps
            torch.testing.assert_close(noise.act(rule, events)[0], rule(events))
    assert noise.scaling is None and noise.drawn == []
    noise.begin_rollout()
    for images in (1, 2):
        noise.perturb(2)
        assert noise_of(noise, rule, events).abs().min() > 1e-4
        assert len(noise.drawn) == images and noise.drawn[-1].shape == (2, 2, WIDTH + 1)
    noise.begin_rollout()
    assert noise.drawn == []


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_noise_equals_the_formula_written_out(network, rule, share):
    """sqrt(1 - c) xi Z (phi - mu) + sqrt(c) xi_0, with the sums of rollout 1 halved when rollout 2 begins."""
    first, second, third = events_of([25, 0, 35], seed=1), events_of([30, 20, 10], seed=2), events_of([9, 8, 7], seed=3)
    noise = exploration(seed=11, common_share=share)
    for events in (first, second):
        noise.begin_rollout()
        noise.perturb(3)
        noise.act(rule, events)
    noise.begin_rollout()
    noise.perturb(3)
    given = noise_of(noise, rule, third)

    source = generator(11)
    for _ in range(2):  # one draw for rollout 2, one for rollout 3
        xi = torch.randn(3, 2, WIDTH + 1, generator=source)
    assert torch.equal(noise.drawn[0], xi)
    phi_1, phi_2, phi_3 = (hidden(network, events).double() for events in (first, second, third))
    lifetimes = [0] * 9 + [1] * 8 + [2] * 7
    for event, lifetime in enumerate(lifetimes):
        group = int(third.group[event])
        old, new = phi_1[first.group == group], phi_2[second.group == group]
        count = 0.5 * len(old) + len(new)
        centre = (0.5 * old.sum(dim=0) + new.sum(dim=0)) / count
        covariance = sum(
            share * torch.outer(phi - centre, phi - centre) for share, rows in ((0.5, old), (1.0, new)) for phi in rows
        )
        ridged = (covariance + 0.01 * covariance.trace() * torch.eye(WIDTH)).numpy() / count
        in_use = np.trace(covariance.numpy() / count @ np.linalg.inv(ridged))
        whitening = torch.from_numpy(fractional_matrix_power(ridged, -0.5) / in_use**0.5)
        own = xi[lifetime, group].double()
        expected = (1 - share) ** 0.5 * (own[:-1] @ whitening @ (phi_3[event] - centre)) + share**0.5 * own[-1]
        assert given[event].item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-3)


def test_over_events_and_perturbations_the_noise_has_mean_0_and_variance_1(rule):
    events = repeated(events_of([40]), 16)
    noise, drawn = measured(rule, 16, events), []
    for _ in range(150):
        noise.perturb(16)
        drawn.append(noise_of(noise, rule, events))
    drawn = torch.stack(drawn)  # (perturbations, E)
    for group in (0, 1):
        mine = drawn[:, events.group == group]
        assert abs(mine.mean().item()) < 0.1
        assert mine.square().mean().item() == pytest.approx(1.0, abs=0.1)
    # A tenth of it is a shift that all events of a lifetime and head have in common.
    by_lifetime = drawn.view(150, 16, 40)[:, :, events.group[:40] == 0].mean(dim=2)
    assert by_lifetime.square().mean().item() == pytest.approx(0.1, abs=0.02)


def test_a_perturbation_is_a_function_of_the_state_until_the_next_one(rule):
    one = events_of([15])
    events = repeated(one, 4)  # four lifetimes look at the same states
    noise = measured(rule, 4, events)
    first, _ = noise.act(rule, events)
    rows = first.view(4, 15)
    for row in range(1, 4):
        assert (rows[0] - rows[row]).abs().max() > 0.01
    assert torch.equal(first, noise.act(rule, events)[0])  # another time step
    both, _ = noise.act(rule, repeated(one, 2)._replace(lengths=torch.tensor([30, 0, 0, 0])))
    torch.testing.assert_close(both[:15], rows[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both[15:], rows[0], rtol=1e-4, atol=1e-5)
    order = torch.randperm(15, generator=generator())
    shuffled = one._replace(**{name: getattr(one, name)[order] for name in ("pair", "weight", "group")})
    moved, _ = noise.act(rule, shuffled._replace(lengths=torch.tensor([0, 0, 15, 0])))
    torch.testing.assert_close(moved, rows[2][order], rtol=1e-4, atol=1e-5)
    noise.perturb(4)
    assert (noise.act(rule, events)[0] - first).abs().max() > 0.01


def test_what_is_seen_in_a_rollout_does_not_move_its_perturbations(rule):
    events, others = repeated(events_of([15]), 2), events_of([60, 80], seed=9)
    noise, twin = (measured(rule, 2, events) for _ in range(2))
    before, _ = noise.act(rule, events)
    noise.act(rule, others)
    assert torch.equal(before, noise.act(rule, events)[0])
    for one in (noise, twin):
        one.perturb(2)  # a new image of the same rollout, scaled as the one before
    torch.testing.assert_close(noise.act(rule, events)[0], twin.act(rule, events)[0])


@pytest.mark.parametrize("num_lifetimes", [4, 5])
def test_mirrored_pairs_get_opposite_noise(rule, num_lifetimes):
    events = repeated(events_of([15]), num_lifetimes)
    noise = measured(rule, num_lifetimes, events, mirrored=True)
    for _ in range(2):
        assert torch.equal(noise.drawn[-1][0:4:2], -noise.drawn[-1][1:4:2])
        rows = noise_of(noise, rule, events).view(num_lifetimes, 15)
        for pair in (0, 2):
            torch.testing.assert_close(rows[pair], -rows[pair + 1], rtol=1e-4, atol=1e-4)
        assert (rows[0].abs() - rows[2].abs()).abs().max() > 0.1  # pairs differ
        assert rows[-1].abs().max() > 0.1  # also one without a partner
        noise.perturb(num_lifetimes)
    plain = noise_of(measured(rule, num_lifetimes, events), rule, events).view(num_lifetimes, 15)
    assert (plain[0] + plain[1]).abs().max() > 0.1


def test_the_generator_fixes_everything(rule):
    events = events_of([20, 30])
    first, again, other = (measured(rule, 2, events, seed=seed).act(rule, events)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    state = torch.random.get_rng_state()
    measured(rule, 2, events).act(rule, events)
    assert torch.equal(torch.random.get_rng_state(), state)  # nothing is drawn from the global stream


def test_steps_and_rollouts_without_events_are_fine(rule):
    nothing, events = events_of([0, 0]), events_of([20, 30])
    noise = exploration()
    noise.begin_rollout()
    noise.perturb(2)
    assert noise.act(rule, nothing)[0].shape == (0,)
    noise.begin_rollout()
    noise.perturb(2)
    assert torch.isfinite(noise.act(rule, events)[0]).all()
    noise = exploration()
    for _ in range(2):  # nothing was even asked about
        noise.begin_rollout()
        noise.perturb(2)
    torch.testing.assert_close(noise.act(rule, events)[0], rule(events))


def test_a_head_without_events_in_the_first_rollout_is_not_blown_up(rule):
    """Its perturbations were of the order of 10^6 once: a spread of nothing counted as 10^-6."""
    first, later = events_of([20, 30]), events_of([20, 30], seed=4)
    noise = measured(rule, 2, first._replace(group=torch.zeros_like(first.group)))
    drawn = noise_of(noise, rule, later)
    assert drawn[later.group == 0].abs().max() < 10
    assert drawn[later.group == 1].abs().max() < 10


def test_all_functions_of_the_last_layer_vary_alike(network, rule):
    """Directions of phi that vary little get as much of the noise as those that vary most, down to the ridge."""
    events = repeated(events_of([400]), 2)
    noise = measured(rule, 2, events)
    phi = hidden(network, events)[events.group == 0].double()
    centred = phi - phi.mean(dim=0)
    covariance = centred.T @ centred / len(centred)
    variances, directions = torch.linalg.eigh(covariance)
    whitened = directions.T @ noise.scaling.whitening[0].double() @ covariance @ noise.scaling.whitening[0].double()
    spread = (whitened @ directions).diagonal()  # variance of n in each direction
    assert spread.sum().item() == pytest.approx(1.0, abs=1e-3)
    assert variances[-1] > 10 * variances[-5]
    assert spread[-1] < 1.5 * spread[-5]


def test_a_run_saved_with_other_moments_is_refused():
    with pytest.raises(ConfigError, match="saved before"):
        exploration().load_state_dict({"moments": torch.zeros(2, WIDTH + 2, dtype=torch.float64)})
