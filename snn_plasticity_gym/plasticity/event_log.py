"""Log of the weight changes of an episode, for credit assignment to single events afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Projection


class WrittenEvents(NamedTuple):
    """Events of one time step, or of one phase of it, with their weight changes."""

    step: int  # of the episode, from 0
    row: int | None  # lifetime; None: all lifetimes
    synapse: Tensor  # (E,) address in `Network.weights`
    projection: Tensor  # (E,)
    before: Tensor  # (E,) weight before the event
    change: Tensor  # (E,) requested weight change: eta * alpha * delta_d, before the clip to the weight's range


def rewind(network: Network, written: Sequence[WrittenEvents], num_steps: int) -> Iterator[tuple[int, list[int]]]:
    """Rewind the weights through an episode, from its last step to its first, and restore them at the end.

    Yields:
        The step, and the indices in `written` of its events. At each yield `network.weights` are the ones used for the
        step's currents.
    """
    places: dict[int, list[int]] = {}
    for place, entry in enumerate(written):
        places.setdefault(entry.step, []).append(place)
    final = network.weights.clone()
    for step in reversed(range(num_steps)):
        for place in reversed(places.get(step, [])):  # a synapse may have been written twice in a step
            network.weights[written[place].synapse] = written[place].before
        yield step, places.get(step, [])
    network.weights.copy_(final)


def by_projection(
    events: WrittenEvents, network: Network, projections: Sequence[Projection]
) -> Iterator[tuple[Projection, Tensor, Tensor, Tensor, Tensor]]:
    """Yield each plastic projection with its events' places (M,), lifetimes, pre and post neurons, int64 (M,) each.

    Args:
        events: Events.
        network: The networks.
        projections: The plastic ones, in the order that `WrittenEvents.projection` counts.
    """
    for place, projection in enumerate(projections):
        mine = (events.projection == place).nonzero().squeeze(1)  # (M,)
        yield (projection, mine, *ends_of(network, projection, events.synapse[mine]))


def ends_of(network: Network, projection: Projection, synapse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return lifetime, pre neuron and post neuron of synapses of one projection, by address (E,); int64 (E,) each."""
    n_pre, n_post = (network.populations[name].size for name in (projection.source, projection.target))
    place = synapse - network.offsets[projection.name]
    lifetime = torch.div(place, n_pre * n_post, rounding_mode="floor")
    within = place - lifetime * (n_pre * n_post)
    pre = torch.div(within, n_post, rounding_mode="floor")
    return lifetime, pre, within - pre * n_post
