"""metrics.csv when a run goes on, and when the disk is full."""

import csv
import logging
import os
from pathlib import Path

import pytest

from snn_plasticity_gym.runs.metrics import MetricsCSV, read_metrics


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def filled(path: Path, count: int) -> MetricsCSV:
    metrics = MetricsCSV(path)
    for step in range(count):
        metrics.write({"a": step, **({"b": 'x, "y"'} if step == 1 else {})}, {}, step)
    return metrics


def test_rows_after_the_checkpoint_are_dropped(tmp_path):
    path = tmp_path / "metrics.csv"
    assert filled(path, 5).rows == 5
    metrics = MetricsCSV(path, rows=3)
    assert metrics.rows == 3
    metrics.write({"a": 3, "c": 1}, {}, 3)
    assert metrics.rows == 4
    rows = rows_of(path)
    assert [row["global_step"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["b"] for row in rows] == ["", 'x, "y"', "", ""] and [row["c"] for row in rows] == ["", "", "", "1"]
    MetricsCSV(path)
    assert rows_of(path) == []


def test_rows_that_are_lost_are_said_to_be(tmp_path, caplog):
    path = tmp_path / "metrics.csv"
    filled(path, 2)
    MetricsCSV(path, rows=4)
    assert caplog.messages == [f"{path} has only 2 of the 4 rows that were written"]


UNREADABLE = {"bytes": b"\xff\xfe\x00", "cell": b"a,b\n" + b"x" * 200_000 + b"\n", "folder": None}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_cannot_be_read_is_put_aside(content, tmp_path, caplog):
    """What is learned does not hang on it, and whoever can read it still has it."""
    path = tmp_path / "metrics.csv"
    path.mkdir() if content is None else path.write_bytes(content)
    metrics = MetricsCSV(path, rows=2)
    metrics.write({"a": 3}, {}, 3)
    assert [row["a"] for row in rows_of(path)] == ["3"]
    (aside,) = tmp_path.glob("metrics-damaged-*.csv")
    assert aside.is_dir() if content is None else aside.read_bytes() == content
    first, second = caplog.messages
    ends = f"it is now {aside.name}, and a new one begins"
    assert first.startswith(f"{path} cannot be read (") and first.endswith(ends)
    assert second == f"{path} has only 0 of the 2 rows that were written"


def test_a_file_that_is_gone_begins_anew(tmp_path, caplog):
    path = tmp_path / "metrics.csv"
    MetricsCSV(path, rows=2).write({"a": 3}, {}, 3)
    assert [row["a"] for row in rows_of(path)] == ["3"]
    assert caplog.messages == [f"{path} has only 0 of the 2 rows that were written"]


@pytest.mark.parametrize("column", ["a", "new"])
def test_rows_that_cannot_be_written_wait(column, tmp_path, caplog, monkeypatch):
    """Half a row, or a rewritten file that finds no room."""
    path = tmp_path / "metrics.csv"
    metrics = filled(path, 2)
    before = path.read_text()

    class Full:
        """A file that takes three letters."""

        def __init__(self, file):
            self._file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

        def write(self, text):
            self._file.write(text[:3])
            self._file.flush()
            raise OSError(28, "No space left on device")

    real = Path.open
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(Path, "open", lambda self, mode="r", *a, **k: (
            Full(real(self, mode, *a, **k)) if mode == "a" else real(self, mode, *a, **k)
        ))  # fmt: skip
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        for step in (2, 3):
            metrics.write({column: step}, {}, step)
            assert path.read_text() == before and metrics.rows == 2
    assert caplog.messages == [f"cannot write {path} (No space left on device); trying again with each row"]
    metrics.write({"a": 4}, {}, 4)
    assert [row["global_step"] for row in rows_of(path)] == ["0", "1", "2", "3", "4"] and metrics.rows == 5
    assert [row[column] for row in rows_of(path)][2:4] == ["2", "3"]
    assert os.listdir(tmp_path) == ["metrics.csv"]


def test_columns_of_earlier_versions_go_on_under_their_present_name(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("global_step,time/images,rollout/reward\n6,1,0.5\n12,2,0.25\n18,3,0.125\n")
    metrics = MetricsCSV(path, rows=2)
    metrics.write({"time/episodes": 3}, {"time/episodes": ()}, 18)
    columns, rows = read_metrics(path)
    assert columns == ["global_step", "time/episodes", "rollout/reward"]
    assert [row["time/episodes"] for row in rows] == ["1", "2", "3"]
    assert [row["rollout/reward"] for row in rows] == ["0.5", "0.25", ""]
