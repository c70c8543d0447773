"""The report as one self-contained HTML file: figures are embedded, and nothing is fetched.

`Section`s hold pictures and tables; `write_report` fills `page.html` with them and also saves each figure as a PNG.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2

from snn_plasticity_gym.report.style import Picture, png
from snn_plasticity_gym.runs.tables import Table
from snn_plasticity_gym.utils.files import atomic_path

PICTURES = "report"  # folder of the PNGs, next to report.html


class Section(NamedTuple):
    """One section of a report."""

    title: str
    text: str = ""
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()


def write_report(folder: Path, title: str, sections: Sequence[Section]) -> Path:
    """Write `report.html` into a folder, and the PNGs into its subfolder `report`; those of an earlier report go.

    Args:
        folder: Made if it is not there.
        title: Of the page.
        sections: In order; names of their pictures differ.

    Returns:
        The page.
    """
    pictures = [picture for section in sections for picture in section.pictures]
    assert len({picture.name for picture in pictures}) == len(pictures), "two pictures of one name"
    pictures_folder = folder / PICTURES
    pictures_folder.mkdir(parents=True, exist_ok=True)
    for old in pictures_folder.glob("*.png"):
        old.unlink()
    inside = {}
    for picture in pictures:
        image = png(picture.figure)
        picture_file(folder, picture).write_bytes(image)
        inside[picture.name] = "data:image/png;base64," + base64.b64encode(image).decode("ascii")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("snn_plasticity_gym.report", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template("page.html").render(title=title, sections=sections, images=inside)
    page = folder / "report.html"
    with atomic_path(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return page


def picture_file(folder: Path, picture: Picture) -> Path:
    """Return where `write_report` puts a picture as a PNG."""
    return folder / PICTURES / f"{picture.name}.png"
