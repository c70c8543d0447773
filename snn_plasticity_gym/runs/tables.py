"""Tables of plain text, for reports, Weights & Biases and TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """A table of a report; all cells are plain text."""

    name: str  # its title on Weights & Biases
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    folded: bool = False  # collapsed initially

    def markdown(self) -> str:
        """Return the table as Markdown, its caption below it."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        written = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
        return "\n".join(written + (["", self.caption] if self.caption else []))
