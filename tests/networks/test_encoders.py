"""Poisson spike trains: rates within binomial bounds, independent draws, nothing but the given generator."""

import math

import numpy as np
import pytest
import torch

from snn_plasticity_gym.networks import encoders
from snn_plasticity_gym.networks.encoders import poisson_encode, poisson_train


def encode(image: torch.Tensor, num_steps: int, max_rate: float, seed: int = 0) -> torch.Tensor:
    return poisson_encode(image, num_steps, max_rate, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("max_rate", [0.01, 0.064, 0.5, 1.0])
def test_rates_are_intensity_times_max_rate(max_rate: float, seed: int) -> None:
    steps, image = 20_000, torch.tensor([0.0, 0.05, 0.3, 0.5, 0.0, 0.9, 1.0])
    counts = encode(image, steps, max_rate, seed).sum(dim=0)
    for count, intensity in zip(counts.tolist(), image.tolist(), strict=True):
        chance = intensity * max_rate
        assert abs(count - steps * chance) <= 4.5 * math.sqrt(steps * chance * (1 - chance))  # 4.5 sigma


def test_form() -> None:
    spikes = encode(torch.linspace(0, 1, 6), 9, 0.5)
    assert spikes.shape == (9, 6)
    assert spikes.dtype == torch.bool


def test_pixels_and_steps_are_independent() -> None:
    steps = 40_000
    spikes = encode(torch.tensor([0.5, 0.5, 0.5]), steps, 0.8, seed=3).double()  # p = 0.4
    bound = 4.5 * math.sqrt(0.16 * 0.84 / steps)
    for other in (1, 2):
        assert abs(float((spikes[:, 0] * spikes[:, other]).mean()) - 0.16) < bound
    for lag in (1, 2):
        assert abs(float((spikes[lag:] * spikes[:-lag]).mean()) - 0.16) < bound


def test_black_pixels_never_fire() -> None:
    image = torch.zeros(50)
    image[[3, 17, 49]] = torch.tensor([1e-3, 0.5, 1.0])
    spikes = encode(image, 2_000, 1.0)
    assert spikes.any(dim=0).nonzero().squeeze(1).tolist() == [3, 17, 49]


def test_a_black_image_is_silent() -> None:
    spikes = encode(torch.zeros(5), 7, 1.0)
    assert spikes.shape == (7, 5)
    assert not spikes.any()


def test_extreme_rates() -> None:
    white = torch.ones(20)
    assert not encode(white, 5_000, 0.0).any()
    assert encode(white, 5_000, 1.0).all()


@pytest.mark.parametrize(("half", "chance"), [(0, 0.0), (2**32 - 1, 1.0)])
def test_the_extremes_hold_for_the_extreme_random_numbers(monkeypatch, half: int, chance: float) -> None:
    monkeypatch.setattr(encoders, "_uniforms", lambda rng, count: np.full(count, half, np.uint32))
    assert (encode(torch.ones(3), 4, chance) == bool(chance)).all()


def test_a_seed_means_the_same_spikes() -> None:
    image = torch.rand(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(encode(image, 50, 0.5, seed=1), encode(image, 50, 0.5, seed=1))
    assert not torch.equal(encode(image, 50, 0.5, seed=1), encode(image, 50, 0.5, seed=2))


def test_a_second_presentation_is_drawn_anew() -> None:
    rng, image = np.random.default_rng(0), torch.full((40,), 0.5)
    assert not torch.equal(poisson_encode(image, 50, 0.5, rng), poisson_encode(image, 50, 0.5, rng))


def test_global_generators_are_neither_used_nor_moved() -> None:
    image = torch.full((10,), 0.5)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = encode(image, 20, 0.5)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    assert torch.equal(encode(image, 20, 0.5), first)


def test_the_image_is_left_as_it_was() -> None:
    image = torch.linspace(0, 1, 12)
    encode(image, 5, 0.5)
    assert torch.equal(image, torch.linspace(0, 1, 12))


def test_spikes_are_those_of_the_numbers_that_the_stream_gives():
    """Numbers of single precision are halves of what a generator makes; one may wait from what was drawn before."""
    one, other = np.random.default_rng(2), np.random.default_rng(2)
    for num_steps, size, draws in ((3, 5, 0), (4, 6, 1), (5, 3, 0), (1, 1, 1), (1, 1, 0), (2, 7, 1), (7, 9, 1)):
        pixels = np.linspace(0.1, 1.0, size, dtype=np.float32)
        for stream in (one, other):
            stream.integers(60_000, size=draws)
        expected = other.random((num_steps, size), dtype=np.float32) < pixels * np.float32(0.4)
        assert (poisson_train(pixels, num_steps, 0.4, one).dense().numpy() == expected).all()
        assert one.random(dtype=np.float32) == other.random(dtype=np.float32)
    assert one.random() == other.random()
