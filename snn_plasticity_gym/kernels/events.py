"""The events of a step listed by compiled loops: `EventFinder` on the CPU, the same list in the same order.

Axes: R networks of the call, N neurons of a population, E events, P pairs, H distinct histories, W words of a history.
Tables are concatenated over populations, each (R, N) flattened; a block is one population of one network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.compile import compiled

Array = NDArray[Any]

KIND_PRE, KIND_BOTH = 0, 2  # as in `events`
RANK, HISTORY, FIRED, SPIKING = range(4)  # rows of the table of neurons
ACTIVE, NUM_FIRED, FIRST_HISTORY = range(3)  # rows of the table of blocks


class Listed(NamedTuple):
    """Columns of `SynapseEvents`; see there."""

    pair_pre: Array
    pair_post: Array
    pair: Array
    synapse: Array
    weight: Array
    projection: Array
    group: Array
    kind: Array
    lengths: Array


class EventLoops:
    """Lists events by loops.

    Args:
        sizes: Neurons of each population.
        projections: For each plastic projection the index of its source and of its target among the populations, their
            sizes, the address of its first weight, and whether it has self-connections; int64 (projections, 6).
    """

    def __init__(self, sizes: Sequence[int], projections: Array) -> None:
        self._before = np.cumsum([0, *sizes], dtype=np.int64)  # neurons of the populations before, in one network
        self._projections = projections
        self._neurons = self._blocks = np.empty((0, 0), np.int64)
        self._histories = np.empty((0, 0), np.int64)

    def tabulate(self, windows: Sequence[Array], spikes: Sequence[Array]) -> Array:
        """Tabulate a step, and return its distinct histories, (H, W), of which row 0 is silent.

        Args:
            windows: Bit windows of each population, int64 (R, N, W).
            spikes: Their spikes, bool (R, N).
        """
        num_networks, words = len(windows[0]), windows[0].shape[2]
        count = num_networks * int(self._before[-1])
        if self._neurons.shape[1] != count or self._histories.shape[1] != words:
            self._neurons = np.empty((4, count), np.int64)
            self._blocks = np.empty((3, num_networks * len(windows)), np.int64)
            self._histories = np.zeros((1 + count, words), np.int64)
        used = 1
        for place, (window, fired) in enumerate(zip(windows, spikes, strict=True)):
            start, block = num_networks * int(self._before[place]), num_networks * place
            used = _tabulate(window, fired, start, block, used, self._histories, self._neurons, self._blocks)
        return self._histories[:used].copy()

    def list_events(self, post_sides: Sequence[bool], heads: Array, networks: Array, weights: Array) -> Listed:
        """List the events of one phase of the latest step.

        Args:
            post_sides: Which fans the phase presents: False: pre fans, True: post fans.
            heads: Policy head of each projection's events, (projections,).
            networks: Which networks the R rows are, (R,).
            weights: All weights.
        """
        first, last = int(post_sides[0]), int(post_sides[-1])
        starts = self._before * len(networks)
        return Listed(
            *_list_events(first, last, self._projections, heads, networks, weights, starts, self._neurons, self._blocks)
        )


@compiled()
def _tabulate(
    windows: Array,
    spikes: Array,
    start: int,
    block: int,
    used: int,
    histories: Array,
    neurons: Array,
    blocks: Array,
) -> int:
    """Tabulate one population; return the number of rows of `histories` used then.

    The table of neurons says for each: 0 if it is silent, else 1, 2, ... among the active ones of its block; its row of
    `histories`; whether it fired in this step. Its last row has the neurons of each block that fired, from the block's
    first place on. The table of blocks: the number of active neurons; of those that fired; the row of `histories` of
    the first active neuron.
    """
    num_networks, size, words = windows.shape
    for row in range(num_networks):
        first, active, firing = start + row * size, 0, 0
        blocks[FIRST_HISTORY, block + row] = used
        for neuron in range(size):
            bits = windows[row, neuron, 0]
            for word in range(1, words):
                bits |= windows[row, neuron, word]
            alive, fired = bits != 0, spikes[row, neuron]
            active += alive
            neurons[RANK, first + neuron] = active * alive
            neurons[HISTORY, first + neuron] = used * alive
            neurons[FIRED, first + neuron] = fired
            if alive:
                for word in range(words):
                    histories[used, word] = windows[row, neuron, word]
                used += 1
            if fired:
                neurons[SPIKING, first + firing] = neuron
                firing += 1
        blocks[ACTIVE, block + row] = active
        blocks[NUM_FIRED, block + row] = firing
    return used


@compiled()
def _count(
    first_side: int, last_side: int, projections: Array, num_networks: int, starts: Array, neurons: Array, blocks: Array
) -> tuple[int, int]:
    """Return the numbers of events and of pairs, from the spikes alone."""
    events = pairs = 0
    for index in range(len(projections)):
        autapses = projections[index, 5]
        for side in range(first_side, last_side + 1):
            own, other = projections[index, side], projections[index, 1 - side]
            own_size, far_size = projections[index, 2 + side], projections[index, 3 - side]
            for row in range(num_networks):
                block, far_block = own * num_networks + row, other * num_networks + row
                count = blocks[NUM_FIRED, block]
                pairs += count * (1 + blocks[ACTIVE, far_block])
                if side == first_side:
                    events += count * (far_size - 1 + autapses)
                    continue
                events += count * (far_size - blocks[NUM_FIRED, far_block])
                if not autapses:  # subtracted already where that neuron of the other population fired
                    first, far_start = starts[own] + row * own_size, starts[other] + row * far_size
                    for place in range(first, first + count):
                        events -= 1 - neurons[FIRED, far_start + neurons[SPIKING, place]]
    return events, pairs


@compiled()
def _list_events(
    first_side: int,
    last_side: int,
    projections: Array,
    heads: Array,
    networks: Array,
    weights: Array,
    starts: Array,
    neurons: Array,
    blocks: Array,
) -> tuple[Array, ...]:
    """Return the columns of `Listed`, written fan by fan, ordered by network, projection, side, neuron."""
    num_networks, merged = len(networks), first_side != last_side
    num_events, num_pairs = _count(first_side, last_side, projections, num_networks, starts, neurons, blocks)
    pair_pre, pair_post = np.empty(num_pairs, np.int64), np.empty(num_pairs, np.int64)
    pair, synapse = np.empty(num_events, np.int64), np.empty(num_events, np.int64)
    projection, group = np.empty(num_events, np.int64), np.empty(num_events, np.int64)
    weight, kind = np.empty(num_events, weights.dtype), np.empty(num_events, np.uint8)
    lengths = np.empty(num_networks, np.int64)
    members = np.empty(starts[-1], np.int64)  # far neurons of a fan
    event = first_pair = 0
    for row in range(num_networks):
        begin = event
        for index in range(len(projections)):
            for side in range(first_side, last_side + 1):
                own, other = projections[index, side], projections[index, 1 - side]
                own_size, far_size = projections[index, 2 + side], projections[index, 3 - side]
                block, far_block = own * num_networks + row, other * num_networks + row
                own_start, far_start = starts[own] + row * own_size, starts[other] + row * far_size
                spikes, pairs = blocks[NUM_FIRED, block], 1 + blocks[ACTIVE, far_block]
                base = projections[index, 4] + networks[row] * (own_size * far_size)
                across, along = (far_size, 1) if side == 0 else (1, own_size)
                near, far = (pair_pre, pair_post) if side == 0 else (pair_post, pair_pre)
                rank = neurons[RANK, far_start : far_start + far_size]
                fired = neurons[FIRED, far_start : far_start + far_size]
                # A synapse whose two neurons fired is in the pre fan, if that is presented, too.
                count = 0
                if spikes > 0:
                    for at in range(far_size):
                        members[count] = at
                        count += 1 - (merged and side == 1) * fired[at]
                fan = event
                for place in range(own_start, own_start + spikes):
                    neuron = neurons[SPIKING, place]
                    near[first_pair : first_pair + pairs] = neurons[HISTORY, own_start + neuron]
                    far[first_pair] = 0
                    for number in range(1, pairs):
                        far[first_pair + number] = blocks[FIRST_HISTORY, far_block] + number - 1
                    # Without self-connections a fan is the neurons before this one, then those after it.
                    until = behind = count
                    if not projections[index, 5]:
                        until = np.searchsorted(members[:count], neuron)
                        behind = until + (until < count and members[until] == neuron)
                    for low, high in ((0, until), (behind, count)):
                        if high > low:
                            end = event + high - low
                            reached = members[low:high]
                            _add(pair[event:end], rank, reached, first_pair)
                            _times(synapse[event:end], reached, along, base + neuron * across)
                            if merged and side == 0:
                                _times(kind[event:end], fired[reached], KIND_BOTH, KIND_PRE)
                            else:
                                kind[event:end] = side
                            event = end
                    first_pair += pairs
                projection[fan:event] = index
                group[fan:event] = heads[index]
        lengths[row] = event - begin
    for at in range(num_events):
        weight[at] = weights[synapse[at]]
    return pair_pre, pair_post, pair, synapse, weight, projection, group, kind, lengths


@compiled()
def _add(target: Array, table: Array, places: Array, offset: int) -> None:
    """Each loop by itself is short enough to become vector instructions: target = table[places] + offset."""
    for at in range(len(places)):
        target[at] = table[places[at]] + offset


@compiled()
def _times(target: Array, values: Array, factor: int, offset: int) -> None:
    """Set target = values * factor + offset."""
    for at in range(len(values)):
        target[at] = values[at] * factor + offset
