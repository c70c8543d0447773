"""Data sets: their form, their splits, what is refused, and how files come into the data directory."""

import dataclasses
import gzip
import hashlib
import logging
import os
import pickle
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from math import prod
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.tasks import datasets as data
from snn_plasticity_gym.tasks import idx_files

REAL_DATA = os.environ.get("SNN_PLASTICITY_DATA")
REAL_DOWNLOAD = idx_files._download
REAL_SUMS = dict(idx_files.PUBLISHED)
FULL_SIZES = dict(idx_files.FILES)
TINY_SIZES = {file: (shape[0] // 1_000, *shape[1:]) for file, shape in FULL_SIZES.items()}  # 60 and 10 images
LABELS = "train-labels-idx1-ubyte"


def idx_bytes(shape, fill=None):
    """An idx file of `shape`, its content random unless given."""
    body = (
        np.random.default_rng(prod(shape)).integers(256 if len(shape) == 3 else 10, size=shape)
        if fill is None
        else np.full(shape, fill)
    )
    return struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape) + body.astype(np.uint8).tobytes()


def write_files(root, folder="MNIST", fill=None):
    """Write the four files of a tiny data set as torchvision would, images filled if asked; return their folder."""
    raw = Path(root) / folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for file, shape in TINY_SIZES.items():
        (raw / file).write_bytes(idx_bytes(shape, fill if len(shape) == 3 else None))
    return raw


def warnings_of(caplog):
    return [r for r in caplog.records if r.name == "snn_plasticity_gym" and r.levelno >= logging.WARNING]


def rows(part):
    """Each image with its label, as bytes."""
    return [image.numpy().tobytes() + bytes([label]) for image, label in zip(*part, strict=True)]


@pytest.fixture(autouse=True)
def isolated(monkeypatch):
    """No network, no cached result, no directory from outside."""

    def no_network(name, root):
        raise URLError("no network in tests")

    def forget():
        data._load_mnist_like.cache_clear()
        data._without_mnist.clear()

    monkeypatch.delenv("SNN_PLASTICITY_DATA", raising=False)
    monkeypatch.setattr(idx_files, "_download", no_network)
    monkeypatch.setattr(idx_files, "PUBLISHED", {})
    forget()
    yield
    forget()


@pytest.fixture
def tiny(monkeypatch):
    """Let data sets have 50, 10 and 10 images."""
    monkeypatch.setattr(idx_files, "FILES", TINY_SIZES)
    monkeypatch.setattr(data, "_VALIDATION_SIZE", 10)


@pytest.fixture
def downloads(monkeypatch):
    """A download that works; the list of what was downloaded."""
    calls = []

    def download(name, root):
        calls.append(name)
        time.sleep(0.05)  # long enough for a second thread to come by
        write_files(root, idx_files.CLASSES[name])

    monkeypatch.setattr(idx_files, "_download", download)
    return calls


def check_contract(dataset, sizes):
    for name, size in zip(("train", "validation", "test"), sizes, strict=True):
        part = dataset.split(name)
        assert part is getattr(dataset, name)
        assert part.images.shape == (size, 28, 28) and part.images.dtype == torch.uint8
        assert part.labels.shape == (size,) and part.labels.dtype == torch.int64
        assert part.labels.min() >= 0 and part.labels.max() <= 9
    assert len(dataset.checksum) == 64


def test_digits_keep_the_contract():
    dataset = data.load_dataset("digits")
    check_contract(dataset, (1_197, 300, 300))
    assert (dataset.name, dataset.directory) == ("digits", None)
    assert all(part.labels.unique().tolist() == list(range(10)) for part in (dataset.train, dataset.test))


def test_digits_are_each_image_once_and_equal_exact_interpolation():
    from sklearn.datasets import load_digits

    # Pixel i of 28 lies at (i + 1/2) / 3.5 - 1/2 = (4 i - 5) / 14 of 8: all weights are whole fourteenths.
    weights = np.zeros((28, 8), dtype=np.int64)
    for i in range(28):
        left, part = divmod(min(max(4 * i - 5, 0), 7 * 14), 14)
        weights[i, left] += 14 - part
        weights[i, min(left + 1, 7)] += part
    raw = load_digits()
    grey = np.einsum("ia,nab,jb->nij", weights, raw.images.astype(np.int64), weights)  # times 14 * 14
    scale = 16 * 14 * 14
    images = (2 * 255 * grey + scale) // (2 * scale)  # rounded, halves up
    expected = data.ImageSet(torch.as_tensor(images, dtype=torch.uint8), torch.as_tensor(raw.target))

    dataset = data.load_dataset("digits")
    found = rows(dataset.train) + rows(dataset.validation) + rows(dataset.test)
    assert Counter(found) == Counter(rows(expected))
    assert found != rows(expected)  # and not in the order of the writers


def test_digits_neither_read_nor_move_global_generators():
    torch.manual_seed(5)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    dataset = data.load_dataset("digits")
    assert dataset.checksum == "7fb9c334a4d5ad5f457089abca926d179f8d9191b2ea6aabdb231d4526180ed2"
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist"])
def test_files_are_split_in_their_order(tiny, tmp_path, name):
    write_files(tmp_path, "Other")
    raw = write_files(tmp_path, idx_files.CLASSES[name])
    dataset = data.load_dataset(name, tmp_path)
    check_contract(dataset, (50, 10, 10))
    assert (dataset.name, dataset.directory) == (name, str(tmp_path.resolve()))
    for kind, axis in (("images-idx3", 0), ("labels-idx1", 1)):
        joined = torch.cat([dataset.train[axis], dataset.validation[axis]]).to(torch.uint8).numpy().tobytes()
        assert (raw / f"train-{kind}-ubyte").read_bytes().endswith(joined)
        test = dataset.test[axis].to(torch.uint8).numpy().tobytes()
        assert (raw / f"t10k-{kind}-ubyte").read_bytes().endswith(test)


def test_full_sizes_are_split_50000_10000_10000(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file, shape in FULL_SIZES.items():
        header = idx_bytes(shape, 0)[: 4 * (1 + len(shape))]
        (raw / file).write_bytes(header + bytes([1, 255]))  # one image, or label, that is not all zeros
        os.truncate(raw / file, len(header) + prod(shape))
    check_contract(data.load_dataset("auto", tmp_path), (50_000, 10_000, 10_000))


@pytest.mark.skipif(not REAL_DATA, reason="SNN_PLASTICITY_DATA is not set: no MNIST to read")
def test_real_mnist_is_split_without_loss():
    dataset = data.load_dataset("auto", REAL_DATA)
    assert dataset.name == "mnist"
    check_contract(dataset, (50_000, 10_000, 10_000))
    for part, axis, name in (("train", 0, "images-idx3"), ("train", 1, "labels-idx1")):
        body = (Path(REAL_DATA) / "MNIST" / "raw" / f"{part}-{name}-ubyte").read_bytes()[16 if axis == 0 else 8 :]
        joined = torch.cat([dataset.train[axis], dataset.validation[axis]]).to(torch.uint8)
        assert hashlib.sha256(joined.numpy().tobytes()).digest() == hashlib.sha256(body).digest()
    # Handwriting does not repeat: equal images in two parts would be a leak.
    parts = [{image.tobytes() for image in part.images.numpy()} for part in (dataset.train, dataset.validation)]
    parts.append({image.tobytes() for image in dataset.test.images.numpy()})
    assert [len(part) for part in parts] == [50_000, 10_000, 10_000]
    assert len(set.union(*parts)) == 70_000
    assert dataset.checksum == "c97a2c607853b499a01d274c02fa5de533f80f6f09404e77aa0e02ec99b4c1f5"


def test_checksum_follows_the_data(tiny, tmp_path):
    first = data.load_dataset("mnist", write_files(tmp_path / "a").parents[1])
    same = data.load_dataset("mnist", write_files(tmp_path / "b").parents[1])
    raw = write_files(tmp_path / "c")
    content = bytearray((raw / "t10k-labels-idx1-ubyte").read_bytes())
    content[-1] ^= 1
    (raw / "t10k-labels-idx1-ubyte").write_bytes(content)
    assert first.checksum == same.checksum != data.load_dataset("mnist", tmp_path / "c").checksum


def test_equal_arguments_share_one_dataset(tiny, tmp_path, monkeypatch):
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    dataset = data.load_dataset("mnist", tmp_path)
    assert dataset is data.load_dataset("mnist", str(tmp_path)) is data.load_dataset("auto", ".")
    assert data.load_dataset("digits") is data.load_dataset("digits", tmp_path)


def test_dataset_is_frozen_prints_short_and_pickles():
    dataset = data.load_dataset("digits")
    with pytest.raises(AttributeError):
        dataset.name = "mnist"
    assert "tensor" not in repr(dataset)
    by_hand = dataclasses.replace(dataset, source=None)
    copy = pickle.loads(pickle.dumps(by_hand))
    assert copy.checksum == data._checksum(copy.train, copy.validation, copy.test)


def test_an_old_processed_folder_does_not_stand_in_for_the_checked_files(tiny, tmp_path):
    write_files(tmp_path)
    (tmp_path / "MNIST" / "processed").mkdir()
    for name in ("training.pt", "test.pt"):
        (tmp_path / "MNIST" / "processed" / name).write_bytes(b"old")
    check_contract(data.load_dataset("mnist", tmp_path), (50, 10, 10))


def test_import_loads_neither_torchvision_nor_sklearn():
    code = "import sys, snn_plasticity_gym.tasks.datasets; "
    code += "print([m for m in ('torchvision', 'sklearn') if m in sys.modules])"
    path = os.pathsep.join([str(Path(data.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("size", [14, 7, 1])
def test_smaller_images_are_rounded_means_of_blocks(size):
    whole, small = data.load_dataset("digits"), data.load_dataset("digits", image_size=size)
    block = 28 // size
    for name in ("train", "validation", "test"):
        part = small.split(name)
        assert part.images.shape == (len(part.labels), size, size) and part.images.dtype == torch.uint8
        assert part.labels is whole.split(name).labels
        for image, full in list(zip(part.images.tolist(), whole.split(name).images.tolist(), strict=True))[:5]:
            for row in range(size):
                for column in range(size):
                    lines = full[row * block : (row + 1) * block]
                    total = sum(sum(line[column * block : (column + 1) * block]) for line in lines)
                    assert image[row][column] == int(total / block**2 + 0.5)
    assert small.checksum == whole.checksum
    assert small is data.load_dataset("digits", image_size=size) and whole is data.load_dataset("digits", image_size=28)


@pytest.mark.parametrize("size", [0, -14, 13, 56])
def test_sizes_that_do_not_divide_the_image_are_refused(size):
    with pytest.raises(ValueError, match=rf"^image_size must divide 28, got {size}$"):
        data.load_dataset("digits", image_size=size)


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(ValueError, match=r"auto, mnist, fashion-mnist, kmnist, digits, .*got 'cifar'"):
        data.load_dataset("cifar")
    with pytest.raises(ValueError, match="train, validation, test, got 'eval'"):
        data.load_dataset("digits").split("eval")


def test_directory_is_argument_then_variable_then_cache(monkeypatch):
    monkeypatch.setattr(data.platformdirs, "user_cache_dir", lambda name, **_: f"/cache/{name}")
    assert data.data_directory() == data.data_directory("") == Path("/cache/snn_plasticity_gym")
    monkeypatch.setenv("SNN_PLASTICITY_DATA", "")
    assert data.data_directory() == Path("/cache/snn_plasticity_gym")
    monkeypatch.setenv("SNN_PLASTICITY_DATA", "/variable")
    assert data.data_directory() == data.data_directory("") == Path("/variable")
    assert data.data_directory("/argument") == data.data_directory(Path("/argument")) == Path("/argument")
    assert data.data_directory("~/argument") == Path.home() / "argument"


def test_variable_is_where_loading_looks(tiny, tmp_path, monkeypatch):
    write_files(tmp_path / "variable", fill=101)
    write_files(tmp_path / "argument", fill=102)
    monkeypatch.setenv("SNN_PLASTICITY_DATA", str(tmp_path / "variable"))
    assert data.load_dataset().train.images[0, 0, 0] == 101
    assert data.load_dataset(data_dir=tmp_path / "argument").train.images[0, 0, 0] == 102


@pytest.mark.parametrize("error", [URLError("dead"), RuntimeError("dead\nand gone"), TimeoutError()])
def test_auto_falls_to_digits_with_one_warning(tmp_path, monkeypatch, caplog, error):
    calls = []

    def download(name, root):
        calls.append(name)
        raise error

    monkeypatch.setattr(idx_files, "_download", download)
    assert data.load_dataset("auto", tmp_path).name == "digits"
    assert data.load_dataset("auto", tmp_path).name == "digits"
    (record,) = warnings_of(caplog)
    assert str(tmp_path / "MNIST" / "raw") in record.getMessage() and "\n" not in record.getMessage()
    assert calls == ["mnist"]  # the second call neither warned nor waited for the network again


def test_auto_finds_files_that_come_after_its_warning(tiny, tmp_path):
    assert data.load_dataset("auto", tmp_path).name == "digits"
    write_files(tmp_path)
    assert data.load_dataset("auto", tmp_path).name == "mnist"


def test_missing_mnist_names_the_folder_and_both_ways_out(tmp_path, downloads, monkeypatch):
    with monkeypatch.context() as offline:
        failure = RuntimeError("Tried:\nnothing")
        offline.setattr(idx_files, "_download", lambda name, root: (_ for _ in ()).throw(failure))
        with pytest.raises(FileNotFoundError) as raised:
            data.load_dataset("mnist", tmp_path)
    message = str(raised.value)
    for part in (str(tmp_path / "MNIST" / "raw"), "--data-dir", "SNN_PLASTICITY_DATA", "--dataset digits", "internet"):
        assert part in message
    assert "\n" not in message and "Tried: nothing" in message
    monkeypatch.setattr(idx_files, "FILES", TINY_SIZES)
    assert data.load_dataset("mnist", tmp_path).name == "mnist"  # a failure is not remembered


def test_a_directory_that_cannot_be_made_is_named(tmp_path, downloads, caplog):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileNotFoundError, match=r"file/data/MNIST/raw.*--data-dir"):
        data.load_dataset("mnist", tmp_path / "file" / "data")
    assert data.load_dataset("auto", tmp_path / "file" / "data").name == "digits"
    assert len(warnings_of(caplog)) == 1 and downloads == []


@pytest.mark.parametrize("name", ["mnist", "auto"])
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "truncated: expected 68 bytes, found 0"),
        (idx_bytes((60,))[:5], "truncated: expected 68 bytes, found 5"),
        (idx_bytes((60,))[:-1], "truncated: expected 68 bytes, found 67"),
        (idx_bytes((60,)) + b"!", "too long: expected 68 bytes, found 69"),
        (idx_bytes((59,)), r"counts: expected \(60,\), found \(59,\)"),
        (b"<html>not found</html>", "magic number: expected 0x00000801, found 0x3c68746d"),
        (gzip.compress(idx_bytes((60,)), mtime=0), "magic number: expected 0x00000801, found 0x1f8b"),
        (idx_bytes((60, 28, 28)), "magic number: expected 0x00000801, found 0x00000803"),
    ],
)
def test_a_damaged_file_is_an_error_and_not_replaced(tiny, tmp_path, downloads, name, content, complaint):
    file = write_files(tmp_path) / LABELS
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"{LABELS} .*{complaint}"):
        data.load_dataset(name, tmp_path)
    assert file.read_bytes() == content and downloads == []


def test_transposed_images_have_wrong_counts(tiny, tmp_path):
    (write_files(tmp_path) / "t10k-images-idx3-ubyte").write_bytes(idx_bytes((28, 28, 10)))
    with pytest.raises(ValueError, match=r"counts: expected \(10, 28, 28\), found \(28, 28, 10\)"):
        data.load_dataset("mnist", tmp_path)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=st.sampled_from(sorted(TINY_SIZES)), share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(tiny, file, share):
    whole = idx_bytes(TINY_SIZES[file])
    cut = int(share * len(whole))
    with tempfile.TemporaryDirectory() as root:
        (write_files(root) / file).write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=f"{file} is truncated: expected {len(whole)} bytes, found {cut}"):
            data.load_dataset("auto", root)


