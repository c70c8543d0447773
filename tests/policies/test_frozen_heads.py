"""Heads as lines against the same heads layer by layer."""

import statistics
import time

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.kernels.heads import WORTH_LINES, HeadArrays, Lines, write_lines
from snn_plasticity_gym.kernels.lines import most_lines
from snn_plasticity_gym.networks.spike_history import pack
from snn_plasticity_gym.plasticity.events import LocalState
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.frozen_heads import FrozenHeads
from snn_plasticity_gym.policies.frozen_rule import FrozenRule, LayerByLayer, PiecewiseLinear
from snn_plasticity_gym.policies.network import RuleNetwork, new_network

EXTRA_KEYS = ("factor", "layer")


def random_network(seed=0, num_groups=1, use_kind=False, num_extras=0, sizes=(128, 128)) -> RuleNetwork:
    """Heads as training may leave them: biases, and a last layer that is not small."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = new_network(Architecture(num_groups, use_kind, EXTRA_KEYS[:num_extras], sizes))
        for head in network.heads:
            for name, parameter in head.named_parameters():
                if name.endswith("bias"):
                    parameter.data.normal_(0.0, 0.2)
            torch.nn.init.normal_(head.rest[-1].weight, std=0.3)
        return network


def random_state(seed: int, num_pairs: int, num_events: int, num_groups=1, num_extras=0, mixed=False) -> LocalState:
    """Few pairs with many events, many with few; scalars and groups go with the pair, or if `mixed` with the event."""
    generator = torch.Generator().manual_seed(seed)
    bits = (torch.rand(9, 20, generator=generator) < 0.3).to(torch.uint8)
    pair = (num_pairs * torch.rand(num_events, generator=generator) ** 4).long()
    of, count = (torch.arange(num_events), num_events) if mixed else (pair, num_pairs)
    return LocalState(
        histories=pack(bits),
        history_length=20,
        pair_pre=torch.randint(9, (num_pairs,), generator=generator),
        pair_post=torch.randint(9, (num_pairs,), generator=generator),
        pair=pair,
        weight=torch.rand(num_events, generator=generator) * 1.5 - 0.5,
        group=torch.randint(num_groups, (count,), generator=generator)[of],
        kind=torch.randint(3, (count,), generator=generator).to(torch.uint8)[of],
        extras=torch.rand(count, num_extras, generator=generator)[of],
    )


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    sizes=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    low=st.floats(-2, 2),
    width=st.sampled_from([0.0, 1e-12, 1e-3, 0.5, 3.0]),
    silent=st.booleans(),
)
def test_lines_are_the_head(seed, sizes, low, width, silent):
    """At any weight of the interval, at its ends and at every kink; also where neurons switch at the same weight."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=sizes[0]) * (not silent), rng.normal(size=sizes[0])
    b[rng.random(sizes[0]) < 0.2] = 0.0
    a[: sizes[0] // 2], b[: sizes[0] // 2] = a[0], b[0]
    rows, bias, last = rng.normal(size=sizes), rng.normal(size=sizes[1]) * (not silent), rng.normal(size=sizes[1])
    room = Lines(*np.empty((3, most_lines(*sizes))))
    count = write_lines(low, low + width, a, HeadArrays(b[None], rows, bias, last, 0.25), room)
    knot, height, slope = (column[:count] for column in room)
    assert knot[0] == low and (np.diff(knot) >= 0).all() and knot[-1] <= low + width
    weights = np.concatenate([knot, [low + width], low + width * rng.random(50)])
    line = np.searchsorted(knot, weights, side="right") - 1
    hidden = np.maximum(a + b * weights[:, None], 0.0)
    expected = np.maximum(bias + hidden @ rows, 0.0) @ last + 0.25
    np.testing.assert_allclose(height[line] + slope[line] * (weights - knot[line]), expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    num_groups=st.sampled_from([1, 3]),
    use_kind=st.booleans(),
    num_extras=st.sampled_from([0, 2]),
    mixed=st.booleans(),
    num_events=st.sampled_from([0, 1, 700]),
    sizes=st.sampled_from([(128, 128), (40,)]),
)
def test_every_event_gets_its_mean(seed, num_groups, use_kind, num_extras, mixed, num_events, sizes):
    network = random_network(seed % 5, num_groups, use_kind, num_extras, sizes)
    state = random_state(seed, 30, num_events, num_groups, num_extras, mixed)
    counts = state.pair.bincount(minlength=30)
    assert num_events < 700 or ((counts >= WORTH_LINES).any() and (counts < WORTH_LINES).any())
    with torch.no_grad():
        features = network.features(state)
        expected = network.mean(features, state)
    torch.testing.assert_close(FrozenHeads(network)(features, state), expected, rtol=0, atol=2e-6)


def test_other_depths_act_layer_by_layer():
    assert FrozenHeads.possible(random_network())
    assert FrozenHeads.possible(random_network(sizes=(16,)))
    assert not FrozenHeads.possible(random_network(sizes=(16, 16, 16)))
    assert not FrozenHeads.possible(random_network().double())


def test_lines_are_faster():
    """A guard, no measurement: in whole images they take an eighth of the time."""
    network, state = random_network(), random_state(3, 20, 8000)
    frozen, heads, ratios = network.head_features.frozen(20), FrozenHeads(network), []
    features = frozen.front.of_state(state)
    heads(features, state)
    for _ in range(9):
        began = time.process_time()
        heads(features, state)
        between = time.process_time()
        network.act(frozen, state)
        ratios.append((time.process_time() - between) / (between - began))
    assert statistics.median(ratios) > 2


def test_the_way_to_act_is_chosen_once_and_is_the_quickest():
    for network, way in ((random_network(), PiecewiseLinear), (random_network(sizes=(16, 16, 16)), LayerByLayer)):
        assert type(FrozenRule(network, 20)._act) is way
