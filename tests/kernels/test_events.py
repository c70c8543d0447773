"""The compiled loops against the torch operations: the same events, column by column, element by element."""

import itertools
import statistics
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.networks.activity import NetworkActivity, SpikeList
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Plasticity, Population, Projection
from snn_plasticity_gym.networks.spike_history import empty_windows, push
from snn_plasticity_gym.plasticity.event_finder import EventFinder
from snn_plasticity_gym.plasticity.events import SynapseEvents

CPU = torch.device("cpu")


def make_network(sizes: list[int], num_networks: int, autapses: bool, dtype: torch.dtype = torch.float32) -> Network:
    """A chain of populations, each joined plastically to the next, and the last one to itself and to the first."""
    names = [f"layer{k}" for k in range(len(sizes))]
    ends = [*itertools.pairwise(names), (names[-1], names[-1]), (names[-1], names[0])]
    projections = [
        Projection(f"{a}_{b}", a, b, autapses=autapses or sizes[names.index(a)] != sizes[names.index(b)],
                   plasticity=Plasticity(k, 0.1, 0.0, 1.0))
        for k, (a, b) in enumerate(ends)
    ]  # fmt: skip
    populations = [Population(name, size) for name, size in zip(names, sizes, strict=True)]
    network = Network(populations, projections, num_networks, 1.0, CPU, dtype)
    network.weights.copy_(torch.rand(len(network.weights), generator=torch.Generator().manual_seed(0)))
    return network


def alike(fast: SynapseEvents, slow: SynapseEvents) -> None:
    assert (fast.then is None) == (slow.then is None) and fast.history_length == slow.history_length
    for name in SynapseEvents._fields[:-3]:
        a, b = getattr(fast, name), getattr(slow, name)
        assert a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b), name
    if fast.then is not None:
        alike(fast.then, slow.then)


@settings(max_examples=30)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    num_networks=st.integers(1, 4),
    autapses=st.booleans(),
    kinds=st.sampled_from(["merged", "split", "pre", "post"]),
    length=st.sampled_from([1, 7, 64, 130]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 2**31),
)
def test_loops_list_what_torch_lists(sizes, num_networks, autapses, kinds, length, dtype, seed):
    rng = np.random.default_rng(seed)
    network = make_network(sizes, num_networks, autapses, dtype)
    fast, slow = (EventFinder(network, length, kinds, loops=loops) for loops in (True, False))
    whole = {p.name: empty_windows(num_networks, p.size, length=length) for p in network.populations.values()}
    kept = []
    for _ in range(5):  # rows come and go: tables are laid out anew
        rows = torch.from_numpy(np.flatnonzero(rng.random(num_networks) < 0.7))
        rows = rows if len(rows) else torch.zeros(1, dtype=torch.int64)
        chance = rng.choice([0.0, 0.2, 0.7, 1.0], len(sizes))
        spikes = {
            name: torch.from_numpy(rng.random((len(rows), windows.shape[1])) < share)
            for (name, windows), share in zip(whole.items(), chance, strict=True)
        }
        windows = {name: push(part[rows], spikes[name], length) for name, part in whole.items()}
        for name, part in windows.items():
            whole[name][rows] = part
        activity = NetworkActivity(spikes, {name: SpikeList.of(bits) for name, bits in spikes.items()}, {})
        kept.append((fast(activity, windows, rows), slow(activity, windows, rows)))
    for pair in kept:  # only now: what was listed must not share memory with later steps
        alike(*pair)


def busy_step(num_networks: int) -> tuple[Network, NetworkActivity, dict[str, torch.Tensor], torch.Tensor]:
    network = make_network([200, 50], num_networks, True)
    generator = torch.Generator().manual_seed(1)
    spikes = {
        p.name: torch.rand(num_networks, p.size, generator=generator) < 0.03 for p in network.populations.values()
    }
    windows = {name: push(empty_windows(*bits.shape, length=100), bits, 100) for name, bits in spikes.items()}
    activity = NetworkActivity(spikes, {name: SpikeList.of(bits) for name, bits in spikes.items()}, {})
    return network, activity, windows, torch.arange(num_networks)


@pytest.mark.parametrize("num_networks", [1, 16])
def test_loops_are_faster(num_networks):
    """A guard, no measurement: in whole images the ratio is above 4."""
    network, *step = busy_step(num_networks)
    fast, slow = (EventFinder(network, 100, loops=loops) for loops in (True, False))
    ratios = []
    for _ in range(25):
        times = []
        for find in (fast, slow):
            began = time.process_time()
            for _ in range(5):
                find(*step)
            times.append(time.process_time() - began)
        ratios.append(times[1] / times[0])
    assert statistics.median(ratios) > 1.5
