"""Networks against a loop over neurons and synapses, and what must stay apart: rows, batches, tensors, lifetimes."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.networks.activity import NetworkActivity, SpikeList
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Plasticity, Population, Projection

CPU = torch.device("cpu")
# A unit of current raises the membrane by one unit in a step; nothing leaks away in these.
PLAIN = LIFParams(tau_mem=1e9, v_rest=0.0, v_reset=0.0, v_th=1.0, resistance=1e9)


def spikes_of(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.bool)


def fill(network: Network, seed: int = 0) -> None:
    """Grow all networks, each from a seed of its own."""
    for row in range(network.num_networks):
        network.grow(row, np.random.default_rng(seed + row))


# The slow network


class SlowNetwork:
    """The same networks as plain lists: one neuron and one synapse at a time."""

    def __init__(self, network: Network) -> None:
        self.populations = list(network.populations.values())
        self.projections = network.projections
        self.dt = network.dt
        self.weights: dict[str, Any] = {
            p.name: network.weights_of(p.name).tolist() for p in self.projections if not p.one_to_one
        }
        shape = {p.name: range(p.size) for p in self.populations}
        rows = range(network.num_networks)
        self.v = {p.name: [[p.lif.v_rest] * p.size for _ in rows] for p in self.populations if p.lif}
        self.wait = {name: [[0.0] * len(shape[name]) for _ in rows] for name in self.v}
        self.theta = {name: [[0.0] * len(shape[name]) for _ in rows] for name in self.v}
        self.before = {name: [[False] * len(size) for _ in rows] for name, size in shape.items()}
        self.reached: dict[str, list[float]] = {}  # potentials of the last step, before the reset

    def step(
        self, row: int, inputs: dict[str, list[bool]], outside: dict[str, list[float]] | None = None
    ) -> dict[str, list[bool]]:
        """Advance network `row`, with currents from outside into some populations."""
        now: dict[str, list[bool]] = {}
        for population in self.populations:
            name = population.name
            if population.lif is None:
                now[name] = inputs[name]
                continue
            added = (outside or {}).get(name, [0.0] * population.size)
            excess = [
                self.charge(row, name, post, population.lif, self.current(row, name, post, now) + added[post])
                for post in range(population.size)
            ]
            self.reached[name] = list(self.v[name][row])
            now[name] = self.fire(row, name, excess, population.lif)
        self.before = {
            name: [now[name] if r == row else old for r, old in enumerate(rows)] for name, rows in self.before.items()
        }
        return now

    def current(self, row: int, target: str, post: int, now: dict[str, list[bool]]) -> float:
        total = 0.0
        for projection in self.projections:
            if projection.target != target:
                continue
            source = self.before[projection.source][row] if projection.recurrent else now[projection.source]
            for pre, fired in enumerate(source):
                if fired and projection.one_to_one:
                    total += projection.gain / self.dt * (1.0 if pre == post else 0.0)
                elif fired and (projection.autapses or pre != post):
                    total += projection.gain / self.dt * self.weights[projection.name][row][pre][post]
        return total

    def charge(self, row: int, name: str, k: int, lif: LIFParams, current: float) -> float:
        """Integrate one neuron; return by how much it exceeds its threshold."""
        v, wait = self.v[name][row], self.wait[name][row]
        v[k] += self.dt / lif.tau_mem * (lif.v_rest - v[k] + (lif.resistance * current if wait[k] <= 0 else 0.0))
        v[k] = max(v[k], lif.v_min)
        return v[k] - (lif.v_th + self.theta[name][row][k]) if wait[k] <= 0 else -math.inf

    def fire(self, row: int, name: str, excess: list[float], lif: LIFParams) -> list[bool]:
        assume(all(abs(value) > 1e-9 for value in excess))  # rounding may decide the others
        fired = [value > 0 for value in excess]
        if lif.one_spike and any(fired):
            assume(sorted(excess)[-1] - max([*sorted(excess)[:-1], -math.inf]) > 1e-9)
            fired = [value == max(excess) for value in excess]
        for k, spike in enumerate(fired):
            self.wait[name][row][k] = lif.refractory if spike else max(0.0, self.wait[name][row][k] - self.dt)
            self.theta[name][row][k] *= math.exp(-self.dt / lif.tau_theta)
            if spike:
                self.v[name][row][k] = lif.v_reset
                self.theta[name][row][k] += lif.theta_plus
        return fired


def random_network(
    rng: np.random.Generator, num_networks: int, dtype: torch.dtype = torch.float64, loops: bool | None = None
) -> Network:
    """Two inputs, E, I, a second layer; every kind of projection, listed in random order."""
    lif = LIFParams(tau_mem=4.0, v_rest=0.0, v_reset=-0.2, v_th=1.0, resistance=4.0)
    sizes = rng.integers(1, 5, 4).tolist()
    populations = [
        Population("in", sizes[0]),
        Population("cue", sizes[1]),
        Population(
            "e",
            sizes[2],
            lif._replace(refractory=1.5, theta_plus=0.25, tau_theta=9.0, one_spike=bool(rng.integers(2))),
        ),
        Population("i", sizes[2], lif._replace(tau_mem=2.0, v_th=0.6, v_min=-0.3)),
        Population("out", sizes[3], lif),
    ]
    projections = [
        Projection("in_e", "in", "e", gain=0.75),
        Projection("cue_e", "cue", "e", gain=0.35, recurrent=True),
        Projection("e_i", "e", "i", gain=0.4, one_to_one=True),
        Projection("in_i", "in", "i", gain=0.15),
        Projection("i_e", "i", "e", gain=1.0, autapses=False, recurrent=True, initial=(-0.7, -0.1)),
        Projection("e_e", "e", "e", gain=0.25, autapses=False, recurrent=True),
        Projection("i_i", "i", "i", gain=-0.3, one_to_one=True, recurrent=True),
        Projection("e_out", "e", "out", gain=2.0),
        Projection("i_out", "i", "out", gain=0.5, initial=(-0.3, 0.9)),
        Projection("out_out", "out", "out", gain=-0.15, recurrent=True),
        Projection("out_e", "out", "e", gain=0.45, recurrent=True),
    ]
    order = rng.permutation(len(projections))
    network = Network(populations, [projections[k] for k in order], num_networks, 0.5, CPU, dtype, loops)
    fill(network, int(rng.integers(1000)))
    return network


def random_input(rng: np.random.Generator, network: Network, rows: int) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(rng.random((rows, network.populations[name].size)) < 0.5) for name in ("in", "cue")}


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), num_networks=st.integers(2, 5), loops=st.booleans())
def test_steps_against_a_loop_over_neurons(seed: int, num_networks: int, loops: bool) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng, num_networks, loops=loops)
    slow = SlowNetwork(network)
    for _ in range(12):
        # Every other call advances some of the networks only.
        rows = None if rng.random() < 0.5 else np.flatnonzero(rng.random(num_networks) < 0.6)
        named = list(range(num_networks)) if rows is None else rows.tolist()
        inputs = random_input(rng, network, len(named))
        activity = network.advance(inputs, None if rows is None else torch.from_numpy(rows))
        for place, row in enumerate(named):
            expected = slow.step(row, {name: spikes[place].tolist() for name, spikes in inputs.items()})
            assert {name: spikes[place].tolist() for name, spikes in activity.spikes.items()} == expected
            assert activity.potentials.keys() == slow.v.keys()
            for name, potentials in activity.potentials.items():
                assert potentials[place].tolist() == pytest.approx(slow.reached[name], abs=1e-9)
    for name, state in network.states.items():
        for row in range(num_networks):
            assert state.v[row].tolist() == pytest.approx(slow.v[name][row], abs=1e-9)
            assert state.theta[row].tolist() == pytest.approx(slow.theta[name][row], abs=1e-9)
            assert (state.refractory[row] > 0).tolist() == [wait > 0 for wait in slow.wait[name][row]]


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), num_networks=st.integers(2, 4))
def test_currents_from_outside_against_a_loop_over_neurons(seed: int, num_networks: int) -> None:
    """Into random populations in random steps, of all networks or of some."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, num_networks)
    slow = SlowNetwork(network)
    computed = [name for name, population in network.populations.items() if population.lif is not None]
    for _ in range(10):
        rows = None if rng.random() < 0.5 else np.flatnonzero(rng.random(num_networks) < 0.6)
        named = list(range(num_networks)) if rows is None else rows.tolist()
        inputs = random_input(rng, network, len(named))
        outside = {
            name: torch.from_numpy(rng.normal(0.2, 1.0, (len(named), network.populations[name].size)))
            for name in computed
            if rng.random() < 0.6
        }
        activity = network.advance(inputs, None if rows is None else torch.from_numpy(rows), outside)
        for place, row in enumerate(named):
            expected = slow.step(
                row,
                {name: spikes[place].tolist() for name, spikes in inputs.items()},
                {name: current[place].tolist() for name, current in outside.items()},
            )
            assert {name: spikes[place].tolist() for name, spikes in activity.spikes.items()} == expected
            for name, potentials in activity.potentials.items():
                assert potentials[place].tolist() == pytest.approx(slow.reached[name], abs=1e-9)
    for name, state in network.states.items():
        for row in range(num_networks):
            assert state.v[row].tolist() == pytest.approx(slow.v[name][row], abs=1e-9)


