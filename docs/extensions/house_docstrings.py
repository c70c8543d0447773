"""The house's docstrings for Sphinx: Google sections, equations as indented blocks, code in single backticks.

Two readers need them: autodoc takes reStructuredText, the pages that other extensions write are Markdown.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

from sphinx.application import Sphinx

SECTIONS = ("Args", "Attributes", "Options", "Raises", "Returns", "Yields")
PAGE_SECTIONS = ("Description", "Observation", "Action", "Reward", "Episode end", "Version history")
_HEADER = re.compile(rf"({'|'.join(SECTIONS + PAGE_SECTIONS)})\b[^.]*:$")


class Section(NamedTuple):
    """A part of a docstring, without its indentation."""

    name: str  # of its header, "" for what stands before the first one
    header: str
    lines: list[str]


def sections(text: str) -> list[Section]:
    """Split a docstring at its headers."""
    parts = [Section("", "", [])]
    for line in inspect.cleandoc(text).splitlines():
        header = _HEADER.match(line)
        if header:
            parts.append(Section(header[1], line.rstrip(":"), []))
        else:
            parts[-1].lines.append(line)
    return [part._replace(lines=textwrap.dedent("\n".join(part.lines)).strip("\n").splitlines()) for part in parts]


def section(text: str, name: str) -> Section:
    """Return one section of a docstring.

    Raises:
        ValueError: There is none of that name.
    """
    found = [part for part in sections(text) if part.name == name]
    if not found:
        raise ValueError(f"the docstring has no section {name!r}: {text[:60]!r}")
    return found[0]


def blocks(lines: list[str]) -> Iterator[list[str]]:
    """Yield what stands between blank lines."""
    block: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []


def is_display(block: list[str]) -> bool:
    """Whether a block is an equation or a program: indented as a whole."""
    return all(line.startswith("    ") for line in block)


def to_markdown(lines: list[str]) -> str:
    """Return paragraphs, lists and tables as they are, and indented blocks as code."""
    made = []
    for block in blocks(lines):
        if is_display(block):
            block = ["```text", *textwrap.dedent("\n".join(block)).splitlines(), "```"]
        made.append("\n".join(block))
    return "\n\n".join(made)


def introduction(documented: Any) -> str:
    """Return what a docstring says before its first section, as Markdown."""
    return to_markdown(sections(documented.__doc__ or "")[0].lines)


def to_rest(lines: list[str]) -> list[str]:
    """Return a docstring as reStructuredText that napoleon reads on."""
    made: list[str] = []
    in_section = False
    for block in blocks(lines):
        in_section = in_section or any(_HEADER.match(line) for line in block)
        if is_display(block) and not in_section:
            made += ["::", "", *block, ""]
        else:
            made += [*map(_escape, block), ""]
    return made


def _escape(line: str) -> str:
    """Escape what reStructuredText would take for markup, outside code; "n: B." is no list that begins with B."""
    line = re.sub(r"^(\s*\w+: \w+)\.$", r"\1\\.", line)
    parts = re.split(r"(`[^`]*`)", line)  # every second one is code
    marked = re.compile(r"([*|]|\\(?!\.)|_\b(?=\W|$))")
    return "".join(part if place % 2 else marked.sub(r"\\\1", part) for place, part in enumerate(parts))


def _process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if name.startswith("snn_plasticity_gym"):
        lines[:] = to_rest(lines)


def _skip(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out classes that a learner names, and fields of named tuples ("Alias for field number", says Python)."""
    return True if type(obj).__name__ == "_tuplegetter" or (what == "class" and name.endswith("_type")) else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Be an extension."""
    app.connect("autodoc-process-docstring", _process, priority=100)  # before napoleon
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True}
