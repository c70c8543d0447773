"""Winner-take-all groups: who is drawn, how often, and what stays apart."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.networks.groups import Groups, draw, uniforms
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Plasticity, Population
from snn_plasticity_gym.networks.recurrent_groups import recurrent_groups
from snn_plasticity_gym.networks.rwta import GroupLayout, RWTAWeights, input_drive, settle

CPU = torch.device("cpu")
LAYERS = ("hidden_1", "hidden_2", "output")
SIZES = {"hidden_1": 3, "hidden_2": 3, "output": 2}  # of one group each
POTENTIALS = st.lists(st.floats(-900, 900, width=32), min_size=6, max_size=6)


def layered(tau: float, num_networks: int, loops: bool | None = None, inputs: int = 4) -> Network:
    """The network of the source, two hidden groups and two actions; a potential is the field of rates."""
    populations = [Population("input", inputs), *(Population(name, size) for name, size in SIZES.items())]
    cell = LIFParams(tau_mem=tau, v_rest=0.0, v_th=1.0, resistance=1.0)
    described = recurrent_groups(
        populations, cell, Groups(3), lambda n: (-1.0, 1.0), Plasticity(0, 1.0, -2.0, 2.0), input_to_output=True
    )
    return Network(*described, num_networks, 1.0, CPU, loops=loops)


def symmetric_weights(seed: int, scale: float = 1.0) -> RWTAWeights:
    rng = np.random.default_rng(seed)
    mask = GroupLayout(4, 2, 3, 2).lateral_mask()
    drawn = torch.from_numpy(rng.normal(0.0, scale, (8, 8))).float() * mask
    return RWTAWeights(
        torch.from_numpy(rng.normal(0.0, 0.5, (4, 8))).float(), (drawn + drawn.T) / 2**0.5, torch.zeros(8)
    )


def put(network: Network, weights: RWTAWeights) -> None:
    """Write the weights of the mean field into all networks."""
    places = dict(zip(LAYERS, ([0, 3], [3, 6], [6, 8]), strict=True))
    for post, (low, high) in places.items():
        network.weights_of(f"input_to_{post}")[:] = weights.inputs[:, low:high]
    for pre, post in itertools.permutations(LAYERS, 2):
        rows, columns = slice(*places[pre]), slice(*places[post])
        network.weights_of(f"{pre}_to_{post}")[:] = weights.lateral[rows, columns]


def keys(number: int) -> list[int]:
    return np.random.default_rng(3).integers(2**64, size=number, dtype=np.uint64).tolist()


def frequencies(network: Network, steps: int, skip: int) -> torch.Tensor:
    """How often each neuron spikes under an input that always spikes, mean of all networks, (8,)."""
    everyone = torch.arange(network.num_networks)
    network.rest(everyone)
    network.draws.begin(everyone, keys(network.num_networks))
    shown = {"input": torch.ones(network.num_networks, 4, dtype=torch.bool)}
    counts = torch.zeros(network.num_networks, 8)
    for step in range(steps):
        spikes = network.advance(shown).spikes
        if step >= skip:
            counts += torch.cat([spikes[name] for name in LAYERS], dim=1)
    return counts.mean(dim=0) / (steps - skip)


# Who is drawn


def splitmix(key: int, place: int) -> float:
    """The finaliser in Python's integers, which have no end."""
    z = (key + place * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return ((z ^ (z >> 31)) >> 11) / 2**53


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**50))
def test_random_numbers_are_those_of_splitmix(key, place):
    bits = torch.from_numpy(np.array([key], dtype=np.uint64).view(np.int64))
    assert uniforms(bits, torch.tensor([[place]])).item() == splitmix(key, place)


@example([0.0, 746.0, 0.0, 0.0, 0.0, 0.0], 1.0, [1 - 2**-53, 0.0])
@given(POTENTIALS, st.floats(0.05, 20), st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=2))
def test_one_neuron_of_each_group_spikes_and_is_one_that_can(potentials, width, numbers):
    spikes, above = draw(
        torch.tensor([potentials]), torch.tensor([numbers], dtype=torch.float64), Groups(3, width), 1.0
    )
    assert spikes.view(2, 3).sum(dim=1).tolist() == [1, 1] and above.isfinite().all()
    grouped = torch.tensor(potentials).double().view(2, 3)
    assert (torch.softmax(grouped / width, dim=1)[spikes.view(2, 3)] > 0).all()


def test_neurons_are_drawn_as_often_as_the_softmax_says():
    potentials, number = torch.tensor([[0.3, -1.0, 0.8, 0.1]]), 20_000
    evenly = ((torch.arange(number) + 0.5) / number).double().unsqueeze(1)  # every number once
    spikes, _ = draw(potentials.expand(number, 4), evenly, Groups(4, 0.7), 0.0)
    expected = torch.softmax(potentials[0].double() / 0.7, dim=0)
    torch.testing.assert_close(spikes.double().mean(dim=0), expected, rtol=0, atol=1.0 / number)


