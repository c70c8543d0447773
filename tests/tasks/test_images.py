"""What lifetimes are shown: pools, presentations and their input spikes are functions of the seed."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.config.environments import Unsup1Config
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.tasks.datasets import ImageSet
from snn_plasticity_gym.tasks.images import Stimuli, draw, largest_pool, moved, pool_length

NUM_IMAGES = 30


@pytest.fixture(scope="module")
def images():
    """Images that name themselves: pixel k of image k is white, pixel 100 + k half grey, the rest black."""
    pictures = torch.zeros(NUM_IMAGES, 784, dtype=torch.uint8)
    for k in range(NUM_IMAGES):
        pictures[k, k] = 255
        pictures[k, 100 + k] = 51  # a fifth of white
    return ImageSet(pictures.view(-1, 28, 28), torch.arange(NUM_IMAGES) % 10)


def config(pool_size=8, num_steps=10, max_rate=1.0, **judged):
    settings = {"plastic_episodes": 1} if judged else {}
    return Unsup1Config(
        image_pool=pool_size, num_steps=num_steps, history_length=1, max_rate=max_rate, **settings, **judged
    )


def stimuli(images, seed=0, **settings):
    return Stimuli(images, config(**settings), np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("asked", "length"), [(8, 8), (1, 1), (NUM_IMAGES, NUM_IMAGES), (0, 30), (31, 30), (10**9, 30)]
)
def test_a_pool_holds_what_was_asked_for_and_all_images_at_most(images, asked, length):
    assert pool_length(images, config(asked)) == largest_pool(images, config(asked)) == length
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


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 3), min_size=1), st.sets(st.integers(0, 3))), max_size=12),
    st.integers(1, 4),
)
def test_lifetimes_that_share_a_stream_see_what_each_would_see_by_itself(images, calls, plastic):
    """Lifetimes 0 to 2 begin together, 3 with another seed; each call shows some an image and lets some grow older."""
    source, other = (stimuli(images, seed=seed, heldout_pool=5, heldout_shift=1) for seed in (3, 4))
    shared, alone = [source, source, source, other], [source.copy(), source.copy(), source.copy(), other.copy()]
    ages, ended = [0] * 4, set()
    for rows, older in [({0, 1, 2, 3}, {0, 1, 2, 3}), *calls]:
        rows = sorted(rows)
        judged = [row for row in rows if ages[row] == plastic and row not in ended]
        ended.update(judged)
        for row in judged:
            alone[row].end_plasticity()
        for row, shown in zip(rows, draw(shared, rows, ages, judged), strict=True):
            expected = alone[row].draw()
            assert shown[:3] == expected[:3] and torch.equal(shown.spikes, expected.spikes)
        ages = [age + (row in older) for row, age in enumerate(ages)]


def test_lifetimes_that_go_along_with_each_other_draw_once(images, monkeypatch):
    source, calls = stimuli(images), []
    right = Stimuli.draw
    monkeypatch.setattr(Stimuli, "draw", lambda self: calls.append(self) or right(self))
    shared = [source] * 3
    for age in range(4):
        draw(shared, [0, 1, 2], [age] * 3, [])
    assert calls == [source] * 4
    draw(shared, [0, 2], [4] * 3, [])
    assert shared[0] is shared[2] is not shared[1] and len(calls) == 5


def test_the_global_random_generators_are_left_alone(images):
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    stimuli(images).draw()
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


@given(pool_size=st.integers(0, 40), judged=st.integers(1, NUM_IMAGES - 1), seed=st.integers(0, 2**32))
def test_images_to_be_judged_by_are_none_of_those_that_were_learned_from(images, pool_size, judged, seed):
    source = stimuli(images, seed=seed, pool_size=pool_size, heldout_pool=judged, num_steps=1)
    learned_from = source.pool
    assert len(learned_from) == min(pool_size or NUM_IMAGES, NUM_IMAGES - judged)
    source.end_plasticity()
    assert len(np.unique(source.pool)) == len(source.pool) == judged
    assert not set(source.pool) & set(learned_from)
    settings = config(pool_size, heldout_pool=judged)
    assert largest_pool(images, settings) == max(len(learned_from), judged)


def test_a_judged_pool_that_leaves_nothing_to_learn_from_is_refused(images):
    with pytest.raises(ConfigError, match=r"heldout_pool must be less than the 30 images .*, got 30"):
        stimuli(images, heldout_pool=NUM_IMAGES)


def test_without_a_judged_pool_the_images_stay(images):
    source = stimuli(images, heldout_shift=2)
    before = source.pool
    source.end_plasticity()
    assert (source.pool == before).all()


def test_images_are_moved_when_they_are_judged_and_not_before(images):
    source = stimuli(images, pool_size=1, num_steps=1, heldout_shift=1)
    pixel = int(source.pool[0])
    row, column = divmod(pixel, 28)
    assert {tuple(source.draw().spikes.nonzero().unique(dim=0)[:, 1].tolist()) for _ in range(20)} <= {
        (pixel,),
        (pixel, 100 + pixel),
    }
    source.end_plasticity()
    seen = [divmod(int(fired), 28) for _ in range(300) for fired in source.draw().spikes[0].nonzero().flatten()]
    grey_row, grey_column = divmod(100 + pixel, 28)
    grey = {place for place in seen if abs(place[0] - grey_row) <= 1 and abs(place[1] - grey_column) <= 1}
    assert set(seen) - grey == {
        (row + down, column + across)
        for down in (-1, 0, 1)
        for across in (-1, 0, 1)
        if 0 <= row + down < 28 and 0 <= column + across < 28
    }


@given(across=st.integers(-27, 27), down=st.integers(-27, 27), seed=st.integers(0, 1000))
def test_a_moved_picture_is_the_picture_looked_up_elsewhere(across, down, seed):
    picture = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (28, 28), dtype=np.uint8))
    expected = torch.zeros_like(picture)
    for row in range(28):
        for column in range(28):
            if 0 <= row - down < 28 and 0 <= column - across < 28:
                expected[row, column] = picture[row - down, column - across]
    assert torch.equal(moved(picture, across, down), expected)


@pytest.mark.parametrize("ended", [False, True])
def test_a_stream_goes_on_from_its_state(images, ended):
    source, other = (stimuli(images, seed=seed, heldout_pool=4, heldout_shift=3) for seed in (3, 4))
    source.draw()
    if ended:
        source.end_plasticity()
    source.draw()
    other.load_state_dict(pickle.loads(pickle.dumps(source.state_dict())))
    for _ in range(5):
        one, two = source.draw(), other.draw()
        assert one[:3] == two[:3] and torch.equal(one.spikes, two.spikes)
