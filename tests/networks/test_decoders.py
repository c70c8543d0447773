"""Decoders: winners and ties, softmax by its own formula, signed sums, and which neurons stand for an action."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.decoders import LevelsDecoder, PopulationDecoder, SoftmaxDecoder, WinnerDecoder
from snn_plasticity_gym.utils.row_streams import RowUniforms


def uniforms(seeds: range | list[int]) -> RowUniforms:
    return RowUniforms([np.random.default_rng(seed) for seed in seeds])


def no_chance(columns: int) -> torch.Tensor:
    raise AssertionError("a deterministic decoder draws nothing")


COUNTS = torch.tensor([[1, 2, 0, 4, 0, 0], [0, 3, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0], [2, 0, 1, 1, 0, 2]])  # 3 groups of 2
WINNERS = [1, 0, None, None]  # group sums: 3 4 0 | 3 2 0 | 0 0 0 | 2 2 2


def test_the_group_with_most_spikes_wins():
    decoder = WinnerDecoder(3, 2)
    assert decoder.size == 6
    assert decoder.decode(COUNTS[:2], 10, uniforms(range(2))).tolist() == WINNERS[:2]


def test_ties_are_told():
    assert WinnerDecoder(3, 2).tied(COUNTS).tolist() == [False, False, True, True]


def test_ties_take_the_given_action():
    """MountainCar of Yegenoglu et al. (2022): strict arg-max between left and right, else no push."""
    push = WinnerDecoder(3, tie="none", tie_action=1)
    counts = torch.tensor([[5, 0, 3], [3, 0, 5], [5, 0, 5], [0, 0, 0], [5, 5, 0], [2, 5, 5], [1, 5, 4]])
    for last in (None, torch.zeros(7, dtype=torch.int64)):
        assert push.decode(counts, 100, no_chance, last).tolist() == [0, 2, 1, 1, 1, 1, 1]


def test_ties_repeat_the_last_action():
    decoder = WinnerDecoder(3, 2, tie="last", tie_action=2)
    last = torch.tensor([2, 2, 1, 0])
    assert decoder.decode(COUNTS, 10, no_chance, last).tolist() == [1, 0, 1, 0]
    assert decoder.decode(COUNTS, 10, no_chance).tolist() == [1, 0, 2, 2]  # there is none before the first


def test_random_ties_choose_evenly_among_the_tied():
    decoder, rows = WinnerDecoder(4), 6000
    counts = torch.tensor([[3, 1, 3, 3]]).expand(rows, 4)
    chosen = decoder.decode(counts, 10, uniforms(range(rows))).bincount(minlength=4)
    assert chosen[1] == 0
    for count in (chosen[0], chosen[2], chosen[3]):
        assert abs(count - rows / 3) < 4.5 * math.sqrt(rows * 2 / 9)


@pytest.mark.parametrize(("number", "action"), [(0.0, 1), (0.4999, 1), (0.5, 3), (1 - 2**-24, 3)])
def test_random_ties_by_hand(number, action):
    counts = torch.tensor([[0, 2, 1, 2]])
    assert WinnerDecoder(4).decode(counts, 10, lambda columns: torch.full((1, columns), number)).tolist() == [action]


@given(st.lists(st.integers(0, 3), min_size=6, max_size=6), st.floats(0, 1 - 2**-24, width=32))
def test_a_winner_fired_most_whatever_the_draw(counts, number):
    table = torch.tensor([counts])
    action = WinnerDecoder(3, 2).decode(table, 5, lambda columns: torch.full((1, columns), number))
    votes = table.view(3, 2).sum(dim=1)
    assert votes[action] == votes.max()


def test_softmax_by_its_formula():
    decoder = SoftmaxDecoder(3, 2, beta=0.7)
    weights = [math.exp(0.7 * n) for n in (3, 4, 0)]
    assert decoder.chances(COUNTS)[0].tolist() == pytest.approx([w / sum(weights) for w in weights])
    rows = 6000
    chosen = decoder.decode(COUNTS[:1].expand(rows, 6), 10, uniforms(range(rows))).bincount(minlength=3)
    for count, weight in zip(chosen.tolist(), weights, strict=True):
        p = weight / sum(weights)
        assert abs(count - rows * p) < 4.5 * math.sqrt(rows * p * (1 - p))


def test_softmax_at_the_ends():
    first, last = (lambda columns, u=u: torch.full((1, columns), u) for u in (0.0, 1 - 2**-24))
    assert SoftmaxDecoder(3).decode(torch.tensor([[1, 1, 1]]), 5, first).tolist() == [0]
    assert SoftmaxDecoder(3).decode(torch.tensor([[1, 1, 1]]), 5, last).tolist() == [2]
    huge = torch.tensor([[0, 100_000, 0]])
    assert SoftmaxDecoder(3).decode(huge, 5, last).tolist() == SoftmaxDecoder(3).decode(huge, 5, first).tolist() == [1]
    assert SoftmaxDecoder(3, beta=0).chances(huge).tolist() == [pytest.approx([1 / 3] * 3)]


def test_groups_of_an_action():
    groups = WinnerDecoder(3, 2).groups(torch.tensor([1, 0, 2]))
    assert groups.int().tolist() == [[0, 0, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]]
    assert torch.equal(SoftmaxDecoder(3, 2).groups(torch.tensor([1, 0, 2])), groups)


def test_levels_are_chosen_by_index():
    forces = (-3.0, -1.5, 0.0, 1.5, 3.0)
    decoder = LevelsDecoder(WinnerDecoder(5, tie="last", tie_action=2), forces)
    counts = torch.tensor([[0, 0, 0, 4, 0], [0, 0, 0, 0, 0]])
    last = torch.tensor([[0.0], [-1.5]])
    assert decoder.decode(counts, 5, no_chance).tolist() == [[1.5], [0.0]]
    assert decoder.decode(counts, 5, no_chance, last).tolist() == [[1.5], [-1.5]]
    assert decoder.groups(torch.tensor([[3.0], [-1.5]])).int().tolist() == [[0, 0, 0, 0, 1], [0, 1, 0, 0, 0]]


def test_levels_of_several_dimensions():
    decoder = LevelsDecoder(SoftmaxDecoder(2, 3, beta=50.0), [[0.0, 1.0], [1.0, -1.0]])
    action = decoder.decode(torch.tensor([[0, 0, 0, 1, 1, 1]]), 5, uniforms([0]))
    assert action.tolist() == [[1.0, -1.0]]
    assert decoder.groups(action).int().tolist() == [[0, 0, 0, 1, 1, 1]]


def test_signed_sums_by_hand():
    decoder = PopulationDecoder([-3.0, 0.0], [3.0, 10.0], 4)
    counts = torch.tensor([[5, 3, 1, 1, 0, 0, 2, 4]])  # T = 10: (8 - 2) / 20 = 0.3 and (0 - 6) / 20 = -0.3
    assert decoder.size == 8
    assert decoder.decode(counts, 10, no_chance).tolist() == [pytest.approx([0.9, 3.5])]


def test_the_sum_is_that_of_the_published_formula():
    rng, steps, size = np.random.default_rng(0), 50, 6
    spikes = rng.random((3, steps, 2 * size)) < 0.3  # (R, T, N)
    decoder = PopulationDecoder([-1.0, -1.0], [1.0, 1.0], size)
    for row in range(3):
        for dimension in range(2):
            total = 0.0
            for step in range(steps):
                for n in range(size):
                    total += (1 if n < size / 2 else -1) * spikes[row, step, dimension * size + n]
            action = decoder.decode(torch.from_numpy(spikes[row : row + 1].sum(axis=1)), steps, no_chance)
            assert action[0, dimension] == pytest.approx(total / steps / (size / 2), abs=1e-6)


@pytest.mark.parametrize(("low", "high"), [(-0.4, 0.4), (0.1, 0.7), (-1e-3, 3e5)])
def test_the_ends_are_reached_exactly_and_never_passed(low, high):
    decoder = PopulationDecoder(low, high, 2, gain=3.0)
    ends = decoder.decode(torch.tensor([[7, 0], [0, 7], [3, 0]]), 7, no_chance).squeeze(1)
    assert ends.tolist() == [np.float32(high), np.float32(low), np.float32(high)]  # 3 of 7 with gain 3 is beyond


def test_the_gain_is_a_slope():
    counts = torch.tensor([[2, 1]])
    plain, steep = (PopulationDecoder(-1, 1, 2, gain=g).decode(counts, 10, no_chance) for g in (1.0, 4.0))
    assert plain.item() == pytest.approx(0.1) and steep.item() == pytest.approx(0.4)


def test_silence_is_the_middle_of_the_range():
    assert PopulationDecoder([-3.0, 0.0], [3.0, 10.0], 2).decode(torch.zeros(1, 4), 5, no_chance).tolist() == [[0, 5]]


def test_the_half_that_pulled():
    decoder = PopulationDecoder([-1.0, 0.0], [1.0, 10.0], 4)
    action = torch.tensor([[0.5, 2.0], [-0.1, 5.0], [0.0, 9.0]])
    assert decoder.groups(action).int().tolist() == [
        [1, 1, 0, 0, 0, 0, 1, 1],
        [0, 0, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 0, 0],
    ]


ALL = {
    "random": WinnerDecoder(3, 4),
    "none": WinnerDecoder(3, 4, tie="none"),
    "last": WinnerDecoder(3, 4, tie="last"),
    "softmax": SoftmaxDecoder(3, 4),
    "levels": LevelsDecoder(SoftmaxDecoder(3, 4), [[0.0, 0.1], [1.0, 0.2], [2.0, 0.3]]),
    "population": PopulationDecoder([-1.0, 0.0, -0.3], [1.0, 0.1, 0.4], 4),
}


@pytest.mark.parametrize("name", ALL)
def test_other_rows_have_no_influence(name):
    decoder, rows = ALL[name], 33
    counts = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (rows, 12)))
    last = decoder.decode(counts.flip(0), 5, uniforms(range(rows)))
    together = decoder.decode(counts, 5, uniforms(range(rows)), last)
    for row in range(rows):
        alone = decoder.decode(counts[row : row + 1], 5, uniforms([row]), last[row : row + 1])
        assert torch.equal(alone[0], together[row])
        assert torch.equal(decoder.groups(alone)[0], decoder.groups(together)[row])


def test_everything_lives_on_the_device_that_is_given():
    device = torch.device("meta")  # it has no numbers, but refuses tensors of other devices
    counts, draw = torch.empty(4, 12, device=device), lambda columns: torch.empty(4, columns, device=device)
    levels = LevelsDecoder(WinnerDecoder(3, 4, tie="last"), [[0.0, 0.1], [1.0, 0.2], [2.0, 0.3]], device=device)
    population = PopulationDecoder([-1.0, 0.0, -0.3], [1.0, 0.1, 0.4], 4, device=device)
    plain = [ALL[name] for name in ("random", "none", "last", "softmax")]  # these hold no tensors
    for decoder in (*plain, levels, population):
        action = decoder.decode(counts, 5, draw)
        assert action.device == decoder.groups(decoder.decode(counts, 5, draw, action)).device == device


@pytest.mark.parametrize("name", ALL)
def test_no_rows_are_no_problem(name):
    actions = ALL[name].decode(torch.zeros(0, 12), 5, uniforms([]))
    assert len(actions) == 0
    assert ALL[name].groups(actions).shape == (0, 12)


@pytest.mark.parametrize("name", ALL)
def test_counts_may_be_a_part_of_a_larger_table(name):
    counts = torch.from_numpy(np.random.default_rng(0).integers(0, 5, (6, 20)))
    part = ALL[name].decode(counts[:, 3:15], 5, uniforms(range(6)))
    assert torch.equal(part, ALL[name].decode(counts[:, 3:15].contiguous(), 5, uniforms(range(6))))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WinnerDecoder(0), "num_actions must be a whole number of at least 1, got 0"),
        (lambda: WinnerDecoder(2, 0), "group_size must be a whole number of at least 1, got 0"),
        (lambda: WinnerDecoder(2, tie="rand"), "unknown tie 'rand'; did you mean 'random'?"),
        (lambda: WinnerDecoder(2, tie="none", tie_action=2), "tie_action must be one of the actions 0 to 1, got 2"),
        (lambda: SoftmaxDecoder(2, beta=-1), "beta must be at least 0, got -1"),
        (lambda: LevelsDecoder(WinnerDecoder(2), [1.0]), "levels must be 2, one for each action, got 1"),
        (lambda: LevelsDecoder(WinnerDecoder(2), [1.0, 1.0]), "levels must differ from each other"),
        (lambda: LevelsDecoder(WinnerDecoder(2), [1.0, math.nan]), "levels must be finite numbers"),
        (lambda: LevelsDecoder(WinnerDecoder(2), "ab"), "levels must be numbers"),
        (lambda: PopulationDecoder(0, 1, 3), "group_size must be even, one half for each sign, got 3"),
        (lambda: PopulationDecoder(1, 1, 2), "high must be above low in each dimension"),
        (lambda: PopulationDecoder(0, math.inf, 2), "high must be finite numbers"),
        (lambda: PopulationDecoder(0, 1, 2, gain=0), "gain must be positive, got 0"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(message)
