"""`event_kinds="split"`: two phases in a time step, against plain loops over all synapses of tiny networks."""

import math
import pickle

import gymnasium
import numpy as np
import pytest
import torch

import snn_plasticity_gym  # noqa: F401 - registers the environments

SPLIT = {"dataset": "digits", "num_steps": 8, "history_length": 5, "event_kinds": "split"}
LIVELY = {"n_exc": 3, "max_rate": 0.02, "gain_input_exc": 20.0, "eta_exc": 0.05, "eta_inh": 0.05}
DEEP = {"hidden_sizes": (4,), "layer_scalars": (0.4, 0.8), "max_rate": 0.2, "eta": 0.05}
WORLDS = {  # settings, and the heads by name
    "SNNPlastic-Unsup1-v0": (LIVELY, ["single_pre", "single_post"]),
    "SNNPlastic-Unsup2-v0": (LIVELY, ["exc_pre", "exc_post", "inh_pre", "inh_post"]),
    "SNNPlastic-Grad-v0": (DEEP, ["grad_pre", "grad_post"]),
}


def make(env_id, num_envs=2, **settings):
    env = gymnasium.make_vec(env_id, num_envs=num_envs, **(SPLIT | WORLDS[env_id][0] | settings))
    env.reset(seed=5)
    return env


def answer(weight: float, kind: int, history: list[list[int]]) -> float:
    """A weight change that depends on all that an event shows; beyond 1 now and then."""
    return 1.3 * math.sin(50 * weight + 2 * kind + sum(history[0]) + 3 * sum(history[1]))


def answers(events) -> torch.Tensor:
    columns = (events.weight.tolist(), events.kind.tolist(), events.history().tolist())
    return torch.tensor([answer(*event) for event in zip(*columns, strict=True)])


def histories(env, name: str, row: int) -> list[list[int]]:
    """Last K steps of every neuron of a population, the present one included, from what was recorded."""
    steps, length = int(env.engine.steps[row]), env.config.history_length
    raster = env.engine.raster[name][row, :steps].int().T.tolist()  # N rows of steps
    return [([0] * length + bits)[-length:] for bits in raster]


def slow_phase(env, kind: int, mirror: list[list[list[list[float]]]]) -> list[dict]:
    """The events of one phase of the present step, by a loop over all synapses of all networks.

    Args:
        mirror: The weights as plain lists, projection by projection, [lifetime][pre][post].
    """
    plastic = [p for p in env.engine.network.projections if p.plasticity is not None]
    found = []
    for row in range(env.num_envs):
        for index, projection in enumerate(plastic):
            pre_bits, post_bits = (histories(env, name, row) for name in (projection.source, projection.target))
            synapses = [(pre, post) for pre in range(len(pre_bits)) for post in range(len(post_bits))]
            if kind == 1:  # in order of the neuron that fired
                synapses.sort(key=lambda ends: (ends[1], ends[0]))
            for pre, post in synapses:
                if pre == post and not projection.autapses:
                    continue
                if (pre_bits[pre], post_bits[post])[kind][-1]:
                    found.append(
                        {
                            "place": (index, row, pre, post),
                            "weight": mirror[index][row][pre][post],
                            "head": 2 * projection.plasticity.group + kind,
                            "history": [pre_bits[pre], post_bits[post]],
                        }
                    )
    return found


