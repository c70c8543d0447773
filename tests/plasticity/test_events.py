"""The events of a step against a double loop over all synapses of all networks."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.networks.activity import NetworkActivity, SpikeList
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Plasticity, Population, Projection
from snn_plasticity_gym.networks.spike_history import empty_windows, push, unpack
from snn_plasticity_gym.plasticity.event_finder import EventFinder
from snn_plasticity_gym.plasticity.events import KIND_BOTH, KIND_POST, KIND_PRE, SynapseEvents, head_names, per_event

CPU = torch.device("cpu")
LIF = LIFParams(tau_mem=4.0, v_rest=0.0, v_reset=0.0, v_th=1.0, resistance=4.0)
PER_EVENT = ("pair", "synapse", "weight", "projection", "group", "kind", "extras")


class Sizes(NamedTuple):
    networks: int
    inputs: int
    exc: int


def make_network(sizes: Sizes, lateral: str = "inh", seed: int = 0) -> Network:
    """in -> exc plastic and plain, exc -> inh fixed, `lateral` -> exc plastic, recurrent and without autapses."""
    network = Network(
        [Population("in", sizes.inputs), Population("exc", sizes.exc, LIF), Population("inh", sizes.exc, LIF)],
        [
            Projection("fixed_in", "in", "exc", gain=0.1),  # not plastic: moves the addresses of the others
            Projection("forward", "in", "exc", plasticity=Plasticity(3, 0.1, 0.0, 1.0)),
            Projection("exc_inh", "exc", "inh", gain=2.0, one_to_one=True),
            Projection(
                "lateral",
                lateral,
                "exc",
                autapses=False,
                recurrent=True,
                initial=(-1.0, 0.0),
                plasticity=Plasticity(1, 0.1, -1.0, 0.0),
            ),
        ],
        sizes.networks,
        dt=1.0,
        device=CPU,
    )
    for row in range(sizes.networks):
        network.grow(row, np.random.default_rng([seed, row]))
    return network


class Event(NamedTuple):
    """One expected event, by itself."""

    kind: int
    address: int
    weight: float
    group: int
    pre_history: list[int]
    post_history: list[int]


Past = dict[str, list[list[list[int]]]]  # by population: R networks, N neurons, K steps, oldest first


def slow_events(network: Network, lateral: str, spikes: dict[str, torch.Tensor], past: Past, networks: list[int]):
    """Look at every synapse of every network: {(place in the call, projection, pre, post): event}."""
    plastic = [("forward", "in", "exc", True, 3), ("lateral", lateral, "exc", False, 1)]
    # Addresses by hand: fixed_in, then forward, then lateral, each network after network.
    count, inputs = network.num_networks, network.populations["in"].size
    starts = {"forward": count * inputs * network.populations["exc"].size}
    starts["lateral"] = 2 * starts["forward"]
    found: dict[tuple[int, int, int, int], Event] = {}
    for place, b in enumerate(networks):
        for index, (name, source, target, autapses, group) in enumerate(plastic):
            n_pre, n_post = network.populations[source].size, network.populations[target].size
            for pre in range(n_pre):
                for post in range(n_post):
                    pre_fired, post_fired = bool(spikes[source][place, pre]), bool(spikes[target][place, post])
                    if not (pre_fired or post_fired) or (pre == post and not autapses):
                        continue
                    address = starts[name] + (b * n_pre + pre) * n_post + post
                    found[place, index, pre, post] = Event(
                        kind=2 if pre_fired and post_fired else 0 if pre_fired else 1,
                        address=address,
                        weight=network.weights.tolist()[address],
                        group=group,
                        pre_history=past[source][place][pre],
                        post_history=past[target][place][post],
                    )
    return found


def slow_phases(found: dict[tuple[int, int, int, int], Event]) -> list[dict]:
    """The same in two phases: pre events, post events; a synapse whose two neurons fired stands in both."""
    return [
        {
            key: e._replace(kind=kind, group=2 * e.group + kind)
            for key, e in found.items()
            if e.kind in (kind, KIND_BOTH)
        }
        for kind in (KIND_PRE, KIND_POST)
    ]


def check(events: SynapseEvents, network: Network, lateral: str, expected: dict, networks: list[int]) -> None:
    """Everything that an event says, against the slow loop."""
    count = len(expected)
    assert all(getattr(events, name).shape == (count,) for name in PER_EVENT if name != "extras")
    assert events.extras.shape == (count, 0)  # an environment that has some adds them
    assert events.lengths.tolist() == [sum(key[0] == place for key in expected) for place in range(len(networks))]
    by_address = {(key[0], event.address): key for key, event in expected.items()}
    places = [place for place, length in enumerate(events.lengths.tolist()) for _ in range(length)]
    keys = [by_address[place, address] for place, address in zip(places, events.synapse.tolist(), strict=True)]
    assert len(set(keys)) == count  # no event twice, hence none is missing
    histories = events.history().tolist()
    for e, key in enumerate(keys):
        event = expected[key]
        assert events.projection[e] == key[1]
        assert events.kind[e] == event.kind
        assert events.weight[e] == event.weight
        assert events.group[e] == event.group
        assert histories[e] == [event.pre_history, event.post_history]

    # Order: network, projection, fans of pre spikes before those of post spikes, neuron that fired, far neuron.
    def order(key: tuple[int, int, int, int]) -> tuple[int, ...]:
        place, projection, pre, post = key
        post_side = expected[key].kind == KIND_POST
        return (place, projection, post_side, *((post, pre) if post_side else (pre, post)))

    assert [order(key) for key in keys] == sorted(order(key) for key in keys)

    # Tables: row 0 is silent and no other is; pairs point into the table and are used as they are listed.
    assert not events.histories[0].any()
    assert (events.histories[1:] != 0).any(dim=1).all()
    bits = unpack(events.histories, events.history_length).tolist()
    assert events.pair_pre.shape == events.pair_post.shape
    for pair, key in zip(events.pair.tolist(), keys, strict=True):
        assert bits[events.pair_pre[pair]] == expected[key].pre_history
        assert bits[events.pair_post[pair]] == expected[key].post_history
        for row, history in (
            (events.pair_pre[pair], expected[key].pre_history),
            (events.pair_post[pair], expected[key].post_history),
        ):
            assert (row == 0) == (not any(history))  # silent neurons share one history
    for index in (events.pair_pre, events.pair_post):
        assert len(index) == 0 or (index.min() >= 0 and index.max() < len(events.histories))


def listed(spikes: dict[str, torch.Tensor]) -> NetworkActivity:
    return NetworkActivity(spikes, {name: SpikeList.of(bits) for name, bits in spikes.items()}, {})


class Recorder:
    """Windows as the engine keeps them, and the same as plain lists."""

    def __init__(self, network: Network, length: int) -> None:
        sizes = {name: population.size for name, population in network.populations.items()}
        self.length = length
        self.windows = {n: empty_windows(network.num_networks, size, length=length) for n, size in sizes.items()}
        self.past: Past = {n: [[[0] * length] * size for _ in range(network.num_networks)] for n, size in sizes.items()}

    def push(self, spikes: dict[str, torch.Tensor], networks: list[int]) -> tuple[dict[str, torch.Tensor], Past]:
        """Move the windows of `networks` on; return theirs."""
        for name, bits in spikes.items():
            part = self.windows[name][networks]
            self.windows[name][networks] = push(part, bits, self.length)
            for b, row in zip(networks, bits.tolist(), strict=True):
                old = self.past[name][b]
                self.past[name][b] = [[*o, int(s)][-self.length :] for o, s in zip(old, row, strict=True)]
        return (
            {name: windows[networks] for name, windows in self.windows.items()},
            {name: [rows[b] for b in networks] for name, rows in self.past.items()},
        )


@settings(max_examples=40)
@given(
    sizes=st.builds(Sizes, st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    lateral=st.sampled_from(["inh", "exc"]),
    length=st.sampled_from([1, 5, 64, 70]),
    seed=st.integers(0, 2**31),
)
def test_any_spikes_against_a_loop_over_all_synapses(sizes: Sizes, lateral: str, length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = make_network(sizes, lateral, seed)
    finder, recorder = EventFinder(network, length), Recorder(network, length)
    phase_finder = EventFinder(network, length, "split")
    for _ in range(6):
        networks = np.flatnonzero(rng.random(sizes.networks) < 0.8).tolist() or [0]
        chance = rng.choice([0.0, 0.2, 0.6, 1.0], (3, len(networks), 1))  # of each population in each network
        spikes = {
            name: torch.from_numpy(rng.random((len(networks), population.size)) < chance[k])
            for k, (name, population) in enumerate(network.populations.items())
        }
        windows, past = recorder.push(spikes, networks)
        events = finder(listed(spikes), windows, torch.tensor(networks))
        expected = slow_events(network, lateral, spikes, past, networks)
        check(events, network, lateral, expected, networks)
        assert list(events.phases()) == [events]
        phases = list(phase_finder(listed(spikes), windows, torch.tensor(networks)).phases())
        for phase, phase_expected in zip(phases, slow_phases(expected), strict=True):
            check(phase, network, lateral, phase_expected, networks)


@pytest.mark.parametrize("lateral", ["inh", "exc"])
def test_a_running_network_against_a_loop_over_all_synapses(lateral: str) -> None:
    """Spikes of the network itself, some of its rows at a time, with weights that change on the way."""
    rng = np.random.default_rng(4)
    network = make_network(Sizes(4, 5, 4), lateral)
    finder, recorder = EventFinder(network, 7), Recorder(network, 7)
    kinds = set()
    for _ in range(25):
        networks = np.flatnonzero(rng.random(4) < 0.7).tolist() or [2]
        index = torch.tensor(networks)
        activity = network.advance({"in": torch.from_numpy(rng.random((len(networks), 5)) < 0.3)}, index)
        windows, past = recorder.push(activity.spikes, networks)
        events = finder(activity, windows, index)
        check(
            events, network, lateral, slow_events(network, lateral, activity.spikes, past, networks), networks
        )  # fmt: skip
        kinds |= {(int(p), int(k)) for p, k in zip(events.projection, events.kind, strict=True)}
        network.weights[events.synapse] += torch.from_numpy(rng.normal(0, 0.1, len(events.synapse))).float()
    assert kinds == {(p, k) for p in (0, 1) for k in (0, 1, 2)}  # all were seen


def run_once(
    spikes: dict[str, torch.Tensor], sizes: Sizes, networks: list[int], length: int = 3
) -> tuple[Network, SynapseEvents, dict]:
    network = make_network(sizes)
    windows, past = Recorder(network, length).push(spikes, networks)
    events = EventFinder(network, length)(listed(spikes), windows, torch.tensor(networks))
    return network, events, slow_events(network, "inh", spikes, past, networks)


def alike(sizes: Sizes, rows: int, value: bool) -> dict[str, torch.Tensor]:
    shape = {"in": sizes.inputs, "exc": sizes.exc, "inh": sizes.exc}
    return {name: torch.full((rows, size), value) for name, size in shape.items()}


@pytest.mark.parametrize("networks", [[0, 1, 2], [1], [0, 2]])
def test_all_neurons_fire(networks: list[int]) -> None:
    sizes = Sizes(3, 4, 3)
    network, events, expected = run_once(alike(sizes, len(networks), True), sizes, networks)
    check(events, network, "inh", expected, networks)
    assert events.lengths.tolist() == [4 * 3 + 3 * 2] * len(networks)
    assert (events.kind == KIND_BOTH).all()
    assert events.history().tolist() == [[[0, 0, 1]] * 2] * len(events.weight)


def test_no_neuron_fires() -> None:
    sizes = Sizes(3, 4, 3)
    network, events, expected = run_once(alike(sizes, 2, False), sizes, [0, 2])
    assert not expected
    check(events, network, "inh", expected, [0, 2])
    assert events.lengths.tolist() == [0, 0]
    assert events.history().shape == (0, 2, 3)
    assert events.history().dtype == torch.uint8
    assert [part.lengths.tolist() for part in events.split()] == [[0], [0]]


def test_a_silent_step_after_spikes_has_no_events() -> None:
    sizes = Sizes(2, 4, 3)
    network = make_network(sizes)
    recorder = Recorder(network, 5)
    recorder.push(alike(sizes, 2, True), [0, 1])
    silent = alike(sizes, 2, False)
    windows, _ = recorder.push(silent, [0, 1])
    events = EventFinder(network, 5)(listed(silent), windows, torch.tensor([0, 1]))
    assert events.lengths.tolist() == [0, 0]
    assert len(events.pair) == len(events.pair_pre) == 0


def test_one_spike_by_hand() -> None:
    """Neuron 1 of 2 inputs fires in network 1 of 2: its three outgoing synapses, nothing else."""
    sizes = Sizes(2, 2, 3)
    spikes = alike(sizes, 2, False)
    spikes["in"][1, 1] = True
    network, events, _ = run_once(spikes, sizes, [0, 1])
    assert events.lengths.tolist() == [0, 3]
    # fixed_in has 2 * 2 * 3 weights; forward of network 1 begins 6 later, its second row 3 later.
    assert events.synapse.tolist() == [12 + 6 + 3 + post for post in range(3)]
    assert events.weight.tolist() == network.weights_of("forward")[1, 1].tolist()
    assert events.kind.tolist() == [KIND_PRE] * 3
    assert events.projection.tolist() == [0] * 3
    assert events.group.tolist() == [3] * 3
    assert events.history().tolist() == [[[0, 0, 1], [0, 0, 0]]] * 3


def test_one_post_spike_by_hand() -> None:
    """Neuron 1 of E fires: two synapses from the input, two from I, none from its own I neuron."""
    sizes = Sizes(1, 2, 3)
    spikes = alike(sizes, 1, False)
    spikes["exc"][0, 1] = True
    _, events, _ = run_once(spikes, sizes, [0])
    assert events.synapse.tolist() == [6 + 1, 6 + 4, 12 + 1, 12 + 7]
    assert events.kind.tolist() == [KIND_POST] * 4
    assert events.group.tolist() == [3, 3, 1, 1]
    assert events.history().tolist() == [[[0, 0, 0], [0, 0, 1]]] * 4


def test_types() -> None:
    sizes = Sizes(2, 3, 2)
    _, events, _ = run_once(alike(sizes, 2, True), sizes, [0, 1])
    integers = ("histories", "pair_pre", "pair_post", "pair", "synapse", "projection", "group", "lengths")
    assert all(getattr(events, name).dtype == torch.int64 for name in integers)
    assert events.kind.dtype == torch.uint8
    assert events.weight.dtype == torch.float32
    assert events.history().dtype == torch.uint8


def test_a_rule_sees_histories_weight_group_and_kind_only() -> None:
    events, _ = some_events()
    state = events.local_state()
    names = (
        "histories",
        "history_length",
        "pair_pre",
        "pair_post",
        "pair",
        "weight",
        "group",
        "kind",
        "extras",
        "extra_names",
    )
    assert state._fields == names
    for name in names:
        assert getattr(state, name) is getattr(events, name)


def test_events_keep_the_weight_from_before_a_change() -> None:
    sizes = Sizes(1, 3, 2)
    network, events, expected = run_once(alike(sizes, 1, True), sizes, [0])
    network.weights.fill_(7.0)
    assert sorted(events.weight.tolist()) == sorted(event.weight for event in expected.values())
    events.weight.fill_(-3.0)
    assert (network.weights == 7.0).all()


def test_pairs_are_few() -> None:
    """Far silent neurons share a pair: one spike among silent neurons makes one pair per fan, not one per synapse."""
    sizes = Sizes(1, 3, 50)
    spikes = alike(sizes, 1, False)
    spikes["in"][0, 0] = True
    _, events, _ = run_once(spikes, sizes, [0])
    assert len(events.pair) == 50
    assert len(events.pair_pre) == 1
    assert len(events.histories) == 2


def some_events() -> tuple[SynapseEvents, torch.Tensor]:
    sizes = Sizes(4, 4, 3)
    rng = np.random.default_rng(8)
    spikes = {name: torch.from_numpy(rng.random(bits.shape) < 0.4) for name, bits in alike(sizes, 4, True).items()}
    for bits in spikes.values():
        bits[2] = False  # a silent network among others
    _, events, _ = run_once(spikes, sizes, [0, 1, 2, 3])
    lengths = events.lengths.tolist()
    assert lengths[2] == 0 and min(lengths[0], lengths[1], lengths[3]) > 0
    extras = torch.from_numpy(rng.random((len(events.weight), 2)))
    return events._replace(extras=extras), events.lengths


def test_split_cuts_the_batch_by_network() -> None:
    events, lengths = some_events()
    parts = list(events.split())
    assert [len(part.weight) for part in parts] == lengths.tolist()
    assert [part.lengths.tolist() for part in parts] == [[length] for length in lengths.tolist()]
    for name in PER_EVENT:
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(events, name))
    assert torch.equal(torch.cat([part.history() for part in parts]), events.history())
    assert all(part.history_length == events.history_length for part in parts)


@given(data=st.data())
def test_narrow_is_a_slice(data: st.DataObject) -> None:
    events, _ = some_events()
    start = data.draw(st.integers(0, len(events.weight)))
    length = data.draw(st.integers(0, len(events.weight) - start))
    part = events.narrow(start, length, torch.tensor([length]))
    for name in PER_EVENT:
        assert getattr(part, name).tolist() == getattr(events, name).tolist()[start : start + length]
    assert part.lengths.tolist() == [length]
    assert part.history().tolist() == events.history().tolist()[start : start + length]


def test_values_per_network_become_values_per_event() -> None:
    lengths = torch.tensor([2, 0, 3])
    assert per_event(torch.tensor([1.5, 2.5, 3.5]), lengths).tolist() == [1.5, 1.5, 3.5, 3.5, 3.5]
    assert per_event(torch.tensor([[1, 2], [3, 4], [5, 6]]), lengths).tolist() == [[1, 2]] * 2 + [[5, 6]] * 3
    assert per_event(torch.ones(2), torch.tensor([0, 0])).shape == (0,)


def test_the_finder_names_what_is_plastic() -> None:
    finder = EventFinder(make_network(Sizes(1, 2, 2)), 4)
    assert [projection.name for projection in finder.projections] == ["forward", "lateral"]
    assert sorted(finder.populations) == ["exc", "in", "inh"]
    assert sorted(EventFinder(make_network(Sizes(1, 2, 2), lateral="exc"), 4).populations) == ["exc", "in"]


def test_split_cuts_every_phase_by_network() -> None:
    network = make_network(Sizes(3, 4, 3))
    spikes = alike(Sizes(3, 4, 3), 3, True)
    spikes["in"][1] = False  # the middle network has no pre events of this projection
    windows, _ = Recorder(network, 4).push(spikes, [0, 1, 2])
    whole = EventFinder(network, 4, "split")(listed(spikes), windows, torch.arange(3))
    parts = list(whole.split())
    for place, phase in enumerate(whole.phases()):
        of_phase = [list(part.phases())[place] for part in parts]
        assert [len(part.weight) for part in of_phase] == phase.lengths.tolist() == [len(p.pair) for p in of_phase]
        assert torch.equal(torch.cat([part.synapse for part in of_phase]), phase.synapse)
        assert (phase.kind == place).all() and len(set(phase.lengths.tolist())) > 1 - place
    assert all(len(list(part.phases())) == 2 for part in parts)


def test_heads_are_named_in_the_order_of_their_numbers() -> None:
    assert head_names(["exc", "inh"], split_kinds=True) == ["exc_pre", "exc_post", "inh_pre", "inh_post"]
    assert head_names(["exc", "inh"], split_kinds=False) == ["exc", "inh"]
