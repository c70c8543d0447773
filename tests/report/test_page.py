"""The page: one file that needs nothing beside it, and says what it was given."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.image import imread

from snn_plasticity_gym.report.page import Section, write_report
from snn_plasticity_gym.report.style import Picture, figure_of
from snn_plasticity_gym.runs.tables import Table


class Reader(HTMLParser):
    """Collects images, texts and everything that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images, self.fetched, self.texts, self.open = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if tag == "img":
            self.images.append(named)
        self.fetched += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.fetched += [tag] * (tag in ("script", "link", "iframe", "object"))
        if tag not in ("img", "meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())


def picture(name: str, level: float) -> Picture:
    figure, (axes,) = figure_of(3, 2)
    axes.imshow(np.full((2, 2), level), vmin=0, vmax=1)
    return Picture(name, figure, f"what <{name}> & shows")


def test_the_page_holds_its_pictures_and_tables(tmp_path):
    sections = [
        Section(
            "First", "a < b", [picture("one", 0.2)], [Table("t", ["name", "x"], [["<script>alert(1)</script>", "2"]])]
        ),
        Section("Second", "", [picture("two", 0.9)], [Table("u", ["y"], [["3"]], "all of it", folded=True)]),
    ]
    page = write_report(tmp_path / "new", "runs/a & b", sections)
    assert page == tmp_path / "new" / "report.html"
    text = page.read_text()
    reader = Reader(text)
    assert not reader.open
    for shown, name in zip(reader.images, ("one", "two"), strict=True):
        image = base64.b64decode(shown["src"].removeprefix("data:image/png;base64,"))
        assert image == (page.parent / "report" / f"{name}.png").read_bytes()
        assert imread(io.BytesIO(image)).std() > 0.01 and shown["alt"] == f"what <{name}> & shows"
    assert all(re.match(r"data:image/png;base64,|#part\d+$", fetched) for fetched in reader.fetched)
    assert "url(" not in text and "http" not in text and "@import" not in text
    assert {"runs/a & b", "First", "a < b", "<script>alert(1)</script>", "2", "all of it"} <= set(reader.texts)


def test_a_later_report_leaves_no_pictures_of_the_one_before(tmp_path):
    write_report(tmp_path, "a", [Section("x", "", [picture("old", 0.1)])])
    write_report(tmp_path, "a", [Section("x", "", [picture("new", 0.1)])])
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["new.png"]


def test_pictures_need_names_of_their_own(tmp_path):
    with pytest.raises(AssertionError, match="one name"):
        write_report(tmp_path, "a", [Section("x", "", [picture("a", 0.1), picture("a", 0.2)])])
