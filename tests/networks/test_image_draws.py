"""Images drawn in compiled loops are those of NumPy's generator and `poisson_train`, which ends in the same state."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from snn_plasticity_gym.networks.encoders import poisson_train
from snn_plasticity_gym.networks.image_draws import ImageSource, draw_images

STEPS, HEIGHT, WIDTH = 7, 5, 6


@pytest.fixture(scope="module")
def pictures():
    """Forty pictures of any grey, a third of it black; the first is black, and the second white."""
    rng = np.random.default_rng(9)
    grey = rng.integers(0, 256, (40, HEIGHT, WIDTH), dtype=np.uint8)
    grey[rng.random(grey.shape) < 0.3] = 0
    grey[0], grey[1] = 0, 255
    return grey


def source(pictures, pool, shift=0, seed=0, before=0, waits=None):
    """A source whose stream has given some halves before, or with a half that waits."""
    rng = np.random.default_rng(seed)
    rng.integers(60_000, size=before)
    if waits is not None:
        rng.bit_generator.state = {**rng.bit_generator.state, "has_uint32": 1, "uinteger": waits}
    return ImageSource(np.array(pool), pictures, shift, rng)


def drawn_by_numpy(one, count, chance):
    for _ in range(count):
        place = int(one.rng.integers(len(one.pool)))
        picture = torch.from_numpy(one.pictures[one.pool[place]])
        if one.shift:
            across, down = one.rng.integers(-one.shift, one.shift + 1, size=2).tolist()
            picture = F.pad(picture, (across, -across, down, -down))  # negative padding crops
        pixels = picture.numpy().reshape(-1) / np.float32(255.0)
        yield place, poisson_train(pixels, STEPS, chance, one.rng)


SOURCES = {
    "plain": {"pool": range(40)},
    "a half waits": {"pool": range(40), "before": 1},
    "one image": {"pool": [3]},
    "shifted": {"pool": range(30), "shift": 4, "before": 3},
    "a number refused": {"pool": range(37), "waits": 0},  # 2^32 is no multiple of 37
    "shifts refused, too": {"pool": [2], "shift": 3, "waits": 0},
    "black and white": {"pool": [0, 1]},
}


@pytest.mark.parametrize("chance", [0.07, 1.0])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [1, 60])
def test_they_are_what_numpy_draws(pictures, monkeypatch, count, threads, chance):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    ours, theirs = ([source(pictures, seed=k, **kind) for k, kind in enumerate(SOURCES.values())] for _ in range(2))
    for _ in range(2):  # the second time from where the first has left the streams
        place, start, neuron = draw_images(ours, count, STEPS, chance)
        assert start.shape == (len(ours), count, STEPS + 1) and start[0, 0, 0] == 0 and start[-1, -1, -1] == len(neuron)
        for s, one in enumerate(theirs):
            for m, (expected, train) in enumerate(drawn_by_numpy(one, count, chance)):
                begin, end = start[s, m, [0, -1]]
                assert place[s, m] == expected and (start[s, m] - begin).tolist() == train.start.tolist()
                assert neuron[begin:end].tolist() == train.neuron.tolist()
            assert ours[s].rng.bit_generator.state == one.rng.bit_generator.state


def test_pools_and_pictures_with_gaps_in_memory(pictures):
    wide = np.repeat(pictures, 2, axis=2)
    whole = draw_images([source(pictures, range(0, 40, 2))], 5, STEPS, 0.5)
    gaps = source(wide[:, :, ::2], range(40))
    parts = draw_images([gaps._replace(pool=gaps.pool[::2])], 5, STEPS, 0.5)
    assert all((one == other).all() for one, other in zip(whole, parts, strict=True)) and len(whole.neuron) > 20
