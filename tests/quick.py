"""What makes tests quick that are about something else."""

import contextlib
import io
from collections.abc import Iterator

import pytest
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from snn_plasticity_gym.report import page


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    for words in figure.findobj(lambda artist: isinstance(artist, Axis | Legend | Text)):
        words.set_visible(False)
    figure.set_layout_engine("none")
    figure.savefig(buffer, format="png", dpi=10)
    return buffer.getvalue()


@contextlib.contextmanager
def small_pngs() -> Iterator[None]:
    """Let reports of this process have pictures of few pixels, without words and layout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "png", _png)
        yield
