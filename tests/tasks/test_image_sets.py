"""Pickles of data sets: they name where the images come from, and hold none."""

import copy
import dataclasses
import pickle

import gymnasium
import numpy as np
import pytest
import torch
from processes import forked

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.tasks import datasets
from snn_plasticity_gym.tasks.datasets import ImageSet, load_dataset, register_dataset

DIGITS = load_dataset("digits")  # 1.4 MB of images
LABELS = np.repeat([4, 7, 9], 20)
IMAGES = np.random.default_rng(0).integers(0, 256, size=(60, 40, 50)).astype(np.uint8)  # 120 kB


@pytest.fixture(params=["digits", "small digits", "registered", "file"])
def dataset(request, tmp_path):
    if request.param == "registered":
        register_dataset("own", IMAGES, LABELS)
        return load_dataset("own")
    if request.param == "file":
        np.savez(tmp_path / "own.npz", images=IMAGES, labels=LABELS)
        return load_dataset(str(tmp_path / "own.npz"), image_size=20)
    return load_dataset("digits", image_size=14 if request.param == "small digits" else None)


def test_a_data_set_comes_back_as_itself(dataset):
    content = pickle.dumps(dataset)
    assert len(content) < 500 and pickle.loads(content) is dataset and copy.deepcopy(dataset) is dataset


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_its_parts_and_pieces_of_them_are_places_in_it(dataset, part):
    whole = dataset.split(part)
    for piece in (whole, ImageSet(whole.images[3:7], whole.labels[3:7]), ImageSet(whole.images[2:], whole.labels[2:])):
        content = pickle.dumps(piece)
        again = pickle.loads(content)
        assert len(content) < 700 and isinstance(again, ImageSet)
        for ours, theirs in zip(piece, again, strict=True):
            assert torch.equal(ours, theirs) and ours.data_ptr() == theirs.data_ptr()


def test_other_images_travel_themselves():
    train = DIGITS.train
    others = [
        ImageSet(train.images[:5].clone(), train.labels[:5]),
        ImageSet(train.images[:5], train.labels[1:6]),
        ImageSet(train.images[:5], train.labels[:4]),
        ImageSet(train.images[::2], train.labels[::2]),
        ImageSet(train.images[:5, :14], train.labels[:5]),
        ImageSet(train.images[:5], DIGITS.test.labels[:5]),
        ImageSet(train.images[:0], train.labels[:0].clone()),
    ]
    for images in others:
        for again in (pickle.loads(pickle.dumps(images)), copy.deepcopy(images)):
            assert all(torch.equal(*pair) for pair in zip(images, again, strict=True))
    by_hand = dataclasses.replace(DIGITS, source=None)
    assert torch.equal(pickle.loads(pickle.dumps(by_hand)).train.images, train.images)


@pytest.mark.parametrize("env_id", ["SNNPlastic-Unsup1-v0", "SNNPlastic-Semi-v0"])
@pytest.mark.parametrize("num_envs", [None, 2])
def test_an_environment_is_pickled_without_images(env_id, num_envs):
    large = np.random.default_rng(1).integers(0, 256, size=(6_000, 20, 20)).astype(np.uint8)  # 2.4 MB
    register_dataset("large", large, np.arange(6_000) % 3)
    settings = {"dataset": "large", "num_steps": 4, "history_length": 4, "events_per_step": 16, "image_pool": 16}
    settings |= {"n_exc": 4} if "Unsup" in env_id else {"hidden_sizes": (4,)}
    if num_envs is None:
        env = gymnasium.make(env_id, **settings).unwrapped
    else:
        env = gymnasium.make_vec(env_id, num_envs=num_envs, **settings)
    env.reset(seed=0)
    env.engine.task.reserve_images(100)
    content = pickle.dumps(env)
    assert len(content) < 300_000
    twin = pickle.loads(content)
    assert twin.engine.task.dataset is env.engine.task.dataset
    ours, theirs = (one.step(one.action_space.sample() * 0)[0] for one in (env, twin))
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_set_that_the_other_process_has_not_registered_is_named(tmp_path):
    register_dataset("own", IMAGES, LABELS)
    (tmp_path / "own.pickle").write_bytes(pickle.dumps(load_dataset("own").train))
    program = tmp_path / "reads.py"
    program.write_text("import pickle; pickle.load(open('own.pickle', 'rb'))\n")
    done = forked(program, folder=tmp_path)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "got 'own'" in last and "--plugin=MODULE" in last


def test_images_that_have_changed_since_are_refused(tmp_path, monkeypatch):
    register_dataset("own", IMAGES, LABELS)
    content = pickle.dumps(load_dataset("own"))
    register_dataset("own", 255 - IMAGES, LABELS)
    with pytest.raises(ValueError, match=r"^the data set own has other images than when this was saved \(checksum "):
        pickle.loads(content)
    monkeypatch.setattr(datasets, "_registered", {})
    monkeypatch.setattr("snn_plasticity_gym.config.data_names._registered", {})
    with pytest.raises(ConfigError, match="--plugin=MODULE"):
        pickle.loads(content)
