"""Table of a comparison of rules, a row each, as CSV, as Markdown, and as text for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Column(NamedTuple):
    """One figure of every rule."""

    group: str  # key in a rule's results
    key: str  # key in that group
    title: str  # with its unit
    short: str  # for narrow tables
    factor: float = 1.0  # from the results' unit to the title's
    digits: int = 1


WIDEST = 32  # characters of a name in the first column of a screen

COLUMNS = (
    Column("accuracy", "all_activity", "all-activity (%)", "all-act.%", 100),
    Column("accuracy", "proportion_weighting", "proportion weighting (%)", "prop.w.%", 100),
    Column("accuracy", "linear_probe", "linear probe (%)", "probe%", 100),
    Column("accuracy", "nearest_centroid", "nearest centroid (%)", "centroid%", 100),
    Column("activity", "spikes", "E spikes per image", "spikes"),
    Column("activity", "active", "active E neurons (%)", "active%", 100),
    Column("activity", "winner_entropy", "winner entropy / log N", "entropy", 1, 3),
    Column("activity", "dead", "dead neurons", "dead"),
    Column("activity", "greedy", "greedy neurons", "greedy"),
    Column("held_out", "reward", "held-out reward after plasticity", "held-out", 1, 3),
    Column("learning", "reward", "reward while learning", "reward", 1, 3),
    Column("learning", "sparsity", "sparsity", "sparsity", 1, 3),
    Column("learning", "diversity", "diversity", "diversity", 1, 3),
    Column("learning", "stability", "stability", "stability", 1, 3),
    Column("learning", "spikes", "E spikes per image while learning", "learning", 1, 1),
)


def cell(results: Mapping[str, Any], column: Column) -> tuple[float | None, float | None]:
    """Return mean and standard deviation over networks in the title's unit; None where there is none."""
    figures = results.get(column.group, {}).get(column.key, {})
    mean, spread = (figures.get(name) for name in ("mean", "sd"))
    return tuple(None if value is None else value * column.factor for value in (mean, spread))  # type: ignore[return-value]


def csv_table(results: Mapping[str, Mapping[str, Any]], columns: Sequence[Column] = COLUMNS) -> str:
    """Return the table as CSV, with mean and standard deviation in separate columns.

    Args:
        results: By the name of the row; see `Judgement.as_dict`.
        columns: Columns, in order.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    titles = [_csv_title(column) for column in columns]
    writer.writerow(["rule", *(name for title in titles for name in (title, f"{title}_sd"))])
    for name, figures in results.items():
        values = [value for column in columns for value in cell(figures, column)]
        writer.writerow([name, *("" if value is None else f"{value:.6g}" for value in values)])
    return text.getvalue()


def _csv_title(column: Column) -> str:
    prefix = f"{column.group}_" if column.group not in ("accuracy", "activity") else ""
    return prefix + column.key + ("_percent" if column.factor == 100 else "")


def markdown_table(
    results: Mapping[str, Mapping[str, Any]], notes: Sequence[str], columns: Sequence[Column] = COLUMNS
) -> str:
    """Return the table as Markdown, mean ± standard deviation over networks, with notes below it."""
    used = _used(results, columns)
    lines = ["| " + " | ".join(["rule", *(column.title for column in used)]) + " |", "|---" * (len(used) + 1) + "|"]
    for name, figures in results.items():
        label = name.replace("|", "\\|")
        lines.append("| " + " | ".join([label, *(_format_cell(figures, column) for column in used)]) + " |")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"


def screen_table(results: Mapping[str, Mapping[str, Any]], columns: Sequence[Column] = COLUMNS) -> str:
    """Return the table as aligned lines; a name too long for its column gets a separate line."""
    used = _used(results, columns)
    rows = [["rule", *(column.short for column in used)]]
    rows += [[name, *(_format_cell(figures, column) for column in used)] for name, figures in results.items()]
    names, *cells = zip(*rows, strict=True)
    widths = [max(len(name) for name in names if len(name) <= WIDEST), *(max(map(len, texts)) for texts in cells)]
    lines = []
    for name, *texts in rows:
        if len(name) > WIDEST:
            lines.append(name)
            name = ""
        padded = [text.rjust(width) for text, width in zip(texts, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *padded]))
    return "\n".join(lines)


def _used(results: Mapping[str, Mapping[str, Any]], columns: Sequence[Column]) -> list[Column]:
    """Return the columns in which any row has a value."""
    return [column for column in columns if any(cell(figures, column)[0] is not None for figures in results.values())]


def _format_cell(results: Mapping[str, Any], column: Column) -> str:
    mean, spread = cell(results, column)
    if mean is None:
        return "-"
    return f"{mean:.{column.digits}f}" + ("" if spread is None else f" ± {spread:.{column.digits}f}")
