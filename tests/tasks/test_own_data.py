"""Data sets of users: what is taken, how it is split and numbered, and what is refused in which words."""

import json
import logging
import os

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from snn_plasticity_gym.config.data_names import add_dataset_name
from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.tasks.datasets import load_dataset, register_dataset
from snn_plasticity_gym.tasks.own_data import checked_arrays, split_places

SHAPE = (6, 4)


def pictures(labels, shape=SHAPE, seed=0):
    """Images, each other than all others, that carry their label in the first pixel."""
    images = np.random.default_rng(seed).integers(0, 256, size=(len(labels), *shape)).astype(np.uint8)
    images[:, 0, 0] = labels
    return images


def letters(each=12):
    labels = np.repeat(np.arange(1, 27), each)
    return pictures(labels), labels


def registered(name, *arrays):
    register_dataset(name, *arrays)
    return load_dataset(name)


@pytest.fixture
def warned(caplog):
    def lines():
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

    return lines


# What is taken


def test_labels_are_numbered_and_keep_their_names():
    images, labels = letters()
    dataset = registered("letters", images, labels)
    assert dataset.num_classes == 26 and dataset.classes == tuple(str(label) for label in range(1, 27))
    for part in (dataset.train, dataset.validation, dataset.test):
        assert part.images.shape[1:] == SHAPE and part.images.dtype == torch.uint8 and part.labels.dtype == torch.int64
        names = [int(dataset.classes[label]) for label in part.labels]
        assert names == part.images[:, 0, 0].tolist()  # every image kept its label
    assert [len(dataset.split(name).labels) for name in ("train", "validation", "test")] == [208, 52, 52]


def test_every_image_is_in_one_part_and_every_class_in_each():
    images, labels = letters(each=9)
    dataset = registered("letters", images, labels)
    parts = [dataset.train, dataset.validation, dataset.test]
    rows = sorted(image.numpy().tobytes() for part in parts for image in part.images)
    assert rows == sorted(image.tobytes() for image in images)
    for part in parts:
        assert len(part.labels.unique()) == 26
        assert part.labels.tolist() != sorted(part.labels.tolist())  # shuffled: the first M images are of all classes


def test_the_split_is_the_same_at_all_times():
    # Seed 0 shuffles seven images to 6 2 1 3 0 5 4; of class 5 the order is 2 1 3 0, of class 2 it is 6 5 4.
    labels = np.array([5, 5, 5, 5, 2, 2, 2])
    assert [part.tolist() for part in split_places("x", labels, True)] == [[6, 2, 0], [1, 5], [3, 4]]
    assert [part.tolist() for part in split_places("x", labels, False)] == [[6, 2, 3, 0, 4], [1, 5]]


def test_given_test_images_are_the_test_split():
    images, labels = letters()
    few = np.array([26, 3, 3])
    dataset = registered("letters", images, labels, pictures(few, seed=1), few)
    np.testing.assert_array_equal(dataset.test.images.numpy(), pictures(few, seed=1))
    assert dataset.test.labels.tolist() == [25, 2, 2]
    assert [len(dataset.train.labels), len(dataset.validation.labels)] == [260, 52]
    assert "test images as given" in dataset.division


@settings(max_examples=60)
@given(labels=hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 5)), with_test=st.booleans())
def test_parts_are_apart_and_balanced(labels, with_test):
    try:
        parts = split_places("x", labels, with_test)
    except ConfigError:
        assert np.bincount(labels).max() < (3 if with_test else 2)
        return
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for label in np.unique(labels):
        counts = [int((labels[part] == label).sum()) for part in parts]
        for place, count in enumerate(counts[1:]):
            assert count == (sum(counts) + 4 - place) // 6


def test_the_author_may_write_to_his_arrays_afterwards():
    images, labels = letters()
    dataset = registered("letters", images, labels, images[:3].copy(), labels[:3] + 1)
    before = [part.images.clone() for part in (dataset.train, dataset.test)]
    images[:] = 0
    assert torch.equal(dataset.train.images, before[0]) and torch.equal(dataset.test.images, before[1])


