"""Responses of frozen networks: spike counts for images with weights and adaptive thresholds fixed.

Axes: B networks, I images, T steps, N neurons, P pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.networks.encoders import poisson_encode, poisson_train
from snn_plasticity_gym.networks.groups import step
from snn_plasticity_gym.networks.lif import LIFState, fire, integrate
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Population, Projection, pulse
from snn_plasticity_gym.tasks.image_task import image_task

BATCH = 64  # images at a time: some 40 MB for 784 inputs, 400 neurons and 100 steps


@torch.no_grad()
def responses(engine: Engine, images: Tensor, rng: np.random.Generator) -> Tensor:
    """Present images to every network of an engine, and count the spikes of the readout population.

    Weights and adaptive thresholds are fixed; membranes start each image at rest, as in an episode. There is no
    external current, hence no teaching signal. The engine is not changed. An image's input spikes, and the random
    numbers of winner-take-all groups, are the same for all networks, and a function of `rng` and of the images before
    it alone.

    Args:
        engine: Of the networks.
        images: (I, 28, 28) uint8.
        rng: Source of the input spikes.

    Returns:
        Spikes of each readout neuron, int64 (B, I, N).
    """
    if engine.device.type != "cpu":
        return batched_responses(engine, images, rng)
    config, size = image_task(engine.task).config, engine.network.populations[engine.task.readout].size
    counts = torch.empty(engine.num_lifetimes, len(images), size, dtype=torch.int64)
    for start in range(0, len(images), BATCH):
        part = (images[start : start + BATCH].flatten(1) / 255.0).numpy()  # (I, P)
        trains = [poisson_train(image, config.num_steps, config.spike_chance, rng) for image in part]
        counts[:, start : start + BATCH] = engine.whole.images.respond(trains, _keys(engine.network, len(part), rng))
    return counts


@torch.no_grad()
def batched_responses(engine: Engine, images: Tensor, rng: np.random.Generator) -> Tensor:
    """`responses` in torch, batched over images: for other devices, and as the reference for the compiled version."""
    network, task = engine.network, image_task(engine.task)
    config = task.config
    size = network.populations[task.readout].size
    counts = torch.zeros(engine.num_lifetimes, len(images), size, dtype=torch.int64, device=engine.device)
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH].flatten(1) / 255.0  # (I, P)
        drawn = [poisson_encode(image.cpu(), config.num_steps, config.spike_chance, rng) for image in part]
        inputs = torch.stack(drawn).to(engine.device)  # bool (I, T, P)
        keys = torch.from_numpy(_keys(network, len(part), rng).view(np.int64)).to(engine.device)  # (I,)
        for row in range(engine.num_lifetimes):
            counts[row, start : start + BATCH] = _counts(network, row, task.input_name, task.readout, inputs, keys)
    return counts


def _keys(network: Network, number: int, rng: np.random.Generator) -> NDArray[np.uint64]:
    """Draw a key for each image, from which groups sample their spiking neuron; zeros without groups."""
    if not network.has_groups:
        return np.zeros(number, dtype=np.uint64)
    return rng.integers(2**64, size=number, dtype=np.uint64)


def _counts(network: Network, row: int, input_name: str, readout: str, inputs: Tensor, keys: Tensor) -> Tensor:
    """Count the readout spikes of network `row`, int64 (I, N), for input spikes bool (I, T, P) and group keys (I,).

    The same step as `Network.advance`, with images in the place of networks.
    """
    num_images, num_steps, _ = inputs.shape
    weights = {p.name: network.weights_of(p.name)[row] for p in network.projections if not p.one_to_one}
    # Input currents depend on input spikes alone: one product for the whole image.
    sent = {
        p.name: pulse(p.gain, network.dt)
        * (inputs.flatten(0, 1).to(network.weights.dtype) @ weights[p.name]).unflatten(0, (-1, num_steps))
        for p in network.projections
        if p.source == input_name and not p.one_to_one and not p.recurrent
    }  # (I, T, N) each
    states = {name: _at_rest(network, name, row, num_images) for name in network.states}
    last = {
        name: torch.zeros(num_images, spikes.shape[1], dtype=torch.bool, device=network.device)
        for name, spikes in network.last_spikes.items()
    }
    counts = torch.zeros(num_images, network.populations[readout].size, dtype=torch.int64, device=network.device)
    for now in range(num_steps):
        spikes = {input_name: inputs[:, now]}
        for name, population in network.populations.items():
            if population.lif is None:
                continue
            current = torch.zeros_like(states[name].v)  # (I, N)
            for projection in network.projections:
                if projection.target != name:
                    continue
                if projection.name in sent:
                    current += sent[projection.name][:, now]
                else:
                    source = last[projection.source] if projection.recurrent else spikes[projection.source]
                    _add_current(current, projection, pulse(projection.gain, network.dt), source, weights)
            if population.groups is None:
                spikes[name], states[name] = _step(current, states[name], population, network.dt)
                continue
            places = torch.full_like(keys, now * network.draws.stride + network.draws.starts[name])
            moved = step(current, states[name], population.lif, network.dt, population.groups, keys, places)
            spikes[name], states[name] = moved.spikes, moved.state
        for name in last:
            last[name] = spikes[name]
        counts += spikes[readout]
    return counts


def _at_rest(network: Network, name: str, row: int, num_images: int) -> LIFState:
    """Return a population's state at the start of an episode of network `row`, (I, N): at rest, thresholds kept."""
    lif, state = network.populations[name].lif, network.states[name]
    assert lif is not None
    zeros = state.v.new_zeros(num_images, state.v.shape[1])
    return LIFState(zeros + lif.v_rest, zeros.clone(), state.theta[row].expand_as(zeros))


def _add_current(
    current: Tensor, projection: Projection, gain: float, source: Tensor, weights: dict[str, Tensor]
) -> None:
    """Add a projection's synaptic current to `current` (I, N); source spikes bool (I, N'), `gain` at weight 1."""
    if projection.one_to_one:
        current += gain * source
        return
    active = source.any(dim=1).nonzero().squeeze(1)  # most images have a silent source in most steps
    if len(active):
        current[active] += gain * (source[active].to(current.dtype) @ weights[projection.name])


def _step(current: Tensor, state: LIFState, population: Population, dt: float) -> tuple[Tensor, LIFState]:
    """Advance a population by one step; its adaptive thresholds apply, but stay fixed."""
    assert population.lif is not None
    spikes, after = fire(integrate(current, state, population.lif, dt), state, population.lif, dt)
    return spikes, after._replace(theta=state.theta)
