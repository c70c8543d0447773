"""Statistics of weight changes against the weights themselves."""

import contextlib

import gymnasium
import numpy as np
import pytest
import torch
from toys import SMALL

import snn_plasticity_gym  # noqa: F401
from snn_plasticity_gym.plasticity.weight_updates import WeightWriter


@pytest.mark.parametrize(
    ("env_id", "event_kinds", "heads"),
    [
        ("SNNPlastic-Unsup1-v0", "merged", ["single"]),
        ("SNNPlastic-Unsup2-v0", "merged", ["exc", "inh"]),
        ("SNNPlastic-Unsup2-v0", "split", ["exc_pre", "exc_post", "inh_pre", "inh_post"]),
    ],
)
def test_mean_spread_and_potentiation_are_those_of_the_weights(env_id, event_kinds, heads):
    env = gymnasium.make_vec(env_id, num_envs=2, **SMALL, event_kinds=event_kinds)
    env.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    changes: dict[int, list[np.ndarray]] = {}
    while (events := env.events()) is not None:
        before = env.engine.network.weights.clone()
        env.apply(torch.randn(len(events.weight), generator=generator))
        moved = (env.engine.network.weights - before)[events.synapse].double().numpy()
        for head in range(len(heads)):
            changes.setdefault(head, []).append(moved[(events.group == head).numpy()])
    statistics = env.engine.changes.take()
    assert env.engine.heads == heads
    for head, name in enumerate(heads):
        all_changes = np.concatenate(changes[head])
        assert len(all_changes) > 100
        assert statistics[f"{name}_mean"] == pytest.approx(all_changes.mean(), rel=1e-4, abs=1e-8)
        assert statistics[f"{name}_spread"] == pytest.approx(all_changes.std(), rel=1e-4)
        assert statistics[f"{name}_potentiation"] == pytest.approx((all_changes > 0).mean())
    assert env.engine.changes.take() == {}  # taken is taken


def test_a_rule_may_answer_with_a_graph_or_in_double_precision():
    def lived(kind) -> torch.Tensor:
        env = gymnasium.make_vec("SNNPlastic-Unsup1-v0", num_envs=2, **SMALL)
        env.reset(seed=0)
        while (events := env.events()) is not None:
            env.apply(kind(torch.full_like(events.weight, 0.5)))
        return env.engine.network.weights

    plain = lived(lambda delta_d: delta_d)
    for kind in (torch.Tensor.double, lambda delta_d: delta_d.requires_grad_() * 1.0):
        weights = lived(kind)
        assert not weights.requires_grad and torch.equal(weights, plain)


@pytest.mark.parametrize("event_kinds", ["merged", "split"])
def test_the_compiled_write_is_that_of_torch(event_kinds):
    """Weights bit by bit, statistics up to rounding; and what is not finite changes nothing."""
    env = gymnasium.make_vec("SNNPlastic-Unsup2-v0", num_envs=2, **SMALL, event_kinds=event_kinds)
    env.reset(seed=0)
    engine, generator = env.engine, torch.Generator().manual_seed(0)
    while (events := env.events()) is not None:
        delta_d = 2.0 * torch.randn(len(events.weight), generator=generator)
        before, outcomes = engine.network.weights.clone(), []
        for loops in (False, True):
            write = WeightWriter(engine.network, engine._find_events.projections, None, engine.changes, loops)
            engine.network.weights.copy_(before)
            with pytest.raises(ValueError, match="finite") if len(delta_d) else contextlib.nullcontext():
                write(events, torch.full_like(delta_d, torch.nan), 0)
            assert torch.equal(engine.network.weights, before) and not engine.changes.sums.any()
            change = write(events, delta_d, 0)
            outcomes.append((change, engine.network.weights.clone(), engine.changes.sums.clone()))
            engine.changes.take()
        (change, weights, sums), (looped_change, looped_weights, looped_sums) = outcomes
        assert torch.equal(change, looped_change) and torch.equal(weights, looped_weights)
        torch.testing.assert_close(sums, looped_sums, rtol=1e-4, atol=1e-6)
        engine.network.weights.copy_(before)
        env.apply(delta_d)
        engine.changes.take()