def test_the_random_networks_are_lively() -> None:
    """What the comparisons above and below rest on: all populations fire, and not always."""
    rates: dict[str, list[float]] = {}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        network = random_network(rng, 3)
        for _ in range(12):
            for name, spikes in network.advance(random_input(rng, network, 3)).spikes.items():
                rates.setdefault(name, []).append(float(spikes.double().mean()))
    assert all(0.05 < np.mean(values) < 0.9 for values in rates.values()), rates


# By hand


def chain() -> Network:
    """in -> E -> I in one step, I -> E one step later, as in Diehl & Cook's network."""
    return Network(
        [Population("in", 3), Population("e", 3, PLAIN), Population("i", 3, PLAIN)],
        [
            Projection("in_e", "in", "e", gain=3.0),
            Projection("e_i", "e", "i", gain=1.5, one_to_one=True),
            Projection("i_e", "i", "e", gain=4.0, autapses=False, recurrent=True),
        ],
        num_networks=1,
        dt=1.0,
        device=CPU,
    )


def test_activity_crosses_the_network_in_one_step_and_comes_back_in_the_next() -> None:
    network = chain()
    network.weights_of("in_e")[0] = torch.tensor([[0.1, 0.5, 0.2], [0.0, 0.0, 0.0], [0.0, 0.25, 0.0]])
    network.weights_of("i_e")[0] = torch.tensor([[0.0, -1.0, -1.0], [-0.5, 0.0, -0.25], [-1.0, -1.0, 0.0]])

    activity = network.advance({"in": spikes_of([1, 0, 0])})
    assert activity.spikes["e"].tolist() == [[False, True, False]]  # 3 * 0.5 > 1
    assert activity.spikes["i"].tolist() == [[False, True, False]]  # in the same step
    assert network.states["e"].v[0].tolist() == pytest.approx([0.3, 0.0, 0.6])  # nothing has come back yet

    activity = network.advance({"in": spikes_of([0, 0, 1])})
    assert not activity.spikes["e"].any() and not activity.spikes["i"].any()
    # Neuron 1 of I inhibits neurons 0 and 2 of E, not its own; neuron 2 of the input excites neuron 1 by 3 * 0.25.
    assert network.states["e"].v[0].tolist() == pytest.approx([0.3 - 4 * 0.5, 0.75, 0.6 - 4 * 0.25])

    network.advance({"in": spikes_of([0, 0, 0])})  # I was silent: no inhibition any more
    assert network.states["e"].v[0].tolist() == pytest.approx([-1.7, 0.75, -0.4])


