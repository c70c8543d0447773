"""Files that the build writes beside the pages, in `docs/generated/`."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx


def folder(app: Sphinx, name: str = "") -> Path:
    """Return a folder for generated pages, which exists then."""
    path = Path(app.srcdir) / "generated" / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def write(path: Path, content: str | bytes) -> None:
    """Write a file if it is not so already: pages that have not changed are not read again."""
    content = content.encode() if isinstance(content, str) else content
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
