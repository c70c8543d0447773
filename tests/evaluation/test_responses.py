"""Responses of frozen networks, against a plain loop through `Network.advance`."""

import dataclasses

import numpy as np
import pytest
import torch

from snn_plasticity_gym.config.environments import SemiConfig, Unsup1Config
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.making import make_engine
from snn_plasticity_gym.evaluation import responses as module
from snn_plasticity_gym.evaluation.responses import batched_responses, responses
from snn_plasticity_gym.networks.encoders import poisson_encode
from snn_plasticity_gym.networks.lif import LIFState
from snn_plasticity_gym.tasks.datasets import load_dataset

IMAGES = load_dataset("digits").validation.images
ALL_OPTIONS = Unsup1Config(
    dataset="digits", n_exc=9, num_steps=50, history_length=8, max_rate=0.1, dt=0.5,
    gain_input_exc=3.0, gain_inh_exc=12.0, gain_exc_inh=25.0, w_inh_init_min=-0.75, w_inh_init_max=-0.25,
    exc_refractory=3.0, inh_refractory=9.0, exc_theta_plus=0.6, exc_tau_theta=200.0, exc_one_spike=True,
    exc_v_reset=-66.0,
)  # fmt: skip


def engine_of(config, num_networks: int = 3) -> Engine:
    """Networks whose weights are multiples of 1/64, so that sums do not depend on their order."""
    env_id = "SNNPlastic-Unsup1-v0" if isinstance(config, Unsup1Config) else "SNNPlastic-Semi-v0"
    engine = make_engine(env_id, config, num_networks)
    engine.start_lifetimes(range(num_networks), list(range(num_networks)))
    engine.begin(range(num_networks))
    engine.network.weights.mul_(64).round_().div_(64)
    rng = np.random.default_rng(7)
    for name, state in engine.network.states.items():
        if name == "exc":
            state.theta.copy_(torch.from_numpy(rng.random(state.theta.shape) * 4).float())  # what learning has left
    return engine


def by_a_plain_loop(engine: Engine, images: torch.Tensor, rng: np.random.Generator, freeze: bool = True):
    """Spikes of the answering population, image by image; with `freeze`, thresholds are put back after every step."""
    network, config, task = engine.network, engine.config, engine.task
    thetas = {name: state.theta.clone() for name, state in network.states.items()}
    counts = []
    for image in images:
        spikes = poisson_encode(image.flatten() / 255.0, config.num_steps, config.spike_chance, rng)
        network.rest(torch.arange(network.num_networks))
        total = torch.zeros(network.num_networks, network.populations[task.readout].size, dtype=torch.int64)
        for step in spikes:
            activity = network.advance({task.input_name: step.expand(network.num_networks, -1)})
            total += activity.spikes[task.readout]
            if freeze:
                for name, state in network.states.items():
                    network.states[name] = LIFState(state.v, state.refractory, thetas[name].clone())
        counts.append(total)
    for name, state in network.states.items():
        network.states[name] = state._replace(theta=thetas[name])
    return torch.stack(counts, dim=1)


VARIANTS = {
    "all options": ALL_OPTIONS,
    "many spikes a step": dataclasses.replace(ALL_OPTIONS, exc_one_spike=False, gain_input_exc=4.0),
    "plain": Unsup1Config(dataset="digits", n_exc=7, num_steps=25, history_length=5, gain_input_exc=3.0),
    "feed-forward": SemiConfig(dataset="digits", hidden_sizes=(14, 11), num_steps=8, history_length=6, w_init=8.0),
}


@pytest.mark.parametrize("way", [responses, batched_responses])
@pytest.mark.parametrize("name", VARIANTS)
def test_counts_are_those_of_a_plain_loop(name, way, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 5)  # 12 images: two whole batches and a part
    engine = engine_of(VARIANTS[name])
    expected = by_a_plain_loop(engine, IMAGES[:12], np.random.default_rng(3))
    given = way(engine, IMAGES[:12], np.random.default_rng(3))
    assert given.dtype == torch.int64 and torch.equal(given, expected)
    assert len(given.unique()) > 2 and (given[0] != given[1]).any()  # lively, and networks differ