def test_packed_files_are_unpacked_without_a_download(tiny, tmp_path):
    raw = write_files(tmp_path)
    checksum = data.load_dataset("mnist", tmp_path).checksum
    for file in TINY_SIZES:
        (raw / f"{file}.gz").write_bytes(gzip.compress((raw / file).read_bytes(), mtime=0))
        (raw / file).unlink()
    data._load_mnist_like.cache_clear()
    assert data.load_dataset("mnist", tmp_path).checksum == checksum


@pytest.mark.parametrize("name", ["mnist", "auto"])
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (gzip.compress(idx_bytes((60,)), mtime=0)[:-20], "cannot be unpacked"),
        (b"<html>not found</html>", "cannot be unpacked"),
        (gzip.compress(idx_bytes((59,)), mtime=0), "has wrong counts"),
    ],
)
def test_a_damaged_packed_file_is_an_error(tiny, tmp_path, name, content, complaint):
    raw = write_files(tmp_path)
    (raw / LABELS).unlink()
    (raw / f"{LABELS}.gz").write_bytes(content)
    with pytest.raises(ValueError, match=rf"{LABELS}\.gz {complaint}"):
        data.load_dataset(name, tmp_path)
    assert not (raw / LABELS).exists()


def test_only_what_is_missing_is_put_in_place(tiny, tmp_path, downloads):
    raw = write_files(tmp_path, fill=103)
    (raw / LABELS).unlink()
    dataset = data.load_dataset("mnist", tmp_path)
    assert downloads == ["mnist"]
    assert (dataset.train.images == 103).all() and len(dataset.train.labels.unique()) > 5
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_dir()] == ["MNIST"]


