"""Rules with heads of their own: what each lifetime answers, written out, and what is learned from it."""

import copy

import pytest
import torch
from batches import SIGMA, K, Policy, events_of, generator, layers_of, network_of, repeated

from snn_plasticity_gym.config.learning import EventOptions
from snn_plasticity_gym.learners.head_noise import FLOOR, MEMORY, HeadNoise
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.policies.network import RuleNetwork


def measured(network: RuleNetwork, num_lifetimes: int, *seen, mirrored: bool = False, seed: int = 3) -> HeadNoise:
    """Noise that has seen the given events, a rollout each, and is in the first image of the next one."""
    policy = Policy()
    policy.rule = network
    options = EventOptions(exploration="rule", perturb="head", mirrored=mirrored)
    noise, rule = HeadNoise(policy, generator(seed), options), FrozenRule(network, K)
    for events in seen:
        noise.begin_rollout()
        noise.perturb(num_lifetimes)
        noise.act(rule, events)
    noise.begin_rollout()
    noise.perturb(num_lifetimes)
    return noise


def inputs_of(network: RuleNetwork, events) -> torch.Tensor:
    state = events.local_state()
    return torch.cat([network.features(state)[state.pair], network.scalars(state)], dim=1).detach()


def written_out(network: RuleNetwork, seen, xi: torch.Tensor) -> RuleNetwork:
    """The perturbed network of one lifetime, number by number; later batches of `seen` count double earlier ones."""
    moved, place = copy.deepcopy(network), 0
    for number, head in enumerate(network.heads):
        batches = [inputs_of(network, events)[events.group == number].double() for events in seen]
        weight = torch.cat([torch.full((len(x),), MEMORY ** (len(seen) - n)) for n, x in enumerate(batches)]).double()
        x = torch.cat(batches)
        for layer, target in zip(layers_of(head), layers_of(moved.heads[number]), strict=True):
            mean = (weight[:, None] * x).sum(dim=0) / weight.sum()
            spread = ((weight[:, None] * (x - mean).square()).sum(dim=0) / weight.sum()).sqrt()
            spread = spread.clamp(min=FLOOR * float(spread.square().mean()) ** 0.5)
            for unit in range(layer.out_features):
                for column in range(layer.in_features):
                    size = SIGMA * float(xi[place] / (spread[column] * layer.in_features**0.5))
                    target.weight.data[unit, column] += size
                    target.bias.data[unit] -= size * float(mean[column])
                    place += 1
                target.bias.data[unit] += SIGMA * float(xi[place])
                place += 1
            x = torch.relu(layer(x.float())).double().detach()
    assert place == len(xi)
    return moved


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("rollouts", [1, 2])
def test_each_lifetime_follows_the_rule_that_its_perturbation_makes(groups, rollouts):
    network, later = network_of(groups), events_of([9, 0, 7], 5, groups)
    seen = [events_of([60, 0, 40], seed, groups) for seed in range(rollouts)]
    noise = measured(network, 3, *seen)
    delta_d, log_probs = noise.act(FrozenRule(network, K), later)
    assert log_probs is None and noise.drawn[0].shape[0] == 3
    changed = 0.0
    for lifetime, own in ((0, slice(0, 9)), (2, slice(9, 16))):
        moved = written_out(network, seen, noise.drawn[0][lifetime])
        expected = FrozenRule(moved, K)(later)[own]
        torch.testing.assert_close(delta_d[own], expected, rtol=1e-3, atol=1e-4)
        changed += float((expected - FrozenRule(network, K)(later)[own]).abs().mean())
    assert changed > 0.05


def test_to_move_the_heads_by_a_perturbation_is_to_follow_it():
    network, events = network_of(), events_of([30, 50])
    noise = measured(network, 2, events)
    delta_d, _ = noise.act(FrozenRule(network, K), events)
    front = [parameter.clone() for parameter in network.front.parameters()]
    noise.move(network, SIGMA * noise.drawn[0][1])
    torch.testing.assert_close(FrozenRule(network, K)(events)[30:], delta_d[30:], rtol=1e-4, atol=1e-5)
    assert all(map(torch.equal, front, network.front.parameters()))


def test_the_first_rollout_follows_the_mean_rule():
    network, events = network_of(), events_of([20, 30])
    noise, rule = measured(network, 2), FrozenRule(network, K)
    for _ in range(2):
        noise.perturb(2)
        torch.testing.assert_close(noise.act(rule, events)[0], rule(events))
    assert not noise.ready and noise.drawn == []
    noise.begin_rollout()
    for images in (1, 2):
        noise.perturb(2)
        assert noise.ready and len(noise.drawn) == images
    assert not torch.equal(*noise.drawn)
    noise.begin_rollout()
    assert noise.drawn == []


def test_perturbations_do_not_grow_with_the_hidden_layers():
    """Scales of the first rollout alone once drove the bandit past its best rule, and into saturation."""
    network, events = network_of(groups=1), events_of([200], groups=1)
    noise = measured(network, 1, events)
    with torch.no_grad():
        network.heads[0].first.weight.mul_(50.0)
    rule = FrozenRule(network, K)
    for _ in range(12):
        noise.act(rule, events)
        noise.begin_rollout()
        noise.perturb(1)
    head = network.heads[0]
    hidden = torch.relu(head.first(inputs_of(network, events)))
    alive = hidden.std(dim=0, unbiased=False) > 0.1
    ratio = noise.scales[1].spread[alive] / (hidden.std(dim=0, unbiased=False)[alive] * len(alive) ** 0.5)
    assert alive.sum() > 2 and (ratio - 1).abs().max() < 0.05


def test_mirrored_pairs_are_opposite_and_a_lifetime_without_partner_is_fine():
    network, events = network_of(), repeated(events_of([10]), 5)
    drawn = measured(network, 5, events, mirrored=True).drawn[0]
    assert torch.equal(drawn[0:4:2], -drawn[1:4:2]) and drawn.shape[0] == 5
    assert not torch.equal(drawn[0].abs(), drawn[2].abs())
    plain = measured(network, 5, events).drawn[0]
    assert not torch.equal(plain[0], -plain[1])


def test_steps_and_rollouts_without_events_are_fine():
    network, nothing, events = network_of(), events_of([0, 0]), events_of([20, 30])
    rule = FrozenRule(network, K)
    one_head = events._replace(group=torch.zeros_like(events.group))
    noise = measured(network, 2, one_head)  # none for the other head
    delta_d, _ = noise.act(rule, events)
    assert delta_d.abs().max() <= 1 and (delta_d - rule(events)).abs().max() > 0.01
    assert noise.act(rule, nothing)[0].shape == (0,)
    assert not measured(network, 2, nothing).ready  # there is nothing to scale by


def test_the_generator_fixes_everything():
    network, events = network_of(), events_of([20, 30])
    rule, state = FrozenRule(network, K), torch.random.get_rng_state()
    first, again, other = (measured(network, 2, events, seed=seed).act(rule, events)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)