def test_the_options_matter_here():
    """The comparison above would not notice an option that changes nothing."""
    engine = engine_of(ALL_OPTIONS)
    counts = responses(engine, IMAGES[:12], np.random.default_rng(3))
    others = {
        "exc_refractory": 0.0,
        "inh_refractory": 0.0,
        "exc_one_spike": False,
        "gain_inh_exc": 0.0,
        "dt": 0.25,
        "exc_v_reset": -65.0,
    }
    for name, value in others.items():
        changed = engine_of(dataclasses.replace(ALL_OPTIONS, **{name: value}))
        assert not torch.equal(responses(changed, IMAGES[:12], np.random.default_rng(3)), counts), name
    assert not torch.equal(by_a_plain_loop(engine, IMAGES[:12], np.random.default_rng(3), freeze=False), counts)
    for state in engine.network.states.values():
        state.theta.zero_()
    assert not torch.equal(responses(engine, IMAGES[:12], np.random.default_rng(3)), counts)


def test_the_engine_is_left_as_it_is():
    engine = engine_of(ALL_OPTIONS)
    for _ in range(9):
        engine.advance()

    def everything():
        network = engine.network
        parts = [
            network.weights,
            *engine.raster.values(),
            *network.last_spikes.values(),
            *engine.histories.windows.values(),
        ]
        parts += [part for state in network.states.values() for part in state]
        return [part.clone() for part in parts]

    before = everything()
    assert any(spikes.any() for spikes in engine.raster.values())
    first = responses(engine, IMAGES[:6], np.random.default_rng(1))
    assert all(map(torch.equal, before, everything())) and engine.steps.tolist() == [9] * 3
    assert torch.equal(first, responses(engine, IMAGES[:6], np.random.default_rng(1)))
    assert not torch.equal(first, responses(engine, IMAGES[:6], np.random.default_rng(2)))


@pytest.mark.parametrize("way", [responses, batched_responses])
def test_batches_and_the_networks_beside_have_no_influence(way, monkeypatch):
    engine = engine_of(ALL_OPTIONS)
    whole = way(engine, IMAGES[:10], np.random.default_rng(1))
    monkeypatch.setattr(module, "BATCH", 3)
    assert torch.equal(whole, way(engine, IMAGES[:10], np.random.default_rng(1)))
    with_one = engine_of(ALL_OPTIONS, 1)
    with_one.network.states["exc"].theta.copy_(engine.network.states["exc"].theta[:1])
    assert torch.equal(whole[:1], way(with_one, IMAGES[:10], np.random.default_rng(1)))
    assert torch.equal(whole[:, :4], way(engine, IMAGES[:4], np.random.default_rng(1)))
    assert way(engine, IMAGES[:0], np.random.default_rng(1)).shape == (3, 0, 9)


def test_all_networks_see_the_same_spikes():
    engine = engine_of(ALL_OPTIONS)
    for projection in engine.network.offsets:
        weights = engine.network.weights_of(projection)
        weights.copy_(weights[:1].expand_as(weights).clone())
    theta = engine.network.states["exc"].theta
    theta.copy_(theta[:1].expand_as(theta).clone())
    counts = responses(engine, IMAGES[:10], np.random.default_rng(1))
    assert counts.any() and torch.equal(counts[0], counts[1]) and torch.equal(counts[0], counts[2])


def test_groups_answer_alike_in_both_ways_and_step_by_step():
    config = SemiConfig(
        dataset="digits", network="rwta", hidden_sizes=(9, 6), wta_size=3, num_steps=10, history_length=6, tau_mem=4.0,
        input_to_output=True,
    )  # fmt: skip
    engine = engine_of(config)
    given = responses(engine, IMAGES[:70], np.random.default_rng(3))  # a whole batch and a part
    assert torch.equal(given, batched_responses(engine, IMAGES[:70], np.random.default_rng(3)))
    assert (given.sum(dim=2) == 10).all()

    rng, network = np.random.default_rng(3), engine.network
    shown = [poisson_encode(image.flatten() / 255.0, 10, config.spike_chance, rng) for image in IMAGES[:5]]
    everyone = torch.arange(network.num_networks)
    for number, (spikes, key) in enumerate(zip(shown, rng.integers(2**64, size=5, dtype=np.uint64), strict=True)):
        network.rest(everyone)
        network.draws.begin(everyone, [int(key)] * len(everyone))
        fired = [network.advance({"input": step.expand(len(everyone), -1)}).spikes["output"] for step in spikes]
        expected = responses(engine, IMAGES[:5], np.random.default_rng(3))[:, number]
        assert torch.equal(torch.stack(fired).sum(dim=0), expected)
