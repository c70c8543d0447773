"""Which layers of a network of groups reach each other."""

import pytest

from snn_plasticity_gym.networks.groups import Groups
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.populations import Plasticity, Population
from snn_plasticity_gym.networks.recurrent_groups import recurrent_groups

CELL, OWN = LIFParams(), Plasticity(0, 0.1, -1.0, 1.0)
LAYERS = [Population("in", 5), Population("a", 6), Population("b", 4), Population("out", 3)]


@pytest.mark.parametrize("direct", [False, True])
def test_layers_reach_each_other_both_ways_backwards_by_the_step_before(direct):
    populations, projections = recurrent_groups(
        LAYERS, CELL, Groups(2, 0.5), lambda n: (-1.0 / n, 1.0 / n), OWN, input_to_output=direct
    )
    within = {("in", "a"), ("in", "b"), ("a", "b"), ("a", "out"), ("b", "out")}
    within |= {("in", "out")} if direct else set()
    before = {("b", "a"), ("out", "a"), ("out", "b")}
    assert {(p.source, p.target) for p in projections if not p.recurrent} == within
    assert {(p.source, p.target) for p in projections if p.recurrent} == before
    assert len(projections) == len(within | before) and all(p.plasticity is OWN for p in projections)
    assert [p.groups for p in populations] == [None, Groups(2, 0.5), Groups(2, 0.5), Groups(3, 0.5)]
    sizes = {p.name: p.size for p in LAYERS}
    assert all(p.initial == (-1.0 / sizes[p.source], 1.0 / sizes[p.source]) for p in projections)


def test_synapses_into_hidden_layers_may_stay():
    _, projections = recurrent_groups(LAYERS, CELL, Groups(2), lambda n: (0.0, 1.0), OWN, plastic_hidden=False)
    assert {p.target for p in projections if p.plasticity is not None} == {"out"}


def test_an_input_of_neurons_keeps_them():
    layers = [Population("in", 5, CELL), *LAYERS[1:]]
    populations, _ = recurrent_groups(layers, CELL, Groups(2), lambda n: (0.0, 1.0), OWN)
    assert populations[0] == layers[0]
