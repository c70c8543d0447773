"""Recorded trials of a network with trained plasticity: spikes, neuromodulators, weights.

Axes: T steps, B trials, H hidden neurons, K chosen synapses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.config.schema import own_values
from snn_plasticity_gym.learners.plastic_network import PlasticNetwork, make_network
from snn_plasticity_gym.rules.differentiable_events import DifferentiableEvents
from snn_plasticity_gym.tasks.cue_association import show_cues

Values = NDArray[np.float32]


class PlasticTrial(NamedTuple):
    """One trial, step by step."""

    inputs: Values  # (T, I) spikes
    hidden: Values  # (T, H) spikes
    output: Values  # (T, O) spikes
    modulation: Values  # (T, H) m, the neuromodulator; 1 without neuromodulation; (T, 0) if the rule has none
    change: Values  # (T, H) mean of |change of the weight so far| over the weights into each hidden neuron
    weights: Values  # (T, K) of the hidden neurons' synapses that change most; (T, 0) if nothing changes


class Responses(NamedTuple):
    """Mean spikes in a step, over trials of the same cues."""

    hidden: Values  # (T,) per hidden neuron
    output: Values  # (T, O)


def load_network(settings: Mapping[str, Any], file: Path) -> tuple[PlasticConfig, PlasticNetwork]:
    """Return the settings and the network of a run of `train_plastic.py`, on the CPU."""
    config = PlasticConfig(**own_values(PlasticConfig, settings))
    saved = torch.load(file, weights_only=True)
    sizes = len(saved["weights.0"]), saved["weights.1"].shape[1]
    network = make_network(config, torch.Generator().manual_seed(0), *sizes)
    network.load_state_dict(saved)
    return config, network


@torch.no_grad()
def watch(
    network: PlasticNetwork, cues: Sequence[int], rest: int, condition: str, seed: int, most: int
) -> PlasticTrial:
    """Run a trial and record it; K is `most` at most."""
    trials = show_cues(np.random.default_rng(seed), [cues], rest, condition)
    hidden, output = network.states(torch.from_numpy(trials.spikes))
    size = len(network.weights[1])
    modulation, change = torch.zeros(len(hidden), 0), torch.zeros(len(hidden), size)
    chosen = torch.zeros(len(hidden), 0)
    rule = network.rule(0)
    if rule is not None:
        first = network.weights[0].detach()  # (I, H)
        if isinstance(rule, DifferentiableEvents):
            first = rule.begin(first)
            plastic = torch.stack([state.plastic.weights[0] for state in hidden]) - first  # (T, I, H)
        else:
            before = [torch.zeros(1, size), *(state.post.level for state in hidden[:-1])]  # the traces before each step
            modulation = torch.cat([rule.modulation(level) for level in before])  # (T, H)
            plastic = torch.stack([rule.gain * state.plastic.efficacy[0] for state in hidden])  # (T, I, H)
        change = plastic.abs().mean(dim=1)
        swing = plastic.amax(dim=0) - plastic.amin(dim=0)  # (I, H)
        places = swing.flatten().topk(min(most, swing.numel())).indices
        chosen = (first + plastic).flatten(1)[:, places]
    spikes = [torch.cat([state.spikes for state in states]) for states in (hidden, output)]
    return PlasticTrial(trials.spikes[:, 0], *(value.numpy() for value in (*spikes, modulation, change, chosen)))


@torch.no_grad()
def respond(
    network: PlasticNetwork, cues: Sequence[int], rest: int, condition: str, seed: int, count: int
) -> Responses:
    """Return the mean response to the same cues, presented `count` times."""
    trials = show_cues(np.random.default_rng(seed), [cues] * count, rest, condition)
    done = network(torch.from_numpy(trials.spikes))
    return Responses(done.hidden.mean(dim=(1, 2)).numpy(), done.output.mean(dim=1).numpy())
