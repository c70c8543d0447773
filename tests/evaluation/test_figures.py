"""Figures of learning curves: what is drawn, and what is read from runs of train_bptt."""

import csv
import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.evaluation.figures import Curve, bptt_curve, curve_table, draw_learning_curves

HEADER = "global_step,eval/accuracy,eval/loss,time/episodes,train/loss\n"


def curve(images: list[float], networks: int = 3, seed: int = 0) -> Curve:
    rng = np.random.default_rng(seed)
    shape = (len(images), networks)
    return Curve(images, {"accuracy": rng.random(shape), "loss": rng.random(shape) * 3})


def drawn(monkeypatch, curves: dict[str, Curve], path) -> Figure:
    figures, right = [], Figure.savefig

    def spy(self, *args, **kwargs):
        figures.append(self)
        right(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", spy)
    draw_learning_curves(curves, path, 4)
    (figure,) = figures
    return figure


def test_a_curve_is_read_from_the_rows_that_hold_an_evaluation(tmp_path):
    rows = "6,0.25,2.0,100,1.5\n9,,,150,1.4\n12,0.5,1.0,200,1.2\n12,,,,\n"
    (tmp_path / "metrics.csv").write_text(HEADER + rows)
    read = bptt_curve(tmp_path)
    assert read.images == [100.0, 200.0]
    assert {name: values.tolist() for name, values in read.values.items()} == {
        "accuracy": [[0.25], [0.5]],
        "loss": [[2.0], [1.0]],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read a run of train_bptt from"),
        ("global_step,eval/accuracy,time/episodes\n6,0.2,100\n", "cannot read a run of train_bptt from"),
        (HEADER + "6,many,2.0,100,1.5\n", "cannot read a run of train_bptt from"),
        (HEADER, "holds no evaluation; give the folder of a run of train_bptt"),
        ("global_step,rollout/reward\n6,0.2\n", "holds no evaluation; give the folder of a run of train_bptt"),
        ("", "holds no evaluation"),
    ],
)
def test_what_is_no_run_of_bptt_is_refused_in_one_line(tmp_path, text, message):
    if text is not None:
        (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        bptt_curve(tmp_path)
    assert "\n" not in str(error.value) and str(tmp_path / "metrics.csv") in str(error.value)


def test_a_row_cut_short_is_refused_in_one_line(tmp_path):
    (tmp_path / "metrics.csv").write_text(HEADER + "6,0.25,2.0,100,1.5\n12,0.5")  # a run that was killed
    with pytest.raises(ConfigError, match="cannot read a run of train_bptt from"):
        bptt_curve(tmp_path)


def test_a_picture_is_written_also_of_single_networks_and_single_tests(tmp_path):
    path = tmp_path / "new" / "folder" / "curves.png"
    draw_learning_curves({"zero": curve([0, 10, 20]), "one": curve([0, 10], 1), "start": curve([0])}, path, 10)
    picture = imread(path)
    assert path.stat().st_size > 5000 and picture.ndim == 3
    assert picture[..., :3].min() < 0.5 and picture[..., :3].max() == 1.0 and picture.std() > 0.02


def test_lines_are_means_and_bands_one_standard_deviation(tmp_path, monkeypatch):
    curves = {"zero": curve([0, 10, 20]), "delta": curve([0, 10, 20], 5, seed=1)}
    figure = drawn(monkeypatch, curves, tmp_path / "curves.png")
    left, right = figure.axes
    for axes, of in ((left, lambda c: 100 * c.values["accuracy"]), (right, lambda c: c.values["loss"])):
        lines = {line.get_label(): line for line in axes.lines}
        for (name, given), band in zip(curves.items(), axes.collections, strict=True):
            values = of(given)
            mean, spread = values.mean(axis=1), values.std(axis=1)
            np.testing.assert_allclose(lines[name].get_xydata(), np.stack([[0, 10, 20], mean], axis=1))
            box = band.get_paths()[0].vertices
            for x, low, high in zip([0, 10, 20], mean - spread, mean + spread, strict=True):
                heights = box[box[:, 0] == x, 1]
                assert heights.min() == pytest.approx(low) and heights.max() == pytest.approx(high)
        assert axes.get_xscale() == "linear"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["zero", "delta"]
    assert "%" in left.get_ylabel() and "nats" in right.get_ylabel()
    assert any(list(line.get_ydata()) == [25.0, 25.0] for line in left.lines)  # chance


def test_a_table_has_a_row_for_each_test_of_each_network():
    curves = {"zero": curve([0, 10]), "a, b": curve([0, 10], seed=1)}
    rows = list(csv.DictReader(io.StringIO(curve_table(curves, first_seed=7))))
    assert list(rows[0]) == ["rule", "seed", "images", "accuracy", "loss"] and len(rows) == 12
    for row in rows:
        place, network = [0, 10].index(int(row["images"])), int(row["seed"]) - 7
        for measure in ("accuracy", "loss"):
            expected = curves[row["rule"]].values[measure][place, network]
            assert float(row[measure]) == pytest.approx(expected, rel=1e-5)


def test_curves_of_very_different_lengths_stand_on_a_logarithmic_axis(tmp_path, monkeypatch):
    curves = {"delta": curve([0, 10, 20]), "BPTT": curve([100, 50_000], 1)}
    assert [axes.get_xscale() for axes in drawn(monkeypatch, curves, tmp_path / "c.png").axes] == ["symlog"] * 2