@pytest.mark.parametrize("env_id", WORLDS)
def test_phases_and_weights_against_a_loop_over_all_synapses(env_id):
    env = make(env_id)
    network, config = env.engine.network, env.config
    plastic = [p for p in network.projections if p.plasticity is not None]
    assert env.engine.heads == WORLDS[env_id][1]
    mirror = [network.weights_of(p.name).tolist() for p in plastic]
    events_of_step = {0: 0, 1: 0}
    twice, total = 0, torch.zeros(2, dtype=torch.int64)
    for step in range(1, config.num_steps + 1):
        asked = []
        for kind in (0, 1):
            events = env.events()
            assert env.engine.steps.tolist() == [step, step]  # the network waits for both phases
            expected = slow_phase(env, kind, mirror)
            assert len(events.weight) == len(expected)
            assert events.lengths.tolist() == [sum(e["place"][1] == row for e in expected) for row in (0, 1)]
            assert (events.kind == kind).all()
            assert events.group.tolist() == [e["head"] for e in expected]
            assert events.projection.tolist() == [e["place"][0] for e in expected]
            assert events.history().tolist() == [e["history"] for e in expected]
            np.testing.assert_allclose(events.weight, [e["weight"] for e in expected], atol=1e-6)
            if env_id == "SNNPlastic-Grad-v0":
                scalars = [DEEP["layer_scalars"][e["place"][0]] for e in expected]
                np.testing.assert_allclose(events.extras[:, 0], scalars)
            env.apply(answers(events))
            for e in expected:
                index, row, pre, post = e["place"]
                plasticity = plastic[index].plasticity
                change = plasticity.scale * min(max(answer(e["weight"], kind, e["history"]), -1.0), 1.0)
                moved = min(max(e["weight"] + change, plasticity.w_min), plasticity.w_max)
                mirror[index][row][pre][post] = float(np.float32(moved))
            for p, weights in zip(plastic, mirror, strict=True):
                np.testing.assert_allclose(network.weights_of(p.name), weights, atol=1e-6)
            # They may differ in the last digit, which must not grow from step to step.
            mirror = [network.weights_of(p.name).tolist() for p in plastic]
            events_of_step[kind] += len(expected)
            total += events.lengths
            asked.append({e["place"] for e in expected})
        twice += len(asked[0] & asked[1])
    assert env.events() is None
    assert twice > 50 and min(events_of_step.values()) > 50
    assert torch.equal(env.finish().num_events, total)


def test_a_coincident_pair_acts_twice_and_is_seen_with_its_new_weight():
    env = make("SNNPlastic-Unsup1-v0")
    seen = 0
    while (events := env.events()) is not None:
        first = dict(zip(events.synapse.tolist(), events.weight.tolist(), strict=True))
        env.apply(torch.full_like(events.weight, 0.5))
        events = env.events()
        second = dict(zip(events.synapse.tolist(), events.weight.tolist(), strict=True))
        env.apply(torch.full_like(events.weight, 0.25))
        for synapse in first.keys() & second.keys():
            if first[synapse] < -0.1 or 0 < first[synapse] < 0.9:  # away from the clips
                assert second[synapse] == pytest.approx(first[synapse] + 0.05 * 0.5, abs=1e-6)
                now = float(env.engine.network.weights[synapse])
                assert now == pytest.approx(second[synapse] + 0.05 * 0.25, abs=1e-6)
                seen += 1
    assert seen > 20


def test_merged_events_are_the_phases_without_repetition():
    """Rules that change nothing: the same lifetime in both forms."""
    split, merged = make("SNNPlastic-Unsup2-v0"), make("SNNPlastic-Unsup2-v0", event_kinds="merged")
    kinds = set()
    while (events := merged.events()) is not None:
        pre = split.events()
        split.apply(torch.zeros_like(pre.weight))
        post = split.events()
        assert events.then is None and post.then is None and pre.then is not None
        split.apply(torch.zeros_like(post.weight))
        merged.apply(torch.zeros_like(events.weight))
        either = set(pre.synapse.tolist()), set(post.synapse.tolist())
        for kind, expected in enumerate((either[0] - either[1], either[1] - either[0], either[0] & either[1])):
            assert set(events.synapse[events.kind == kind].tolist()) == expected
        kinds |= set(events.kind.tolist())
    assert kinds == {0, 1, 2}
    assert split.events() is None


@pytest.mark.parametrize("answered", [0, 1, 6, 7])
def test_a_copy_goes_on_within_a_time_step(answered):
    env = make("SNNPlastic-Grad-v0")
    for _ in range(answered):
        env.apply(answers(env.events()))
    twin = pickle.loads(pickle.dumps(env))
    for one in (env, twin):
        while (events := one.events()) is not None:
            one.apply(answers(events))
    assert torch.equal(env.engine.network.weights, twin.engine.network.weights)
    assert torch.equal(env.finish().reward, twin.finish().reward)