def test_a_callable_is_called_once_and_late():
    calls = []

    def load():
        calls.append(1)
        return letters()

    register_dataset("late", load)
    assert not calls
    assert load_dataset("late") is load_dataset("late") and calls == [1]
    assert load_dataset("late", image_size=3).train.images.shape[1:] == (3, 2)
    register_dataset("late", lambda: letters()[0])
    with pytest.raises(ConfigError, match=r"callable of the data set 'late' must return \(images, labels\).*ndarray"):
        load_dataset("late")


def test_a_name_registered_again_stands_for_the_new_images():
    images, labels = letters()
    first = registered("letters", images, labels)
    second = registered("letters", 255 - images, labels)
    assert first.checksum != second.checksum and load_dataset("letters") is second


def test_a_file_of_arrays(tmp_path, monkeypatch):
    images, labels = letters()
    np.savez(tmp_path / "letters.npz", images=images, labels=labels)
    np.savez_compressed(tmp_path / "more.npz", images=images, labels=labels, test_images=images, test_labels=labels)
    dataset = load_dataset(str(tmp_path / "letters.npz"))
    monkeypatch.chdir(tmp_path)
    assert load_dataset("letters.npz") is dataset
    assert (dataset.name, dataset.directory) == ("letters.npz", str(tmp_path))
    assert dataset.checksum == registered("letters", images, labels).checksum
    assert load_dataset("more.npz").test.images.shape == images.shape
    told = dataset.manifest("train")
    assert "seed 0" in told["division"] and told["images"] == {"train": 208, "validation": 52, "test": 52}
    assert told["classes"] == list(dataset.classes) and told["image_size"] == [6, 4] and json.dumps(told)


def test_a_file_that_is_written_anew_is_read_anew(tmp_path):
    images, labels = letters()
    path = tmp_path / "letters.npz"
    np.savez(path, images=images, labels=labels)
    first = load_dataset(str(path))
    np.savez(path, images=255 - images, labels=labels)
    os.utime(path, ns=(1, 1))  # a clock may be coarse
    assert load_dataset(str(path)).checksum != first.checksum


def test_images_of_other_sizes_are_made_smaller_by_whole_blocks():
    images, labels = letters()
    register_dataset("letters", images, labels)
    whole, small = load_dataset("letters"), load_dataset("letters", image_size=3)
    expected = whole.train.images.reshape(-1, 3, 2, 2, 2).double().mean(dim=(2, 4))
    assert torch.equal(small.train.images, (expected + 0.5).floor().to(torch.uint8))
    with pytest.raises(ConfigError, match=r"image_size must divide the height of images, 6, .*width, 4, got 2; leave"):
        load_dataset("letters", image_size=2)  # blocks of 3 by 3
    with pytest.raises(ConfigError, match="heldout_shift must be less than the sides of images, 6 by 4 pixels"):
        gymnasium.make("SNNPlastic-Unsup1-v0", dataset="letters", plastic_episodes=1, heldout_shift=4)


@pytest.mark.parametrize("env_id", ["SNNPlastic-Unsup1-v0", "SNNPlastic-Semi-v0", "SNNPlastic-Grad-v0"])
def test_environments_take_the_name(env_id):
    register_dataset("letters", *letters())
    env = gymnasium.make(env_id, dataset="letters")
    env.reset(seed=0)
    assert env.unwrapped.engine.network.populations["input"].size == 24


# What is refused


def bad(**changes):
    images, labels = letters()
    return {"images": images, "labels": labels, **changes}


