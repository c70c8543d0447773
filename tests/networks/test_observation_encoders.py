"""Encoders: which field is active, when it fires, how high bells are, and that rows have no influence on each other."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.observation_encoders import (
    CurrentEncoder,
    CurrentInput,
    Encoder,
    GaussianPopulation,
    OneHotFields,
    RateEncoder,
)
from snn_plasticity_gym.networks.receptive_fields import equal_edges, normal_edges
from snn_plasticity_gym.utils.row_streams import RowUniforms

MOUNTAIN_CAR = equal_edges([-1.2, -0.07], [0.6, 0.07], 30)


def uniforms(seeds: range | list[int]) -> RowUniforms:
    return RowUniforms([np.random.default_rng(seed) for seed in seeds])


def no_chance(columns: int) -> torch.Tensor:
    raise AssertionError("a deterministic encoder draws nothing")


def thrown(number: float, rows: int = 1):
    return lambda columns: torch.full((rows, columns), number)


def test_fields_are_those_of_digitize_within_the_range():
    values = np.random.default_rng(0).uniform([-1.2, -0.07], [0.6, 0.07], size=(500, 2)).astype(np.float32)
    expected = [np.digitize(values[:, d], MOUNTAIN_CAR[d].astype(np.float32)) for d in range(2)]
    fields = OneHotFields(MOUNTAIN_CAR, rate=1.0).fields(torch.from_numpy(values))
    assert fields.tolist() == np.stack(expected, axis=1).tolist()
    assert fields.min() == 0 and fields.max() == 29  # both ends were visited


def test_the_left_wall_is_seen_on_the_left():
    """In single precision -1.2 and -0.07 lie below the range; the published code then takes the last field."""
    walls = torch.tensor([[-1.2, -0.07], [0.6, 0.07]])
    assert walls[0, 0].item() < -1.2  # the case in point
    assert OneHotFields(MOUNTAIN_CAR, rate=1.0).fields(walls).tolist() == [[0, 0], [29, 29]]


@pytest.mark.parametrize("value", [-1e30, -math.inf, -2.0])
def test_beyond_the_ends_the_end_fields_are_active(value):
    encoder = OneHotFields(MOUNTAIN_CAR, rate=1.0)
    assert encoder.fields(torch.tensor([[value, -value]])).tolist() == [[0, 29]]


def test_a_value_on_an_edge_belongs_to_the_field_above():
    encoder = OneHotFields([[-1.0, 0.0, 2.0]], rate=1.0)
    values = torch.tensor([[-1.0001], [-1.0], [-0.5], [0.0], [1.999], [2.0], [3.0]])
    assert encoder.fields(values).squeeze(1).tolist() == [0, 1, 1, 2, 2, 3, 3]


def test_one_field_is_always_active():
    encoder = OneHotFields(np.empty((2, 0)), rate=1.0)
    assert encoder.size == 2
    assert encoder.activation(torch.randn(5, 2)).tolist() == [[1.0, 1.0]] * 5


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=4, max_size=4))
def test_just_one_neuron_of_each_observation_is_active(values):
    edges = normal_edges([-0.00646, -0.03634, 0.00529, 0.04752], [1.0, 0.5399, 0.0913, 0.82071], 20)
    active = OneHotFields(edges, period=5).activation(torch.tensor([values]))
    assert active.shape == (1, 80)
    assert active.view(4, 20).sum(dim=1).tolist() == [1.0] * 4


def test_the_clock_ticks_for_the_active_neuron_alone():
    encoder, observation = OneHotFields([[0.0]], period=3), torch.tensor([[-1.0], [1.0]])
    trains = torch.stack([encoder.spikes(observation, step, no_chance) for step in range(7)])  # (T, R, 2)
    ticks = [True, False, False, True, False, False, True]
    assert trains[:, 0].tolist() == [[tick, False] for tick in ticks]
    assert trains[:, 1].tolist() == [[False, tick] for tick in ticks]


@pytest.mark.parametrize("period", [1, 6, 1.5, 20 / 0.6])
def test_the_clock_keeps_its_period_in_the_long_run(period):
    encoder, observation = OneHotFields([[0.0]], period=period), torch.tensor([[1.0]])
    steps = [step for step in range(1000) if encoder.spikes(observation, step, no_chance)[0, 1]]
    assert steps == [math.ceil(k * period - 1e-9) for k in range(len(steps))]
    assert len(steps) == math.floor(999 / period) + 1


@pytest.mark.parametrize("period", [1, 4, 2.5])
def test_rows_may_be_at_different_steps(period):
    encoder, observation = OneHotFields([[0.0]], period=period), torch.ones(9, 1)
    together = encoder.spikes(observation, torch.arange(9), no_chance)
    alone = [encoder.spikes(observation[:1], step, no_chance) for step in range(9)]
    assert torch.equal(together, torch.cat(alone))


def test_chance_fires_the_active_neuron_at_its_rate():
    encoder, observation = OneHotFields([[0.0], [0.0]], rate=0.3), torch.tensor([[-1.0, 1.0]])
    draw, steps = uniforms([0]), 20_000
    counts = sum(encoder.spikes(observation, step, draw)[0].int() for step in range(steps))
    assert counts[1] == counts[2] == 0
    for count in (counts[0], counts[3]):
        assert abs(count - 0.3 * steps) < 4.5 * math.sqrt(0.21 * steps)


def test_bells_by_hand():
    encoder = GaussianPopulation([0.0], [2.0], 3, width=0.5, floor=0.01)
    expected = [math.exp(-((0.3 - c) ** 2) / (2 * 0.25)) for c in (0.0, 1.0)] + [0.01]  # the third is e^-5.78 < 0.01
    assert encoder.activation(torch.tensor([[0.3]]))[0].tolist() == pytest.approx(expected, rel=1e-6)


def test_widths_are_in_units_of_the_spacing():
    narrow, wide = (GaussianPopulation([0.0, 0.0], [4.0, 40.0], 5, width=w) for w in ([0.5, 0.5], 0.5))
    activation = narrow.activation(torch.tensor([[1.5, 15.0]])).view(2, 5)
    assert torch.allclose(activation[0], activation[1])
    assert activation[0, 1] == pytest.approx(math.exp(-0.5))  # half a spacing is one deviation
    assert torch.equal(activation.flatten(), wide.activation(torch.tensor([[1.5, 15.0]]))[0])


def test_the_population_code_of_spikepropamine():
    encoder = GaussianPopulation(-1.0, 1.0, 6, sharpness=15.0, floor=0.05)
    x = 0.37
    centres = [-1 + 2 * m / 5 for m in range(6)]
    expected = [max(0.05, min(math.exp(-15 * (c - x) ** 2), 1)) for c in centres]
    assert encoder.activation(torch.tensor([[x]]))[0].tolist() == pytest.approx(expected, rel=1e-5)


def test_rates_by_hand():
    one = RateEncoder([-1.0, 0.0], [3.0, 10.0])
    assert one.activation(torch.tensor([[0.0, 4.0], [-5.0, 20.0]])).tolist() == [
        pytest.approx([0.25, 0.4]),
        [0.0, 1.0],
    ]
    two = RateEncoder([-2.0, -1.0], [1.0, 4.0], signed=True)
    assert two.activation(torch.tensor([[1.0, -1.0], [-9.0, 0.0]])).tolist() == [
        [0.5, 0.0, 0.0, 0.25],
        [0.0, 1.0, 0.0, 0.0],
    ]


@pytest.mark.parametrize(
    "encoder",
    [
        GaussianPopulation(-1.0, 1.0, 5, floor=0.1, max_rate=0.4),
        RateEncoder(-1.0, 1.0, signed=True, max_rate=0.4),
        RateEncoder(-1.0, 1.0),
    ],
)
def test_spikes_come_at_max_rate_times_activation(encoder):
    rows, x = 20_000, 0.3
    rate = (0.4 if encoder.size > 1 else 1.0) * encoder.activation(torch.tensor([[x]]))[0]
    draw = RowUniforms([np.random.default_rng(0)])
    chance = draw(rows * encoder.size).view(rows, encoder.size)
    spikes = encoder.spikes(torch.full((rows, 1), x), 0, lambda columns: chance[:, :columns])
    assert spikes.dtype == torch.bool
    assert ((spikes.sum(dim=0) - rows * rate).abs() <= 4.5 * (rows * rate * (1 - rate)).sqrt() + 1e-3).all()


def test_chances_of_0_and_1_hold_for_the_extreme_random_numbers():
    top, bottom = thrown(1 - 2**-24), thrown(0.0)
    assert RateEncoder(0, 1).spikes(torch.tensor([[1.0]]), 0, top).all()
    assert not RateEncoder(0, 1).spikes(torch.tensor([[0.0]]), 0, bottom).any()
    assert OneHotFields([[0.0]], rate=1.0).spikes(torch.tensor([[1.0]]), 0, top).tolist() == [[False, True]]
    assert not OneHotFields([[0.0]], rate=0.0).spikes(torch.tensor([[1.0]]), 0, bottom).any()


def test_currents_by_hand():
    fields = OneHotFields(MOUNTAIN_CAR, rate=1.0)
    currents = CurrentEncoder(fields, amplitude=40_000.0).currents(torch.tensor([[-1.2, 0.0]]), 3)
    assert currents.shape == (1, 60)
    assert currents[0].nonzero().squeeze(1).tolist() == [0, 30 + 15]
    assert currents.max() == 40_000
    both_signs = CurrentEncoder(RateEncoder(-1.0, 1.0), amplitude=6.0, offset=-3.0)
    assert both_signs.currents(torch.tensor([[-1.0], [0.5], [1.0]]), 0).tolist() == [[-3.0], [1.5], [3.0]]


def test_the_two_kinds_are_told_apart():
    fields = OneHotFields([[0.0]], rate=1.0)
    assert isinstance(fields, Encoder) and not isinstance(fields, CurrentInput)
    currents = CurrentEncoder(fields, amplitude=1.0)
    assert isinstance(currents, CurrentInput) and not isinstance(currents, Encoder)


ALL = {
    "clock": OneHotFields(normal_edges([0.0] * 3, [1.0] * 3, 7), period=2),
    "chance": OneHotFields(normal_edges([0.0] * 3, [1.0] * 3, 7), rate=0.5),
    "bells": GaussianPopulation([-2.0] * 3, [2.0] * 3, 7, floor=0.05),
    "rate": RateEncoder([-2.0] * 3, [2.0] * 3),
    "signed": RateEncoder([-2.0] * 3, [2.0] * 3, signed=True),
}


@pytest.mark.parametrize("name", ALL)
def test_other_rows_have_no_influence(name):
    encoder, rows = ALL[name], 33
    observation = torch.randn(rows, 3, generator=torch.Generator().manual_seed(0))
    draw = uniforms(range(rows))
    together = torch.stack([encoder.spikes(observation, step, draw) for step in range(20)])  # (T, R, N)
    assert together.any()
    for row in (0, 8, 32):
        draw = uniforms([row])
        alone = torch.stack([encoder.spikes(observation[row : row + 1], step, draw) for step in range(20)])
        assert torch.equal(alone[:, 0], together[:, row])
        assert torch.equal(encoder.activation(observation)[row], encoder.activation(observation[row : row + 1])[0])


def test_everything_lives_on_the_device_that_is_given():
    device = torch.device("meta")  # it has no numbers, but refuses tensors of other devices
    observation, draw = torch.empty(4, 2, device=device), lambda columns: torch.empty(4, columns, device=device)
    fields = OneHotFields([[0.0], [1.0]], rate=0.5, device=device)
    clock = OneHotFields([[0.0], [1.0]], period=2, device=device)
    bells = GaussianPopulation([0.0, 0.0], [1.0, 2.0], 3, device=device)
    for encoder in (fields, clock, bells, RateEncoder([0.0, 0.0], [1.0, 1.0], signed=True, device=device)):
        for step in (3, torch.arange(4)):
            assert encoder.spikes(observation, step, draw).device == device
    assert CurrentEncoder(bells, amplitude=2.0).currents(observation, 0).device == device


@pytest.mark.parametrize("name", ALL)
def test_no_rows_are_no_problem(name):
    spikes = ALL[name].spikes(torch.empty(0, 3), 0, uniforms([]))
    assert spikes.shape == (0, ALL[name].size)


@pytest.mark.parametrize("name", ALL)
def test_observations_of_another_world_are_refused(name):
    with pytest.raises(ConfigError, match=r"this encoder reads 3 observations of each lifetime, got shape \(2, 1\)"):
        ALL[name].spikes(torch.zeros(2, 1), 0, uniforms([0, 1]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OneHotFields([[0.0]]), "give either a period or a rate of the active neuron, got None and None"),
        (lambda: OneHotFields([[0.0]], period=2, rate=0.1), "give either a period or a rate"),
        (lambda: OneHotFields([[0.0]], period=0.5), "period must be at least 1, got 0.5"),
        (lambda: OneHotFields([[0.0]], period="2"), "period must be a finite number, got '2'"),
        (lambda: OneHotFields([[0.0]], rate=1.5), "rate must be in [0, 1], got 1.5"),
        (lambda: OneHotFields([0.0], rate=1.0), "edges must have the shape (observations, fields - 1), got (1,)"),
        (lambda: OneHotFields([[1.0, 0.0]], rate=1.0), "edges of each observation must be finite numbers"),
        (lambda: OneHotFields([[math.nan]], rate=1.0), "edges of each observation must be finite numbers"),
        (lambda: GaussianPopulation(0, 1, 3, width=1, sharpness=1), "give a width or a sharpness, not both"),
        (lambda: GaussianPopulation(0, 1, 3, width=0), "width must be positive, got 0"),
        (lambda: GaussianPopulation(0, 1, 3, floor=-0.1), "floor must be in [0, 1], got -0.1"),
        (lambda: GaussianPopulation(0, 1, 1), "fields must be a whole number of at least 2, got 1"),
        (lambda: RateEncoder(1, 0), "high must be above low"),
        (lambda: RateEncoder(0, 1, max_rate=2), "max_rate must be in [0, 1], got 2"),
        (lambda: CurrentEncoder(RateEncoder(0, 1), amplitude=math.inf), "amplitude must be a finite number, got inf"),
        (lambda: CurrentEncoder(object(), amplitude=1.0), "the code of currents needs a method `activation`"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(message)