def test_a_current_from_outside_flows_for_one_step() -> None:
    """Unscaled by any gain, into the named population, and on from there within the step if it fires."""
    network = chain()
    network.weights_of("in_e")[0] = torch.tensor([[0.1, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    network.weights_of("i_e")[0] = 0.0
    silence = {"in": spikes_of([0, 0, 0])}
    outside = {"e": torch.tensor([[0.25, -0.5, 1.5]])}
    activity = network.advance({"in": spikes_of([1, 0, 0])}, None, outside)
    assert activity.potentials["e"][0].tolist() == pytest.approx([0.3 + 0.25, -0.5, 1.5])  # beside the synapses' own
    assert activity.spikes["e"].tolist() == activity.spikes["i"].tolist() == [[False, False, True]]
    assert network.states["e"].v[0].tolist() == pytest.approx([0.55, -0.5, 0.0])
    assert outside["e"].tolist() == [[0.25, -0.5, 1.5]]  # the caller's own

    for nothing in (None, {}):
        activity = network.advance(silence, None, nothing)
        assert not activity.spikes["e"].any()
        assert network.states["e"].v[0].tolist() == pytest.approx([0.55, -0.5, 0.0])

    network.advance(silence, None, {"i": torch.tensor([[0.0, 0.5, 0.0]])})  # it has not gone into E
    assert network.states["e"].v[0].tolist() == pytest.approx([0.55, -0.5, 0.0])
    assert network.states["i"].v[0].tolist() == pytest.approx([0.0, 0.5, 0.0])


def test_several_spikes_add_up() -> None:
    network = chain()
    network.weights_of("in_e")[0] = torch.tensor([[0.01, 0.02, 0.03], [0.1, 0.2, 0.3], [0.001, 0.002, 0.003]])
    network.advance({"in": spikes_of([1, 0, 1])})
    assert network.states["e"].v[0].tolist() == pytest.approx([0.033, 0.066, 0.099])


def test_a_recurrent_input_arrives_a_step_late() -> None:
    network = Network(
        [Population("in", 1), Population("e", 1, PLAIN)],
        [Projection("late", "in", "e", gain=0.25, recurrent=True)],
        num_networks=1,
        dt=1.0,
        device=CPU,
    )
    network.weights.fill_(1.0)
    seen = []
    for bit in (1, 1, 0, 1, 0):
        network.advance({"in": spikes_of([bit])})
        seen.append(float(network.states["e"].v))
    assert seen == [0.0, 0.25, 0.5, 0.5, 0.75]


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31), num_networks=st.integers(1, 4), outside=st.booleans())
def test_compiled_loops_advance_as_torch_does(seed: int, num_networks: int, outside: bool) -> None:
    """In single precision, as the environments have it: spikes and states bit by bit."""
    networks = [
        random_network(np.random.default_rng(seed), num_networks, torch.float32, loops) for loops in (True, False)
    ]
    rng = np.random.default_rng(seed)
    for network in networks:
        network.non_plastic[0] = seed % 2 == 0  # its thresholds stand still
    for _ in range(12):
        rows = np.flatnonzero(rng.random(num_networks) < 0.7) if rng.random() < 0.5 else np.arange(num_networks)
        index = None if len(rows) == num_networks else torch.from_numpy(rows)
        spikes = random_input(rng, networks[0], len(rows))
        current = torch.from_numpy(rng.normal(size=(len(rows), networks[0].populations["e"].size))).float()
        a, b = (network.advance(spikes, index, {"e": current} if outside else None) for network in networks)
        for name in a.spikes:
            assert torch.equal(a.spikes[name], b.spikes[name])
        for name, potential in a.potentials.items():
            assert torch.equal(potential, b.potentials[name])
        for name, part in snapshot(networks[0]).items():
            assert torch.equal(part, snapshot(networks[1])[name]), name


def test_spike_lists_are_ordered_by_network_then_neuron() -> None:
    listed = SpikeList.of(spikes_of([0, 1, 1], [0, 0, 0], [1, 0, 0]))
    assert listed.row.tolist() == [0, 0, 2]
    assert listed.neuron.tolist() == [1, 2, 0]
    assert listed.counts.tolist() == [2, 0, 1]


def test_activity_lists_what_fired() -> None:
    rng = np.random.default_rng(5)
    network = random_network(rng, 4)
    for _ in range(6):
        rows = [0, 2, 3]
        activity = network.advance(random_input(rng, network, 3), torch.tensor(rows))
        assert set(activity.spikes) == set(activity.lists) == set(network.populations)
        for name, spikes in activity.spikes.items():
            fired = [(r, k) for r, row in enumerate(spikes.tolist()) for k, spike in enumerate(row) if spike]
            listed = activity.lists[name]
            assert list(zip(listed.row.tolist(), listed.neuron.tolist(), strict=True)) == fired
            assert listed.counts.tolist() == [sum(row) for row in spikes.tolist()]


# Rows and batches


def snapshot(network: Network) -> dict[str, torch.Tensor]:
    """Copies of all that a network remembers, each (B, ...)."""
    parts = {f"weights {p.name}": network.weights_of(p.name) for p in network.projections if not p.one_to_one}
    for name, state in network.states.items():
        parts |= {f"{field} {name}": part for field, part in state._asdict().items()}
    parts |= {f"last {name}": spikes for name, spikes in network.last_spikes.items()}
    return {name: part.clone() for name, part in parts.items()}


def twin(network: Network) -> Network:
    """A network of the same description and weights, at rest."""
    other = Network(
        list(network.populations.values()),
        network.projections,
        network.num_networks,
        network.dt,
        network.device,
        network.weights.dtype,
    )
    other.weights.copy_(network.weights)
    return other


@pytest.mark.parametrize("rows", [[1], [0, 3], [2, 3, 4], [0, 1, 2, 3, 4]])
def test_named_rows_advance_as_in_a_full_call_and_the_others_stand_still(rows: list[int]) -> None:
    rng = np.random.default_rng(11)
    full = random_network(rng, 5, torch.float32)
    part, named = twin(full), torch.tensor(rows)
    for _ in range(5):  # a common past
        inputs = random_input(rng, full, 5)
        full.advance(inputs)
        part.advance(inputs)
    still = snapshot(part)
    others = [row for row in range(5) if row not in rows]
    for _ in range(8):
        inputs = random_input(rng, full, 5)
        expected = full.advance(inputs)
        got = part.advance({name: spikes[named] for name, spikes in inputs.items()}, named)
        for name, spikes in expected.spikes.items():
            assert torch.equal(got.spikes[name], spikes[named])
    moved, whole = snapshot(part), snapshot(full)
    for name in moved:
        assert torch.equal(moved[name][named], whole[name][named]), name
        assert torch.equal(moved[name][others], still[name][others]), name
    assert any(not torch.equal(moved[name][named], still[name][named]) for name in moved)


@pytest.mark.parametrize("rows", [[1], [0, 3], [2, 3, 4]])
def test_currents_go_to_the_named_rows_in_their_order(rows: list[int]) -> None:
    rng = np.random.default_rng(12)
    full = random_network(rng, 5, torch.float32)
    part, without, named = twin(full), twin(full), torch.tensor(rows)
    others = [row for row in range(5) if row not in rows]
    still = snapshot(part)
    fired = 0
    for _ in range(8):
        inputs = random_input(rng, full, 5)
        outside = {"out": torch.from_numpy(rng.normal(0.5, 0.5, (5, full.populations["out"].size))).float()}
        expected = full.advance(inputs, None, outside)
        got = part.advance(
            {name: spikes[named] for name, spikes in inputs.items()}, named, {"out": outside["out"][named]}
        )
        for name, spikes in expected.spikes.items():
            assert torch.equal(got.spikes[name], spikes[named])
            assert name in inputs or torch.equal(got.potentials[name], expected.potentials[name][named])
        fired += int(got.spikes["out"].sum()) - int(without.advance(inputs).spikes["out"][named].sum())
    assert fired > 0
    moved = snapshot(part)
    assert all(torch.equal(moved[name][others], still[name][others]) for name in moved)


def test_no_rows_is_no_step() -> None:
    rng = np.random.default_rng(2)
    network = random_network(rng, 3)
    network.advance(random_input(rng, network, 3))
    before = snapshot(network)
    activity = network.advance(random_input(rng, network, 0), torch.tensor([], dtype=torch.int64))
    assert all(spikes.shape == (0, network.populations[name].size) for name, spikes in activity.spikes.items())
    after = snapshot(network)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_network_in_a_batch_equals_it_alone() -> None:
    """Bit for bit, in sizes where sums are long enough for their order to matter."""
    lif = LIFParams(tau_mem=20.0, resistance=20.0)
    populations = [Population("in", 97), Population("e", 45, lif), Population("i", 45, lif._replace(v_th=-64.0))]
    projections = [
        Projection("in_e", "in", "e", initial=(0.0, 0.3)),
        Projection("e_i", "e", "i", gain=2.0, one_to_one=True),
        Projection("i_e", "i", "e", autapses=False, recurrent=True, initial=(-1.0, 0.0)),
    ]
    batch = Network(populations, projections, 5, 1.0, CPU)
    fill(batch)
    alone = [Network(populations, projections, 1, 1.0, CPU) for _ in range(5)]
    for row, one in enumerate(alone):
        one.grow(0, np.random.default_rng(row))
    rng, total = np.random.default_rng(1), 0
    for _ in range(60):
        inputs = torch.from_numpy(rng.random((5, 97)) < rng.random((5, 1)) * 0.4)
        activity = batch.advance({"in": inputs})
        for row, one in enumerate(alone):
            got = one.advance({"in": inputs[row : row + 1]})
            assert all(torch.equal(got.spikes[n][0], activity.spikes[n][row]) for n in ("e", "i"))
        total += int(activity.spikes["e"].sum())
    assert total > 100
    whole = snapshot(batch)
    for row, one in enumerate(alone):
        for name, values in snapshot(one).items():
            assert torch.equal(values[0], whole[name][row]), name


# Weights


def small(num_networks: int = 3, loops: bool | None = None, **changes: Any) -> Network:
    """in (4) -> e (3), and e -> e without autapses; keyword arguments change the first projection."""
    return Network(
        [Population("in", 4), Population("e", 3, PLAIN._replace(refractory=2.0, theta_plus=0.5, v_rest=-0.5))],
        [
            Projection("in_e", "in", "e", **changes),
            Projection("e_e", "e", "e", autapses=False, recurrent=True, initial=(-0.8, -0.2)),
        ],
        num_networks,
        dt=1.0,
        device=CPU,
        loops=loops,
    )


def test_weights_of_is_a_view_with_addresses_by_projection_network_pre_and_post() -> None:
    network = small(3)
    assert network.weights.shape == (3 * 4 * 3 + 3 * 3 * 3,)
    network.weights.copy_(torch.arange(63.0))
    assert [network.offsets["in_e"], network.offsets["e_e"]] == [0, 36]
    assert network.weights_of("in_e").shape == (3, 4, 3)
    assert network.weights_of("e_e").shape == (3, 3, 3)
    for b in range(3):
        for pre in range(4):
            for post in range(3):
                assert network.weights_of("in_e")[b, pre, post] == b * 12 + pre * 3 + post
                if pre < 3:
                    assert network.weights_of("e_e")[b, pre, post] == 36 + b * 9 + pre * 3 + post
    network.weights_of("e_e")[1, 2, 0] = -7.0
    assert network.weights[36 + 9 + 6] == -7.0
    network.weights[5] = 99.0
    assert network.weights_of("in_e")[0, 1, 2] == 99.0


def test_one_to_one_projections_have_no_weights() -> None:
    network = chain()
    assert set(network.offsets) == {"in_e", "i_e"}
    assert len(network.weights) == 18


@pytest.mark.parametrize("interval", [(0.0, 0.3), (0.2, 0.9), (-0.5, -0.5)])
def test_fresh_weights_are_uniform_in_their_interval(interval: tuple[float, float]) -> None:
    low, high = interval
    network = Network(
        [Population("in", 100), Population("e", 80, PLAIN)],
        [Projection("in_e", "in", "e", initial=interval), Projection("fixed", "in", "e", initial=(1.0, 2.0))],
        num_networks=2,
        dt=1.0,
        device=CPU,
    )
    fill(network)
    weights = network.weights_of("in_e").double()
    assert float(weights.min()) >= low - 1e-7 and float(weights.max()) <= high + 1e-7
    if low == high:
        return
    for row in weights.flatten(1):
        assert float(row.mean()) == pytest.approx((low + high) / 2, abs=4.5 * (high - low) / math.sqrt(12 * 8000))
        assert float(row.var()) == pytest.approx((high - low) ** 2 / 12, rel=0.05)
        assert float(row.max() - row.min()) > 0.99 * (high - low)
    assert not torch.equal(weights[0], weights[1])


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
@pytest.mark.parametrize(("low", "high"), [(0.0, 0.6), (-0.9, -0.1)])
def test_skewed_weights_have_the_moments_of_a_power_of_a_uniform_number(power: float, low: float, high: float) -> None:
    network = Network(
        [Population("in", 200), Population("e", 200, PLAIN)],
        [Projection("in_e", "in", "e", initial=(low, high), initial_power=power)],
        num_networks=1,
        dt=1.0,
        device=CPU,
    )
    fill(network)
    share = ((network.weights.double() - low) / (high - low)).clamp(min=0.0)  # u^power
    assert float(share.max()) <= 1.0 + 1e-6
    mean, square = 1 / (power + 1), 1 / (2 * power + 1)
    assert float(share.mean()) == pytest.approx(mean, abs=4.5 * math.sqrt((square - mean**2) / 40_000))
    for q in (0.1, 0.5, 0.9):
        assert float((share ** (1 / power)).quantile(q)) == pytest.approx(q, abs=0.01)


def test_growing_changes_one_network_only() -> None:
    network = small(3)
    fill(network)
    for state in network.states.values():
        for part in state:
            part.fill_(0.75)
    before = snapshot(network)
    network.grow(1, np.random.default_rng(77))
    after = snapshot(network)
    for name in before:
        assert torch.equal(after[name][[0, 2]], before[name][[0, 2]]), name
    assert (after["weights in_e"][1] != before["weights in_e"][1]).all()
    assert (after["theta e"][1] == 0).all()


def test_weights_are_a_function_of_the_generator_alone() -> None:
    first, second = small(1), small(4)
    fill(second, seed=50)
    torch.manual_seed(0)
    first.grow(0, np.random.default_rng(9))
    torch.manual_seed(1)
    second.grow(2, np.random.default_rng(9))
    for name in ("in_e", "e_e"):
        assert torch.equal(first.weights_of(name)[0], second.weights_of(name)[2])


def test_there_are_no_autapses() -> None:
    network = small(2)
    fill(network)
    weights = network.weights_of("e_e")
    assert (weights.diagonal(dim1=1, dim2=2) == 0).all()
    assert int((weights == 0).sum()) == 2 * 3
    assert (network.weights_of("in_e") != 0).all()
    network.states["e"].v.fill_(5.0)  # all fire, and are inhibited by the two others each
    network.advance({"in": torch.zeros(2, 4, dtype=torch.bool)})
    network.states["e"].refractory.zero_()
    network.advance({"in": torch.zeros(2, 4, dtype=torch.bool)})
    for b, matrix in enumerate(weights.tolist()):
        expected = [sum(matrix[pre][post] for pre in range(3) if pre != post) for post in range(3)]
        assert network.states["e"].v[b].tolist() == pytest.approx(expected, abs=1e-6)


# Rest


def test_rest_begins_an_episode_in_the_named_rows() -> None:
    network = small(4)
    fill(network)
    for _ in range(3):
        network.states["e"].v.fill_(9.0)
        network.advance({"in": torch.ones(4, 4, dtype=torch.bool)})
    network.states["e"].v.normal_(generator=torch.Generator().manual_seed(0))
    network.states["e"].refractory.fill_(1.5)
    network.last_spikes["e"][:] = True
    before = snapshot(network)
    assert (before["theta e"] > 0).all()
    network.rest(torch.tensor([0, 2]))
    after = snapshot(network)
    assert (after["v e"][[0, 2]] == -0.5).all()
    assert (after["refractory e"][[0, 2]] == 0).all()
    assert not after["last e"][[0, 2]].any()
    for name in before:
        assert torch.equal(after[name][[1, 3]], before[name][[1, 3]]), name
    for name in ("theta e", "weights in_e", "weights e_e"):  # these outlive the episode
        assert torch.equal(after[name], before[name]), name


def test_spikes_of_the_last_episode_do_not_come_back() -> None:
    network = chain()
    network.weights_of("in_e").fill_(1.0)
    network.weights_of("i_e").fill_(-1.0)
    assert network.advance({"in": spikes_of([1, 0, 0])}).spikes["i"].all()
    network.rest(torch.tensor([0]))
    network.advance({"in": spikes_of([0, 0, 0])})
    assert network.states["e"].v.tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_weight_norms_are_restored_per_target_neuron(order: int, loops: bool) -> None:
    network = small(3, initial=(0.1, 0.9), weight_norm=1.2, norm_order=order, loops=loops)
    fill(network)
    network.weights_of("in_e")[2, :, 1] *= -1.0
    old = network.weights_of("in_e").tolist()
    lateral = network.weights_of("e_e").clone()
    network.normalise(torch.tensor([0, 2]))
    new = network.weights_of("in_e").tolist()
    assert new[1] == old[1]
    for b in (0, 2):
        for post in range(3):
            norm = sum(abs(old[b][pre][post]) ** order for pre in range(4)) ** (1 / order)
            for pre in range(4):
                assert new[b][pre][post] == pytest.approx(1.2 * old[b][pre][post] / norm, rel=1e-5)
    assert torch.equal(network.weights_of("e_e"), lateral)


def test_scaled_weights_stay_within_their_clips() -> None:
    network = small(1, weight_norm=2.0, plasticity=Plasticity(0, 0.1, 0.0, 0.7))
    network.weights_of("in_e")[0] = torch.tensor([[0.5, 0.4, 0.0], [0.0, 0.4, 0.0], [0.5, 0.4, 0.0], [0.0, 0.4, 0.0]])
    network.normalise(torch.tensor([0]))
    expected = [[0.7, 0.5, 0.0], [0.0, 0.5, 0.0], [0.7, 0.5, 0.0], [0.0, 0.5, 0.0]]  # a sum of 0 stays 0
    for got, row in zip(network.weights_of("in_e")[0].tolist(), expected, strict=True):
        assert got == pytest.approx(row)


def test_thresholds_outlive_rest_and_are_forgotten_by_grow() -> None:
    network = small(2)
    network.states["e"].v.fill_(9.0)
    network.advance({"in": torch.zeros(2, 4, dtype=torch.bool)})
    network.rest(torch.tensor([0, 1]))
    assert network.states["e"].theta.tolist() == [[0.5] * 3] * 2
    network.grow(0, np.random.default_rng(0))
    assert network.states["e"].theta.tolist() == [[0.0] * 3, [0.5] * 3]


# Memory


@pytest.mark.parametrize(("refractory", "theta_plus"), [(2.0, 0.0), (0.0, 0.5), (2.0, 0.5), (0.0, 0.0)])
def test_parts_of_a_state_do_not_share_memory(refractory: float, theta_plus: float) -> None:
    """Rows are written in place: shared memory would let one part overwrite another."""
    lif = PLAIN._replace(v_rest=-1.0, refractory=refractory, theta_plus=theta_plus)
    network = Network([Population("e", 2, lif), Population("f", 2, lif)], [], 2, 1.0, CPU)
    for rows in ([1], [0, 1], [0], None):
        network.states["e"].v.fill_(9.0)
        network.advance({}, None if rows is None else torch.tensor(rows))
        e, f = network.states["e"], network.states["f"]
        parts = [*e, *f]
        assert len({part.data_ptr() for part in parts}) == len(parts)
        named = [0, 1] if rows is None else rows
        assert (e.refractory[named] == refractory).all()
        assert (f.refractory == 0).all() and (f.theta == 0).all() and (f.v == -1.0).all()
        network.rest(torch.tensor([0, 1]))
        assert (e.theta[named] > 0).all() if theta_plus else (e.theta == 0).all()


@pytest.mark.parametrize("later", ["all", "rows", "rest", "grow"])
@pytest.mark.parametrize("first", ["all", "rows"])
def test_what_a_step_returned_stays_as_it_was(first: str, later: str) -> None:
    """The caller may keep activity and its own input tensors over later steps."""
    network = Network(
        [Population("in", 2), Population("e", 2, PLAIN)],
        [Projection("in_e", "in", "e", gain=2.0), Projection("ie", "in", "e", gain=0.1, recurrent=True)]
        + [Projection("e_e", "e", "e", gain=0.1, recurrent=True)],
        num_networks=2,
        dt=1.0,
        device=CPU,
    )
    network.weights.fill_(1.0)
    every, silent = torch.tensor([0, 1]), torch.zeros(2, 2, dtype=torch.bool)
    inputs = torch.ones(2, 2, dtype=torch.bool)
    activity: NetworkActivity = network.advance({"in": inputs}, None if first == "all" else every)
    assert activity.spikes["e"].all()
    if later == "all":
        network.advance({"in": silent})
    elif later == "rows":
        network.advance({"in": silent[:1]}, torch.tensor([1]))
    elif later == "rest":
        network.rest(every)
    else:
        network.grow(0, np.random.default_rng(0))
    assert inputs.all()
    assert activity.spikes["in"].all() and activity.spikes["e"].all()
    assert activity.lists["e"].counts.tolist() == [2, 2]