@given(st.lists(st.floats(-5, 5, width=32), min_size=6, max_size=6), st.floats(0.5, 4), st.floats(-2, 2))
def test_the_threshold_that_others_set_gives_the_chance_of_the_softmax(potentials, width, v_th):
    given_potentials = torch.tensor([potentials])
    _, above = draw(given_potentials, torch.zeros(1, 2).double(), Groups(3, width), v_th)
    chance = torch.sigmoid((given_potentials - above - v_th) / width)
    expected = torch.softmax(given_potentials.view(2, 3) / width, dim=1)
    torch.testing.assert_close(chance.view(2, 3), expected, rtol=0, atol=2e-6)


# A network of groups


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.floats(1, 30))
def test_compiled_loops_do_what_operations_do(seed, tau):
    rng = np.random.default_rng(seed)
    networks = [layered(tau, 3, loops=loops) for loops in (True, False)]
    for network in networks:
        put(network, symmetric_weights(seed))
        network.draws.begin(torch.arange(3), keys(3))
    shown = torch.from_numpy(rng.random((12, 3, 4)) < 0.5)
    for step, given_spikes in enumerate(shown):
        rows = None if step % 3 else torch.tensor([0, 2])
        some = given_spikes if rows is None else given_spikes[rows]
        one, other = (network.advance({"input": some}, rows) for network in networks)
        for name in LAYERS:
            assert torch.equal(one.spikes[name], other.spikes[name])
            assert (one.spikes[name].sum(dim=1) == 1).all()
            torch.testing.assert_close(one.potentials[name], other.potentials[name])
            torch.testing.assert_close(one.thetas[name], other.thetas[name], rtol=1e-5, atol=1e-5)


def test_a_network_draws_the_same_beside_others_and_whatever_steps_they_take():
    alone, among = layered(5.0, 1), layered(5.0, 3)
    for network in (alone, among):
        put(network, symmetric_weights(1))
    alone.draws.begin(torch.tensor([0]), [keys(3)[1]])
    among.draws.begin(torch.arange(3), keys(3))
    among.draws.begin(torch.tensor([0]), [5])  # again, which moves nobody else
    one = torch.ones(1, 4, dtype=torch.bool)
    for _ in range(20):
        among.advance({"input": one}, torch.tensor([2]))
        here = alone.advance({"input": one}).spikes
        there = among.advance({"input": one.expand(2, 4)}, torch.tensor([0, 1])).spikes
        assert all(torch.equal(here[name][0], there[name][1]) for name in LAYERS)


def test_without_memory_it_samples_the_energy():
    """With tau = dt layers are drawn one after the other from the latest spikes of the others, here over all states."""
    weights = symmetric_weights(4)
    network = layered(1.0, 400)
    put(network, weights)
    bias, lateral = weights.inputs.sum(dim=0).double(), weights.lateral.double()
    expected, total = torch.zeros(8, dtype=torch.float64), 0.0
    for chosen in itertools.product(range(3), range(3, 6), range(6, 8)):
        state = torch.zeros(8, dtype=torch.float64)
        state[list(chosen)] = 1.0
        weight = math.exp(0.5 * state @ lateral @ state + bias @ state)
        expected += weight * state
        total += weight
    found = frequencies(network, 320, 20)
    assert (found - expected / total).abs().max() < 0.01  # 120,000 samples
    independent = torch.cat([torch.softmax(bias[block], dim=0) for block in (slice(0, 3), slice(3, 6), slice(6, 8))])
    assert (independent - expected / total).abs().max() > 0.1  # what there would be without lateral weights


def test_as_the_window_grows_it_goes_to_the_mean_field():
    weights, layout = symmetric_weights(4), GroupLayout(4, 2, 3, 2)
    rates = settle(weights, layout, input_drive(weights, torch.ones(1, 4)), 500)[0]  # (8,)
    distances = []
    for tau, skip in ((1.0, 20), (5.0, 50), (150.0, 900)):
        network = layered(tau, 100)
        put(network, weights)
        distances.append(float((frequencies(network, skip + 400, skip) - rates).abs().max()))
    assert distances[0] > distances[1] > distances[2]
    assert distances[0] > 0.03 and distances[2] < 0.01


@pytest.mark.parametrize("loops", [True, False])
def test_currents_from_outside_hold_a_group(loops):
    network = layered(1.0, 2, loops=loops)
    put(network, symmetric_weights(2))
    held = torch.tensor([[0.0, 100.0], [100.0, 0.0]])
    for _ in range(5):
        spikes = network.advance({"input": torch.ones(2, 4, dtype=torch.bool)}, currents={"output": held}).spikes
        assert spikes["output"].tolist() == [[False, True], [True, False]]