IMAGES, LABELS = letters()
REFUSED = [
    ({"images": IMAGES / 255.0}, r"must be uint8 .* got float64 \(312, 6, 4\); convert them by \(255 \* images\)"),
    ({"images": IMAGES.astype(float)}, "got float64 .*; round them"),
    ({"images": np.full((312, 6, 4), np.nan)}, "got float64 with NaN"),
    ({"images": IMAGES > 100}, r"got bool .*255 \* images"),
    ({"images": IMAGES.astype(np.int64).tolist()}, "got int64"),
    ({"images": IMAGES.reshape(312, 24)}, r"got shape \(312, 24\); give images their rows back by reshape"),
    ({"images": IMAGES[..., None]}, "squeeze"),
    ({"images": np.repeat(IMAGES[..., None], 3, axis=3)}, "make colours grey"),
    ({"images": IMAGES[:0], "labels": LABELS[:0]}, "at least one image, got none"),
    ({"images": IMAGES[:, :1]}, "at least 2 by 2 pixels, got 1 by 4"),
    ({"images": IMAGES[:300]}, "must be of one length, got 300 and 312"),
    ({"labels": LABELS.astype(float)}, "labels of .* must be integers, got float64; number"),
    ({"labels": np.where(LABELS == 3, np.nan, LABELS)}, "got float64 with NaN"),
    ({"labels": LABELS.astype(str)}, "must be integers, got <U"),
    ({"labels": LABELS - 2}, "at least 0, got -1 at place 0"),
    ({"labels": np.eye(30, dtype=int)[LABELS]}, r"must have shape \(n,\), got \(312, 30\).*argmax"),
    ({"labels": LABELS[:, None]}, r"reshape\(-1\)"),
    ({"labels": np.full(312, 7)}, "all labels of .* are 7; give images of at least two classes"),
    ({"images": 0 * IMAGES}, "are black"),
    ({"images": IMAGES[:2], "labels": np.array([1, 2])}, "must have at least 3 images of a class, .* 2 images of 2 cl"),
    ({"test_images": IMAGES}, "has test_images without test_labels"),
    ({"test_labels": LABELS}, "has test_labels without test_images"),
    ({"test_images": IMAGES[:, :4], "test_labels": LABELS}, r"size of images, \(6, 4\), got \(4, 4\)"),
    ({"test_images": IMAGES[:5], "test_labels": LABELS}, "test_images and test_labels of .* one length"),
    ({"labels": None}, "needs labels"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[message[:25] for _, message in REFUSED])
def test_arrays_that_are_none_of_a_data_set_are_refused_in_one_line(tmp_path, changes, message):
    given = bad(**changes)
    with pytest.raises(ConfigError, match=message) as error:
        register_dataset("refused", **given)
    assert "\n" not in str(error.value) and "'refused'" in str(error.value) and len(str(error.value)) < 300
    with pytest.raises(ConfigError):
        environment_config("SNNPlastic-Semi-v0", dataset="refused")  # it was not registered
    if given["labels"] is not None:
        path = tmp_path / "own.npz"
        np.savez(path, **given)
        with pytest.raises(ConfigError, match=message) as error:
            load_dataset(str(path))
        assert str(path) in str(error.value)


@settings(max_examples=60)
@given(
    images=hnp.arrays(
        st.sampled_from([np.uint8, np.int16, np.float32, np.bool_]),
        hnp.array_shapes(max_dims=4, max_side=4, min_side=0),
    ),
    labels=hnp.arrays(
        st.sampled_from([np.int8, np.uint64, np.float64, "U2"]), hnp.array_shapes(max_dims=2, max_side=4, min_side=0)
    ),
)
def test_any_arrays_are_taken_or_refused_in_one_line(images, labels):
    try:
        arrays = checked_arrays("own", images, labels)
    except ConfigError as error:
        assert "own" in str(error) and "\n" not in str(error)
    else:
        assert arrays.images.dtype == np.uint8 and arrays.images.ndim == 3 and len(arrays.images) == len(arrays.labels)
        assert len(np.unique(arrays.labels)) > 1 and arrays.images.any()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as an .npz file of numbers"),
        (b"PK\x03\x04 cut", "cannot be read as an .npz file of numbers"),
        (b"text", "cannot be read as an .npz file of numbers"),
    ],
)
def test_a_file_that_is_damaged(tmp_path, content, message):
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as error:
        load_dataset(str(tmp_path / "own.npz"))
    assert "\n" not in str(error.value) and str(tmp_path / "own.npz") in str(error.value)


