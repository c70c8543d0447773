"""metrics.csv: one row for each log call, written to disk at once."""

from __future__ import annotations

import csv
import io
import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.logger import KVWriter, filter_excluded_keys

from snn_plasticity_gym.utils.files import atomic_path

_logger = logging.getLogger("snn_plasticity_gym")


RENAMED = {"time/images": "time/episodes"}  # columns of earlier versions


def read_metrics(path: str | Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Read a metrics.csv: its columns by their present names, and its rows, one cell of text for each column.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no text.
        csv.Error: It is no table.
    """
    with Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns = [RENAMED.get(name, name) for name in reader.fieldnames or ()]
        rows = [{RENAMED.get(name, name): value for name, value in row.items() if name is not None} for row in reader]
    return columns, rows


class MetricsCSV(KVWriter):
    """Writes SB3's logged numbers and texts, with a column `global_step`; histograms and figures are left out.

    A row is appended; a new column rewrites the file atomically. If the disk is full, a warning is logged, and the row
    is written with a later one.

    Args:
        path: The file.
        rows: Rows of an earlier process to keep; later ones are dropped. 0 starts a new file.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, path: str | Path, rows: int = 0) -> None:
        self._path = Path(path)
        self._columns: list[str] = []
        self._waiting: list[dict[str, Any]] = []
        self._warned = False
        self.rows = 0  # in the file
        columns: list[str] = []
        kept: list[dict[str, str]] = []
        if rows:
            try:
                columns, kept = read_metrics(self._path)
            except (OSError, ValueError, csv.Error) as error:
                _rename_damaged(self._path, error)
            kept = kept[:rows]
            if len(kept) < rows:
                _logger.warning("%s has only %d of the %d rows that were written", path, len(kept), rows)
        self._rewrite(columns, kept)

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Append a row, unless it is empty."""
        cells = {key: _scalar(value) for key, value in filter_excluded_keys(key_values, key_excluded, "csv").items()}
        cells = {key: value for key, value in cells.items() if value is not None}
        if cells:
            self._waiting.append({"global_step": step} | cells)
        try:
            self._flush()
        except OSError as error:
            if not self._warned:
                _logger.warning("cannot write %s (%s); trying again with each row", self._path, error.strerror or error)
            self._warned = True

    def _flush(self) -> None:
        """Write all pending rows to disk, or leave the file unchanged."""
        names = dict.fromkeys(name for row in self._waiting for name in row)
        if not names.keys() <= set(self._columns):
            with self._path.open(encoding="utf-8", newline="") as file:
                before = list(csv.DictReader(file))
            columns = [*self._columns, *(name for name in names if name not in self._columns)]
            self._rewrite(columns, [*before, *self._waiting])
        else:
            size = self._path.stat().st_size
            try:
                with self._path.open("a", encoding="utf-8", newline="") as file:
                    file.write(_text(self._columns, self._waiting))
            except OSError:
                os.truncate(self._path, size)  # a partial row would damage the next one
                raise
            self.rows += len(self._waiting)
        self._waiting, self._warned = [], False

    def _rewrite(self, columns: list[str], rows: list[Any]) -> None:
        header = [dict(zip(columns, columns, strict=True))] if columns else []
        with atomic_path(self._path) as temporary:
            temporary.write_text(_text(columns, [*header, *rows]), encoding="utf-8", newline="")
        self._columns, self.rows = columns, len(rows)

    def close(self) -> None:
        """Do nothing: no file is left open."""


def _rename_damaged(path: Path, error: Exception) -> None:
    """Rename an unreadable file, so that it is not overwritten, with a warning."""
    reason = getattr(error, "strerror", None) or error
    try:
        aside = path.rename(path.with_name(f"{path.stem}-damaged-{time.time_ns()}{path.suffix}"))
        _logger.warning("%s cannot be read (%s): it is now %s, and a new one begins", path, reason, aside.name)
    except FileNotFoundError:
        pass  # the missing rows are reported anyway


def _text(columns: list[str], rows: list[Any]) -> str:
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _scalar(value: Any) -> Any:
    """Return numbers and texts unchanged, an array of one element as its number, None for everything else."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.item() if value.ndim == 0 else None
    return value if isinstance(value, bool | int | float | str | np.generic) else None