@pytest.mark.parametrize("error", [RuntimeError("lost"), KeyboardInterrupt(), None])
def test_a_broken_download_leaves_nothing_behind(tiny, tmp_path, monkeypatch, error):
    def download(name, root):
        raw = write_files(root)
        os.truncate(raw / "train-images-idx3-ubyte", 1_000)
        if error:
            raise error

    monkeypatch.setattr(idx_files, "_download", download)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else FileNotFoundError):
        data.load_dataset("mnist", tmp_path)
    assert [entry for entry in tmp_path.rglob("*") if entry.is_file() and entry.suffix != ".lock"] == []
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_dir() and entry.name != "MNIST"] == []


def test_two_threads_download_once(tiny, tmp_path, downloads):
    loaded = []
    threads = [threading.Thread(target=lambda: loaded.append(data.load_dataset("auto", tmp_path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert downloads == ["mnist"]
    assert loaded[0] is loaded[1] and loaded[0].name == "mnist"


def test_a_process_that_waited_uses_what_the_other_brought(tiny, tmp_path, downloads):
    with FileLock(tmp_path / ".MNIST.lock"):  # as another process holds it
        thread = threading.Thread(target=data.load_dataset, args=("mnist", tmp_path))
        thread.start()
        time.sleep(0.1)
        assert thread.is_alive()
        write_files(tmp_path)
    thread.join()
    assert downloads == [] and data.load_dataset("mnist", tmp_path).name == "mnist"


def test_download_has_a_socket_timeout_and_takes_it_back(tmp_path, monkeypatch):
    seen = []

    def dead(root, download):
        seen.append((root, download, socket.getdefaulttimeout()))
        raise URLError("dead")

    monkeypatch.setattr("torchvision.datasets.KMNIST", dead)
    before = socket.getdefaulttimeout()
    with pytest.raises(URLError):
        REAL_DOWNLOAD("kmnist", tmp_path)
    assert seen == [(str(tmp_path), True, idx_files._NETWORK_TIMEOUT)]
    assert socket.getdefaulttimeout() == before


# Files that are there, in whatever form


def pack(raw, suffix=".gz", dotted=False):
    """Leave only packed files, or files of another spelling, in a folder."""
    for file in TINY_SIZES:
        content = (raw / file).read_bytes()
        name = file.replace("-idx", ".idx") if dotted else file
        (raw / file).unlink()
        (raw / f"{name}{suffix}").write_bytes(gzip.compress(content, mtime=0) if suffix else content)


@pytest.mark.parametrize("name", ["mnist", "auto", "fashion-mnist", "kmnist"])
@pytest.mark.parametrize(("suffix", "dotted"), [(".gz", False), (".gz", True), ("", True)])
def test_nothing_is_written_where_all_files_are(tiny, tmp_path, downloads, monkeypatch, name, suffix, dotted):
    raw = write_files(tmp_path, idx_files.CLASSES.get(name, "MNIST"))
    expected = data.load_dataset(name, tmp_path)
    data._load_mnist_like.cache_clear()
    pack(raw, suffix, dotted)
    before = sorted(tmp_path.rglob("*"))

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    for writer in ("mkdir", "write_bytes", "write_text"):
        monkeypatch.setattr(Path, writer, refuse)
    monkeypatch.setattr(os, "replace", refuse)
    assert data.load_dataset(name, tmp_path).checksum == expected.checksum
    assert sorted(tmp_path.rglob("*")) == before and downloads == []


@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_a_file_that_may_not_be_read_is_no_reason_to_train_on_digits(tiny, tmp_path, monkeypatch, caplog, name):
    file = write_files(tmp_path) / LABELS
    right = Path.read_bytes

    def read_bytes(self):
        if self == file:
            raise PermissionError(13, "Permission denied", str(self))
        return right(self)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(ValueError, match=rf"{LABELS} cannot be read \(Permission denied\); change its rights") as error:
        data.load_dataset(name, tmp_path)
    assert "\n" not in str(error.value) and not warnings_of(caplog)


@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_a_folder_that_may_not_be_looked_into(tiny, tmp_path, monkeypatch, name):
    write_files(tmp_path)

    def is_file(self):
        raise PermissionError(13, "Permission denied", str(self))

    with monkeypatch.context() as barred:
        barred.setattr(idx_files.Path, "is_file", lambda self: "raw" in self.parts and is_file(self))
        with pytest.raises(ValueError, match=r"MNIST/raw cannot be looked into \(Permission denied\)"):
            data.load_dataset(name, tmp_path)


@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_some_of_the_files_are_no_reason_to_train_on_digits(tiny, tmp_path, caplog, name):
    (write_files(tmp_path) / LABELS).unlink()
    with pytest.raises(
        FileNotFoundError, match=rf"^{LABELS} of mnist is not in .*MNIST/raw, and it could not"
    ) as error:
        data.load_dataset(name, tmp_path)
    assert "\n" not in str(error.value) and not warnings_of(caplog)


@pytest.mark.parametrize("name", ["mnist", "auto"])
@pytest.mark.parametrize("folder", [".", "MNIST"])
def test_files_in_another_folder_are_found_and_sent_home(tiny, tmp_path, name, folder):
    raw = write_files(tmp_path / "other")
    (tmp_path / folder).mkdir(exist_ok=True)
    for file in TINY_SIZES:
        os.replace(raw / file, tmp_path / folder / file.replace("-idx", ".idx"))
    home = tmp_path / "MNIST" / "raw"
    with pytest.raises(FileNotFoundError, match=rf"lie in {(tmp_path / folder).resolve()}: move them to {home}$"):
        data.load_dataset(name, tmp_path)


def test_the_four_names_are_in_the_message(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        data.load_dataset("fashion-mnist", tmp_path)
    for part in (*FULL_SIZES, ".gz", str(tmp_path / "FashionMNIST" / "raw")):
        assert part in str(error.value)


def test_files_that_are_not_the_published_ones_are_named_in_one_line(tiny, tmp_path, monkeypatch, caplog):
    raw = write_files(tmp_path)
    sums = [hashlib.md5((raw / file).read_bytes()).hexdigest() for file in TINY_SIZES]
    monkeypatch.setattr(idx_files, "PUBLISHED", {"mnist": tuple(sums)})
    data.load_dataset("mnist", tmp_path)
    pack(raw)
    data._load_mnist_like.cache_clear()
    data.load_dataset("mnist", tmp_path)
    assert not warnings_of(caplog)
    content = bytearray(gzip.decompress((raw / f"{LABELS}.gz").read_bytes()))
    content[-1] ^= 1
    (raw / f"{LABELS}.gz").write_bytes(gzip.compress(bytes(content)))
    data._load_mnist_like.cache_clear()
    for _ in range(2):  # said once
        data.load_dataset("mnist", tmp_path)
    (record,) = warnings_of(caplog)
    assert f"mnist in {raw} is not the published data set: the checksums of {LABELS}.gz differ" in record.getMessage()


def test_packed_files_have_published_checksums_of_their_own(tiny, tmp_path, monkeypatch, caplog):
    raw = write_files(tmp_path, "KMNIST")
    pack(raw)
    sums = [hashlib.md5((raw / f"{file}.gz").read_bytes()).hexdigest() for file in TINY_SIZES]
    monkeypatch.setattr(idx_files, "PUBLISHED_PACKED", {"kmnist": tuple(sums)})
    data.load_dataset("kmnist", tmp_path)
    assert not warnings_of(caplog)
    monkeypatch.setattr(idx_files, "PUBLISHED_PACKED", {"kmnist": ("0" * 32, *sums[1:])})
    data._load_mnist_like.cache_clear()
    data.load_dataset("kmnist", tmp_path)
    assert "the checksums of train-images-idx3-ubyte.gz differ" in warnings_of(caplog)[0].getMessage()


@pytest.mark.skipif(not REAL_DATA, reason="SNN_PLASTICITY_DATA is not set: no MNIST to read")
def test_real_mnist_is_the_published_one(monkeypatch, caplog):
    monkeypatch.setattr(idx_files, "PUBLISHED", REAL_SUMS)
    assert data.load_dataset("mnist", REAL_DATA).num_classes == 10
    assert not warnings_of(caplog)


@pytest.mark.parametrize(("labels", "classes"), [(range(1, 27), 26), ((3, 8), 2), ((0, 1, 2, 3, 4, 5, 6, 8, 9), 9)])
def test_files_may_have_other_classes_than_ten(tiny, tmp_path, labels, classes):
    raw = write_files(tmp_path)
    for part, count in (("train", 60), ("t10k", 10)):
        content = idx_bytes((count,))[:8] + bytes(labels[place % len(labels)] for place in range(count))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(content)
    dataset = data.load_dataset("mnist", tmp_path)
    assert dataset.num_classes == classes and dataset.classes == tuple(map(str, labels))
    assert dataset.test.labels.tolist() == [place % len(labels) for place in range(10)]


def test_files_of_one_class_or_without_light_are_refused(tiny, tmp_path):
    write_files(tmp_path / "dark", fill=0)
    with pytest.raises(ValueError, match=r"all images of mnist in .*dark are black"):
        data.load_dataset("auto", tmp_path / "dark")
    raw = write_files(tmp_path / "one")
    (raw / LABELS).write_bytes(idx_bytes((60,), 7))
    with pytest.raises(ValueError, match=r"all labels of mnist in .*one are 7; give images of at least two classes"):
        data.load_dataset("mnist", tmp_path / "one")
