"""Pictures of a comparison: what is drawn, and where."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from snn_plasticity_gym.evaluation.comparison_figures import READ_OUTS, draw_comparison, draw_receptive_fields


@pytest.fixture
def figures(monkeypatch) -> list[Figure]:
    """The figures that are saved."""
    saved, right = [], Figure.savefig

    def spy(self, *args, **kwargs):
        saved.append(self)
        right(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", spy)
    return saved


def results(networks: int, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return {"accuracy": {name: {"values": rng.random(networks).tolist()} for name in READ_OUTS}}


PIXELS = {"accuracy": {"nearest_centroid": {"mean": 0.8125}}, "confusion": {"nearest_centroid": [np.eye(8).tolist()]}}


def test_every_network_is_a_dot_and_every_mean_a_bar(tmp_path, figures):
    given = {"zero": results(4, 0), "a rule with a very long name:learning_rate=0.005:bounds=soft": results(1, 1)}
    path = tmp_path / "new" / "comparison.png"
    draw_comparison(given, PIXELS, "how it was made", path)
    (axes,) = figures[0].axes
    values = [100 * np.array(one["accuracy"][name]["values"]) for one in given.values() for name in READ_OUTS]
    dots = [line.get_ydata() for line in axes.lines if line.get_linestyle() == "None"]
    assert len(dots) == 6
    for expected, drawn, bar in zip(values, dots, axes.patches, strict=True):
        np.testing.assert_allclose(drawn, expected)
        assert bar.get_height() == pytest.approx(expected.mean())
    for place, line in enumerate(line for line in axes.lines if line.get_linestyle() == "None"):
        bar = axes.patches[place]
        assert all(bar.get_x() < x < bar.get_x() + bar.get_width() for x in line.get_xdata())
    across = [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() in ("--", ":")]
    assert across == pytest.approx([81.25, 12.5])  # pixels, chance
    said = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert said == ["all-activity", "proportion weighting", "linear probe on spike counts",
                    "pixels, nearest centroid 81.2 %", "chance"]  # fmt: skip
    assert "(%)" in axes.get_ylabel() and axes.get_xlabel() == "how it was made"
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names[0] == "zero" and names[1].replace("\n", "") == list(given)[1] and "\n" in names[1]
    picture = imread(path)
    assert picture.ndim == 3 and picture.std() > 0.05


@pytest.mark.parametrize("num_neurons", [1, 5, 12])
def test_every_neuron_has_its_field_in_the_grid(tmp_path, figures, num_neurons):
    rng = np.random.default_rng(0)
    fields = rng.random((num_neurons, 4, 3)).astype(np.float32)
    path = tmp_path / "new" / "fields.png"
    draw_receptive_fields(fields, "a title", path, labels=["", *map(str, range(1, num_neurons))])
    axes, bar = figures[0].axes
    grid = np.asarray(axes.images[0].get_array().filled(np.nan))
    columns = (grid.shape[1] + 1) // 4
    for neuron, field in enumerate(fields):
        top, left = 5 * (neuron // columns), 4 * (neuron % columns)
        np.testing.assert_array_equal(grid[top : top + 4, left : left + 3], field)
    assert np.isfinite(grid).sum() == fields.size
    assert [text.get_text() for text in axes.texts] == [str(label) for label in range(1, num_neurons)]
    assert "weight" in bar.get_ylabel() and axes.get_title() == "a title"
    assert path.stat().st_size > 3000


def test_fields_of_zeros_can_be_drawn(tmp_path, figures):
    draw_receptive_fields(np.zeros((4, 2, 2), dtype=np.float32), "nothing", tmp_path / "fields.png")
    assert figures[0].axes[0].images[0].get_clim() == (0.0, 1.0)
