"""What lifetimes are shown: pools, presentations and their input spikes are functions of the seed."""

import pickle

import numpy as np
import pytest
import torch

from snn_plasticity_gym.data import ImageSet
from snn_plasticity_gym.envs.stimuli import Stimuli, pool_length

NUM_IMAGES = 30


@pytest.fixture(scope="module")
def images():
    """Images that name themselves: pixel k of image k is white, pixel 100 + k half grey, the rest black."""
    pictures = torch.zeros(NUM_IMAGES, 784, dtype=torch.uint8)
    for k in range(NUM_IMAGES):
        pictures[k, k] = 255
        pictures[k, 100 + k] = 51  # a fifth of white
    return ImageSet(pictures.view(-1, 28, 28), torch.arange(NUM_IMAGES) % 10)


def stimuli(images, pool_size=8, num_steps=10, max_rate=1.0, seed=0):
    return Stimuli(images, pool_size, num_steps, max_rate, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("asked", "length"), [(8, 8), (1, 1), (NUM_IMAGES, NUM_IMAGES), (0, 30), (31, 30), (10**9, 30)]
)
def test_a_pool_holds_what_was_asked_for_and_all_images_at_most(images, asked, length):
    assert pool_length(images, asked) == length
    pool = stimuli(images, pool_size=asked).pool
    assert pool.shape == (length,)
    assert len(np.unique(pool)) == length  # no image twice
    assert pool.min() >= 0 and pool.max() < NUM_IMAGES


def test_lifetimes_have_pools_of_their_own(images):
    pools = {tuple(stimuli(images, seed=seed).pool) for seed in range(5)}
    assert len(pools) == 5


def test_place_image_label_and_spikes_belong_together(images):
    source = stimuli(images)
    for _ in range(20):
        shown = source.draw()
        assert source.pool[shown.place] == shown.image
        assert shown.label == shown.image % 10
        assert shown.spikes.shape == (10, 784) and shown.spikes.dtype == torch.bool
        assert shown.spikes[:, shown.image].all()  # white fires every step at max_rate 1
        fired = set(shown.spikes.any(dim=0).nonzero().flatten().tolist())
        assert fired <= {shown.image, 100 + shown.image}  # black never fires


def test_spikes_come_at_intensity_times_max_rate(images):
    shown = stimuli(images, num_steps=20_000, max_rate=0.5).draw()
    rates = shown.spikes.float().mean(dim=0)
    assert rates[shown.image] == pytest.approx(0.5, abs=0.02)  # 5 standard deviations
    assert rates[100 + shown.image] == pytest.approx(0.1, abs=0.011)


def test_nothing_fires_at_rate_zero(images):
    assert not stimuli(images, max_rate=0.0).draw().spikes.any()


def test_every_image_of_the_pool_comes_up_evenly_and_comes_again(images):
    source = stimuli(images, pool_size=5, num_steps=1)
    counts = np.bincount([source.draw().place for _ in range(1000)], minlength=5)
    assert counts.shape == (5,)
    assert (np.abs(counts - 200) < 60).all()  # 4.7 standard deviations


def test_presentations_of_one_image_have_different_spikes(images):
    source = stimuli(images, pool_size=1, num_steps=100, max_rate=0.5)
    assert not torch.equal(source.draw().spikes, source.draw().spikes)


def test_presentations_are_a_function_of_the_seed(images):
    def run(seed, source=None):
        source = source or stimuli(images, seed=seed, max_rate=0.5)
        return [source.draw() for _ in range(6)]

    def equal(one, other):
        return all(a[:3] == b[:3] and torch.equal(a.spikes, b.spikes) for a, b in zip(one, other, strict=True))

    assert equal(run(3), run(3))
    assert not equal(run(3), run(4))
    half_way = stimuli(images, seed=3, max_rate=0.5)
    before = [half_way.draw() for _ in range(2)]
    after = [pickle.loads(pickle.dumps(half_way)).draw() for _ in range(1)]
    assert equal(before + after, run(3)[:3])


def test_the_global_random_generators_are_left_alone(images):
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    stimuli(images).draw()
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)
