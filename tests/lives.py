"""Lifetimes that live by a rule in compiled loops, beside twins that live by it event by event."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import torch

from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.policies.head_inputs import OwnLayer
from snn_plasticity_gym.policies.network import new_network
from snn_plasticity_gym.rules import Rule

SMALL: dict[str, Any] = {"dataset": "digits", "num_steps": 25, "history_length": 25, "max_rate": 0.1}
DIEHL_COOK = {**SMALL, "n_exc": 12, "gain_input_exc": 2.0, "eta_exc": 0.05, "eta_inh": 0.05}
FEEDFORWARD = {**SMALL, "hidden_sizes": [9, 7], "w_init": 6.0, "max_rate": 0.4, "eta": 0.01}
HOMEOSTASIS = {"exc_refractory": 3.0, "exc_theta_plus": 2.0, "exc_tau_theta": 50.0, "exc_one_spike": True}


class Lived(NamedTuple):
    """What lifetimes have gone through in compiled loops."""

    spikes: dict[str, int]  # of every population
    last: dict[str, int]  # the same in the last episode
    moved: float  # largest change of a weight, in an episode or from the first to the last


def by_events(rule: Rule) -> Rule:
    """The rule without whatever form it has for compiled loops."""
    return lambda events: torch.as_tensor(rule(events))


def formula(env: PlasticityVectorEnv, terms: Sequence[str], seed: int = 3, bold: float = 0.5) -> FrozenRule:
    """A policy that is a formula with coefficients drawn at random."""
    names = tuple(env.engine.scalars.names)
    groups = len(env.engine.heads)
    network = new_network(Architecture(num_groups=groups, formula_terms=tuple(terms), extra_keys=names))
    generator = torch.Generator().manual_seed(seed)
    for head in network.heads:
        for values in head.parameters():
            torch.nn.init.normal_(values, std=bold, generator=generator)
    return FrozenRule(network, env.config.history_length)


def bold_rule(env, seed=3, sizes=(20, 12), channels=(4, 6), kernel_sizes=(5, 5), boldness=0.3, use_kind=False):
    """A policy whose numbers are drawn large enough for weight changes of either sign, as after training."""
    shape = Architecture(
        num_groups=len(env.engine.heads),
        hidden_sizes=sizes,
        channels=channels,
        kernel_sizes=kernel_sizes,
        extra_keys=tuple(env.engine.scalars.names),
        use_kind=use_kind,
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = new_network(shape)
    for part in (network.front, *network.heads):
        for values in part.parameters():
            values.data += boldness * torch.randn(values.shape, generator=generator)
    return FrozenRule(network, env.config.history_length)


def bold_rules(env, boldness=0.3, **shape):
    """The same front, and heads of each lifetime's own."""
    rule, generator = bold_rule(env, boldness=boldness, **shape), torch.Generator().manual_seed(8)

    def own(values):
        return values + boldness * torch.randn(env.num_envs, *values.shape, generator=generator)

    heads = [
        [OwnLayer(own(layer.weight.data.T), own(layer.bias.data).unsqueeze(1)) for layer in head.layers]
        for head in rule.network.heads
    ]
    return rule.of_lifetimes(heads)


def recent(env: PlasticityVectorEnv) -> dict[str, torch.Tensor]:
    """The spikes that are kept of the episode that has just ended, (B, W, N) by population; False before it began."""
    kept = {name: raster.clone() for name, raster in env.engine.raster.items()}
    for raster in kept.values():
        for row, steps in enumerate(env.engine.steps.tolist()):
            if steps < raster.shape[1]:
                raster[row, steps:] = False
    return kept


def assert_same_lives(
    env_id: str,
    config: dict[str, Any],
    rule_of: Callable[[PlasticityVectorEnv], Rule],
    images: int = 4,
    num_envs: int = 2,
    seed: int = 5,
    rounding: float = 1e-6,
    least: float = 1e-5,
) -> Lived:
    """Live by a rule in both ways: spikes, events, rewards, thresholds and statistics agree, weights up to rounding.

    Args:
        env_id: Environment.
        config: Its settings.
        rule_of: Makes the rule.
        images: Episodes; one before, by events, is not looked at, since a reset has taken its first step.
        num_envs: Lifetimes.
        seed: Of everything.
        rounding: By how much weights may differ.
        least: By how much means of weight changes may differ at any rate; a change that is 0 but for rounding may
            count as a rise.
    """
    fast = PlasticityVectorEnv(env_id, num_envs=num_envs, **config)
    fast.reset(seed=seed)
    rule, begun = rule_of(fast), fast.engine.network.weights.clone()
    fast.run_episode(by_events(rule))
    slow = copy.deepcopy(fast)
    weights, others = fast.engine.network.weights, slow.engine.network.weights
    spikes, last, moved = dict.fromkeys(fast.engine.raster, 0), {}, 0.0
    for _ in range(images):
        before = weights.clone()
        assert fast.engine.run_episode(rule)
        rasters = recent(fast)
        one = fast._interface._end()
        while (events := slow.events()) is not None:
            slow.apply(by_events(rule)(events))
        for name, raster in recent(slow).items():
            assert torch.equal(raster, rasters[name]), name
            last[name] = int(raster.sum())
            spikes[name] += last[name]
        other = slow.finish()
        assert one.num_events.tolist() == other.num_events.tolist()
        assert one.info.keys() == other.info.keys() and one.length.tolist() == other.length.tolist()
        for name, told in one.info.items():
            torch.testing.assert_close(told, other.info[name], rtol=0, atol=0)
        assert torch.equal(one.truncated, other.truncated)
        assert torch.equal(one.payment_steps, other.payment_steps)
        torch.testing.assert_close(one.payments, other.payments)
        torch.testing.assert_close(one.reward, other.reward)
        assert one.terms.keys() == other.terms.keys()
        for name, term in one.terms.items():
            few = 5e-3 if name.startswith("sign_agreement") else 1e-6  # of changes that are 0 but for rounding
            torch.testing.assert_close(term, other.terms[name], rtol=1e-4, atol=few, equal_nan=True)
        torch.testing.assert_close(one.rates, other.rates)
        torch.testing.assert_close(weights, others, rtol=0, atol=rounding)
        moved = max(moved, float((weights - before).abs().max()))
    for name, state in fast.engine.network.states.items():
        torch.testing.assert_close(state.theta, slow.engine.network.states[name].theta)
    changes, expected = fast.engine.changes.take(), slow.engine.changes.take()
    assert changes.keys() == expected.keys()
    for key, value in expected.items():
        assert changes[key] == pytest.approx(value, rel=2e-2 if "potentiation" in key else 1e-3, abs=least), key
    return Lived(spikes, last, max(moved, float((weights - begun).abs().max())))
