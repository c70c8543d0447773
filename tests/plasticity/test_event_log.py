"""The log of what was done to the weights, and the way back through it."""

import numpy as np
import torch

from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Plasticity, Population, Projection
from snn_plasticity_gym.plasticity.event_log import WrittenEvents, rewind


def small_network() -> Network:
    populations = [Population("in", 2), Population("out", 2, LIFParams())]
    projection = Projection("forward", "in", "out", plasticity=Plasticity(0, 0.1, -9.0, 9.0))
    network = Network(populations, [projection], 1, 1.0, torch.device("cpu"))
    network.grow(0, np.random.default_rng(0))
    return network


def test_the_way_back_undoes_the_later_of_two_writes_in_a_step_first():
    network, written, at_step = small_network(), [], []
    writes = [[[0, 1], [1, 2]], [], [[3, 0], [0, 3], [0]], [[2]]]  # synapses, by step, then call
    for step, calls in enumerate(writes):
        at_step.append(network.weights.clone())
        for number, synapses in enumerate(calls):
            synapse = torch.tensor(synapses)
            before = network.weights[synapse]
            change = 0.3 + 0.1 * number + torch.arange(len(synapses))
            written.append(WrittenEvents(step, None, synapse, torch.zeros_like(synapse), before, change))
            network.weights[synapse] = before + change
    final = network.weights.clone()
    seen = []
    for step, places in rewind(network, written, num_steps=4):
        assert torch.equal(network.weights, at_step[step])
        seen.append((step, places))
    assert seen == [(3, [5]), (2, [2, 3, 4]), (1, []), (0, [0, 1])]
    assert torch.equal(network.weights, final)