def test_a_file_that_is_cut_is_refused(tmp_path):
    images, labels = letters()
    path = tmp_path / "own.npz"
    np.savez_compressed(path, images=images, labels=labels)
    whole = path.read_bytes()
    for length in range(1, len(whole), len(whole) // 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ConfigError, match=r"own\.npz"):
            load_dataset(str(path))


def test_other_files_are_refused_in_one_line(tmp_path, warned):
    images, labels = letters()
    np.savez(tmp_path / "keras.npz", x_train=images, y_train=labels)
    with pytest.raises(ConfigError, match=r"must hold the arrays images and labels.* holds x_train, y_train$"):
        load_dataset(str(tmp_path / "keras.npz"))
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, images)
    with pytest.raises(ConfigError, match=r"one array without a name; write it by numpy\.savez"):
        load_dataset(str(tmp_path / "one.npz"))
    np.savez(tmp_path / "object.npz", images=images, labels=np.array([*"ab", None], dtype=object))
    with pytest.raises(ConfigError, match=r"cannot be read as an \.npz file of numbers"):
        load_dataset(str(tmp_path / "object.npz"))
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ConfigError, match=r"folder\.npz cannot be read"):
        load_dataset(str(tmp_path / "folder.npz"))
    with pytest.raises(FileNotFoundError, match=r"^there is no data set .*none\.npz; give the path of an \.npz file$"):
        load_dataset(str(tmp_path / "none.npz"))
    assert not warned()
    np.savez(tmp_path / "more.npz", images=images, labels=labels, test_imgs=images)
    load_dataset(str(tmp_path / "more.npz"))
    assert len(warned()) == 1 and "also holds test_imgs, which is not used" in warned()[0]


def test_dark_images_and_unseen_classes_are_named_in_a_line(warned):
    images, labels = letters()
    register_dataset("dark", images // 16, labels)
    assert len(warned()) == 1 and "brightest pixel of the data set 'dark' is 15 of 255" in warned()[0]
    dataset = registered("unseen", images, labels, images[:2], np.array([3, 99]))
    assert len(warned()) == 2 and "of the classes 99, of which there is none to learn from" in warned()[1]
    assert dataset.classes[-1] == "99" and dataset.num_classes == 27


@pytest.mark.parametrize("name", ["", "a b", "x.npz", "a/b", "-a", "mnist", "MNIST", "auto", "x" * 80 + "\n", 3])
def test_names_that_would_be_something_else(name):
    with pytest.raises(ConfigError) as error:
        add_dataset_name(name)
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


def test_an_unknown_name_lists_the_ways(tmp_path):
    register_dataset("letters", *letters())
    for build in (lambda: load_dataset("leters"), lambda: environment_config("SNNPlastic-Grad-v0", dataset="leters")):
        with pytest.raises(
            ConfigError, match=r"kmnist, digits, a path that ends in \.npz.*'letters'.*--plugin"
        ) as error:
            build()
        assert "\n" not in str(error.value) and len(str(error.value)) < 400
    for data_dir in (tmp_path / "own.npz", tmp_path / "file"):
        (tmp_path / "file").write_text("no folder")
        with pytest.raises(ConfigError, match=r"data_dir .*must be a folder, got the file") as error:
            load_dataset("auto", data_dir)
    with pytest.raises(ConfigError, match=r"own\.npz; a data set of your own is given as dataset=.*own\.npz$"):
        load_dataset("mnist", tmp_path / "own.npz")
