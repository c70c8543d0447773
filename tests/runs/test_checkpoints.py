"""Checkpoints are whole or not there, and cannot run code."""

import io
import logging
import os
import pickle

import pytest
import torch

from snn_plasticity_gym.runs import checkpoints as module
from snn_plasticity_gym.runs.checkpoints import Checkpoints


def test_the_newest_three_stay_and_the_newest_comes_back(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.newest() is None
    for images in (9, 10, 100, 1000):
        path = checkpoints.save(images, {"episodes": images, "weights": torch.full((3,), float(images))})
        assert path.exists()
    assert [path.name.partition("-")[0] for path in checkpoints.paths()] == [
        f"episodes_{images:09d}" for images in (10, 100, 1000)
    ]
    state = checkpoints.newest()
    assert state["episodes"] == 1000 and torch.equal(state["weights"], torch.full((3,), 1000.0))


def test_of_two_at_the_same_image_the_later_one_counts(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    first = checkpoints.save(4, {"number": 1})
    os.utime(first, (1, 1))
    checkpoints.save(4, {"number": 2})
    assert checkpoints.newest()["number"] == 2


@pytest.mark.parametrize("size", [0, 1, 500])
def test_a_damaged_one_is_named_and_the_one_before_used(size, tmp_path, caplog):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(2, {"number": 1})
    newest = checkpoints.save(4, {"number": 2})
    newest.write_bytes(newest.read_bytes()[:size])
    with caplog.at_level(logging.WARNING):
        assert checkpoints.newest()["number"] == 1
    assert caplog.messages == [f"the checkpoint {newest} is damaged; the one before it is used"]


def test_what_cannot_be_read_is_named_and_the_one_before_used(tmp_path, caplog):
    """A folder of that name stands for all that the system refuses to read."""
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(2, {"number": 1})
    folder = tmp_path / "episodes_000000004-0123456789abcdef.pt"
    folder.mkdir()
    assert checkpoints.newest()["number"] == 1
    assert caplog.messages == [f"the checkpoint {folder} is damaged; the one before it is used"]
    assert checkpoints.attempt(6, {"number": 2}) and checkpoints.attempt(8, {"number": 3})
    assert checkpoints.newest()["number"] == 3


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_write_that_fails_leaves_no_file(step, tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(2, {"number": 1})
    before = sorted(os.listdir(tmp_path))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(os, step, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        checkpoints.save(4, {"number": 2})
    assert sorted(os.listdir(tmp_path)) == before
    checkpoints.save(4, {"number": 2})
    assert checkpoints.newest()["number"] == 2


def test_the_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    order = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, real=real, name=name: (order.append(name), real(*a)))
    Checkpoints(tmp_path).save(2, {})
    assert order == ["fsync", "replace", "fsync"]  # the file, its name, the folder


def test_what_a_killed_process_has_left_is_removed(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(2, {"number": 1})
    (tmp_path / ".episodes_000000004-0123456789abcdef.01234567.pt").write_bytes(b"half")
    checkpoints.tidy()
    assert len(os.listdir(tmp_path)) == 1 and checkpoints.newest()["number"] == 1


class Code:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_a_checkpoint_cannot_run_code(tmp_path, monkeypatch):
    """Neither a pickle nor a torch file with something else than tensors and numbers, even with the right checksum."""
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    torch.save(Code(), buffer)
    for content in (pickle.dumps(Code()), buffer.getvalue()):
        digest = module.hashlib.sha256(content).hexdigest()[: module.DIGITS]
        (tmp_path / f"episodes_000000002-{digest}.pt").write_bytes(content)
    assert Checkpoints(tmp_path).newest() is None
    assert not (tmp_path / "ran").exists()


def test_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    Checkpoints(tmp_path).save(2, {})
    monkeypatch.undo()
    with pytest.raises(ValueError, match="another version of the project"):
        Checkpoints(tmp_path).newest()


def test_checkpoints_of_earlier_versions_are_read(tmp_path):
    path = Checkpoints(tmp_path).save(9, {"images": 9, "weights": torch.ones(2)})
    path.rename(tmp_path / path.name.replace("episodes_", "images_"))
    old = Checkpoints(tmp_path).newest()
    assert old["episodes"] == 9 and "images" not in old
    Checkpoints(tmp_path, keep=1).save(10, {"episodes": 10})
    assert [file.name[:18] for file in tmp_path.iterdir()] == ["episodes_000000010"]
