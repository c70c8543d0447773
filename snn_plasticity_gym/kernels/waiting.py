"""Pairs of one event wait for others, and go through the layers of a head one behind the other.

The second layer of a pair is a sum of those rows of its matrix whose neurons of the first layer are active. One pair at
a time would read all of them from the second cache. So its columns are taken in blocks that fit the nearest one, and
each block is applied to all waiting pairs.

Axes: M waiting pairs, C2 width of h, H1 and H2 neurons of a head's hidden layers, G heads, S blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.pairs import HeadRule, add_scalars, first_layer
from snn_plasticity_gym.kernels.row_sums import BLOCK, rectified_sum
from snn_plasticity_gym.kernels.simulation import copy
from snn_plasticity_gym.kernels.tables import Float32, Int64

PAIRS = 64  # that wait, at most


class WaitingPairs(NamedTuple):
    """Workspace for pairs of one event."""

    h: Float32  # (M, C2)
    weight: Float32  # (M,)
    kind: Int64  # (M,)
    post: Int64  # (M,) post neuron, whose scalars are inputs
    place: Int64  # (M,) where f goes
    part: Float32  # (H1,) first layer without the weight
    active: Int64  # (M,) number of neurons of the first layer that are active, and one more if that is odd
    names: Int64  # (M, H1 + 1) these neurons
    values: Float32  # (M, H1 + 1) their values
    total: Float32  # (M,) f
    blocks: Float32  # (G, S, H1, BLOCK) matrix of the second layer, filled up with zeros like the following
    bias: Float32  # (G, S, BLOCK)
    last: Float32  # (G, S, BLOCK)


def room_for_waiting(rule: HeadRule) -> WaitingPairs:
    """Allocate `WaitingPairs`, with the matrix of a rule."""
    h1, h2 = rule.rows.shape[1:]
    num_blocks = -(-h2 // BLOCK)

    def in_blocks(values: Float32) -> Float32:
        padded = np.zeros((*values.shape[:-1], num_blocks * BLOCK), np.float32)
        padded[..., :h2] = values
        return padded.reshape(*values.shape[:-1], num_blocks, BLOCK)

    kind, post, place, active = np.zeros((4, PAIRS), np.int64)
    weight, total = np.empty((2, PAIRS), np.float32)
    return WaitingPairs(
        np.empty((PAIRS, rule.features.shape[1]), np.float32),
        weight,
        kind,
        post,
        place,
        np.empty(h1, np.float32),
        active,
        np.zeros((PAIRS, h1 + 1), np.int64),
        np.zeros((PAIRS, h1 + 1), np.float32),
        total,
        np.ascontiguousarray(in_blocks(rule.rows).transpose(0, 2, 1, 3)),
        in_blocks(rule.bias),
        in_blocks(rule.last),
    )


@inlined()
def wait(number, h, weight, kind, post, place, waiting):
    """Let a pair wait as number `number`: its h, weight, kind and post neuron, and the place of f in the output."""
    copy(waiting.h[number], h)
    waiting.weight[number], waiting.kind[number] = weight, kind
    waiting.post[number], waiting.place[number] = post, place


@inlined()
def evaluate_waiting(g, count, extras, rule, waiting, values):
    """Set `values` at the places of the first `count` pairs to their f."""
    for p in range(count):
        first_layer(g, waiting.h[p], rule, waiting.part)
        add_scalars(g, waiting.kind[p], extras, waiting.post[p], rule, waiting.part)
        waiting.active[p] = _list_active(
            waiting.part, waiting.weight[p], rule.scalars[g, 0], waiting.names[p], waiting.values[p]
        )
        waiting.total[p] = rule.last_bias[g]
    for block in range(waiting.blocks.shape[1]):
        matrix, bias, last = waiting.blocks[g, block], waiting.bias[g, block], waiting.last[g, block]
        for p in range(count):
            waiting.total[p] += rectified_sum(
                matrix, bias, last, waiting.names[p], waiting.values[p], waiting.active[p]
            )
    for p in range(count):
        values[waiting.place[p]] = waiting.total[p]


@inlined()
def _list_active(part, weight, b, names, values):
    """List the neurons of the first layer that are active, and one of value 0 if that is odd; return their number."""
    active = 0
    for j in range(len(part)):  # without a branch, which is unpredictable
        value = part[j] + weight * b[j]
        names[active], values[active] = j, value
        active += value > 0.0
    names[active], values[active] = 0, 0.0
    return active + active % 2
