"""Winner-take-all groups in compiled loops: the spike of a group in a step, and the thresholds of its other neurons.

Random numbers are a function of a key and a place, so there is no state between steps, and lifetimes are
independent: the finaliser of SplitMix64 (Steele, Lea & Flood, Fast splittable pseudorandom number generators,
2014, figure 17). `networks/groups.py` has the same in torch.
"""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.kernels.compile import compiled, inlined

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)
UNIT = 1.0 / 2**53
LEAST = 1e-300  # of a sum of exponentials, so that its logarithm is finite


@inlined()
def uniform(key, place):
    """Return the number in [0, 1) that a key, uint64, has at a place, int64."""
    z = key + np.uint64(place) * GOLDEN
    z = (z ^ (z >> np.uint64(30))) * FIRST
    z = (z ^ (z >> np.uint64(27))) * SECOND
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * UNIT


@inlined()
def draw(potential, width, number, v_th, chance, compared):
    """Sample the neuron of a group that spikes, and compute the threshold of each: `networks.groups.draw`.

    Args:
        potential: float32 (d,).
        width: Of the softmax, float64.
        number: Uniform in [0, 1).
        v_th: float32, reference of `compared`.
        chance: Room, float64 (d,).
        compared: Output, float32 (d,).

    Returns:
        Its index in the group.
    """
    size = len(potential)
    highest, total = potential[0], 0.0
    for k in range(size):
        highest = max(highest, potential[k])
    for k in range(size):
        chance[k] = np.exp((np.float64(potential[k]) - np.float64(highest)) / width)
        total += chance[k]
    winner, reached = size - 1, 0.0
    for k in range(size - 1, -1, -1):  # of those that come after
        compared[k] = reached
        reached += chance[k]
    reached, found = 0.0, False
    for k in range(size):
        others = max(reached + np.float64(compared[k]), LEAST)
        compared[k] = np.float32(np.float64(highest) + width * np.log(others) - np.float64(v_th))
        reached += chance[k]
        if not found and reached > number * total:
            winner, found = k, True
    return winner


@compiled()
def group_loop(current, v, constants, keys, steps, start, stride, size, width, chance, potential, compared, spikes):
    """Advance a population of groups by a step, as `networks.groups.step` does in torch.

    Args:
        current: (R, N).
        v: Membrane potential, (R, N); changed in place.
        constants: As `lif_constants` returns them.
        keys: Of each network, uint64 (R,).
        steps: Earlier steps of each, int64 (R,).
        start: Index of the population's first neuron among those of all populations.
        stride: Neurons of all populations.
        size: Neurons of a group.
        width: Of the softmax.
        chance: Room, float64 (size,).
        potential: Output: the membrane potential, (R, N).
        compared: Output, (R, N).
        spikes: Output, bool (R, N).
    """
    rate, v_rest, _, v_th, resistance = constants[:5]
    v_min = constants[8]
    for row in range(len(v)):
        for neuron in range(v.shape[1]):
            drive = resistance * current[row, neuron]
            reached = max(v[row, neuron] + rate * (v_rest - v[row, neuron] + drive), v_min)
            v[row, neuron] = potential[row, neuron] = reached
            spikes[row, neuron] = False
        for first in range(0, v.shape[1], size):
            number = uniform(keys[row], steps[row] * stride + start + first)
            members = slice(first, first + size)
            winner = draw(potential[row, members], width, number, v_th, chance, compared[row, members])
            spikes[row, first + winner] = True
