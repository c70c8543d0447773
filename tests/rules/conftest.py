"""Events written by hand."""

import pytest
import torch

from snn_plasticity_gym.networks.spike_history import pack
from snn_plasticity_gym.plasticity.events import KIND_BOTH, KIND_POST, KIND_PRE, SynapseEvents


def events_of(pre, post, weight) -> SynapseEvents:
    """Events of synapses whose neurons have the given histories, (E, K) bits, oldest first; each needs a spike now."""
    pre, post = torch.as_tensor(pre, dtype=torch.uint8), torch.as_tensor(post, dtype=torch.uint8)
    weight = torch.as_tensor(weight)
    count, length = pre.shape
    assert ((pre[:, -1] | post[:, -1]) == 1).all(), "no event without a spike"
    words = pack(torch.cat([torch.zeros(1, length, dtype=torch.uint8), pre, post]))
    histories, row = torch.unique(words, dim=0, return_inverse=True)
    # As from the engine: row 0 is silent.
    silent = int(row[0])
    order = torch.tensor([silent, *(i for i in range(len(histories)) if i != silent)])
    row = torch.argsort(order)[row[1:]]
    pairs, pair = torch.unique(torch.stack([row[:count], row[count:]], dim=1), dim=0, return_inverse=True)
    kind = torch.where(pre[:, -1] == 0, KIND_POST, torch.where(post[:, -1] == 0, KIND_PRE, KIND_BOTH))
    return SynapseEvents(
        histories=histories[order],
        pair_pre=pairs[:, 0],
        pair_post=pairs[:, 1],
        pair=pair,
        synapse=torch.arange(count),
        weight=weight,
        projection=torch.zeros(count, dtype=torch.int64),
        group=torch.zeros(count, dtype=torch.int64),
        kind=kind.to(torch.uint8),
        extras=weight.new_empty(count, 0),
        lengths=torch.tensor([count]),
        history_length=length,
    )


def live(rule, pre, post, weight, scale, w_min=0.0, w_max=float("inf")) -> torch.Tensor:
    """Weights (T, E) after each step of spike trains (E, T), moved by a rule as the environment moves them; K = T."""
    steps = pre.shape[1]
    weight, past = weight.clone(), []
    for now in range(steps):
        fired = ((pre[:, now] | post[:, now]) == 1).nonzero().squeeze(1)
        if len(fired):
            ago = (steps - 1 - now, 0)
            seen = [torch.nn.functional.pad(train[fired, : now + 1], ago) for train in (pre, post)]
            delta_d = rule(events_of(*seen, weight[fired]))
            weight[fired] = (weight[fired] + scale * delta_d.clamp(-1, 1)).clamp(w_min, w_max)
        past.append(weight.clone())
    return torch.stack(past)


@pytest.fixture(scope="session")
def make_events():
    return events_of


@pytest.fixture(scope="session")
def live_by():
    return live


@pytest.fixture(scope="session")
def trains():
    """Random spike trains, (count, steps) uint8."""

    def draw(count: int, steps: int, rate: float, seed: int) -> torch.Tensor:
        return (torch.rand(count, steps, generator=torch.Generator().manual_seed(seed)) < rate).to(torch.uint8)

    return draw


@pytest.fixture(scope="session")
def pair_at(make_events):
    """One synapse at the later of two spikes, `delay` steps from the pre to the post one (negative: post first)."""

    def make(delay: int, weight=0.5, length: int = 60) -> SynapseEvents:
        pre, post = torch.zeros(1, length), torch.zeros(1, length)
        pre[0, -1 - max(delay, 0)] = 1
        post[0, -1 - max(-delay, 0)] = 1
        return make_events(pre, post, torch.tensor([weight], dtype=torch.float64))

    return make
