"""Runs in Grad: alignment against the ceiling, answers beside BPTT."""

import json
from pathlib import Path

import numpy as np
import pytest

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.report.gradient_section import Ceiling, gradient_section, is_bptt, is_gradient, read_ceiling
from snn_plasticity_gym.report.runs import Group, Run, read_runs
from snn_plasticity_gym.trainers import train_svpg

IMAGES = [16.0, 32.0, 48.0]


def grad_run(label: str, shift: float = 0.0) -> Run:
    columns = {"time/episodes": IMAGES, "rollout/loss": [3.0, 2.0, 1.0], "rollout/accuracy": [0.1, 0.2, 0.3]}
    for layer in (1, 2):
        columns[f"rollout/cosine_{layer}"] = [0.1 * layer, 0.2 * layer, 0.3 * layer + shift]
        columns[f"rollout/sign_agreement_{layer}"] = [0.5, 0.55, 0.6 + shift]
        columns[f"eval_before/cosine_{layer}"] = [np.nan, np.nan, 0.0]
        columns[f"eval_after/cosine_{layer}"] = [np.nan, np.nan, 0.03 * layer + shift]
    return Run(Path(label), label, {"env": "SNNPlastic-Grad-v0"}, {}, {k: np.array(v) for k, v in columns.items()})


def bptt_run(folder: Path) -> Run:
    folder.mkdir()
    text = "time/episodes,eval/accuracy,eval/loss\n1000,0.5,1.5\n50000,0.9,0.5\n"
    (folder / "metrics.csv").write_text(text)
    return Run(folder, "bptt", {}, {}, {"eval/accuracy": np.array([0.5, 0.9]), "eval/loss": np.array([1.5, 0.5])})


CEILING = Ceiling([0.06, 0.2], [0.52, 0.55])


def test_runs_are_told_apart(tmp_path):
    assert is_gradient(grad_run("a")) and not is_bptt(grad_run("a"))
    assert is_bptt(bptt_run(tmp_path / "b")) and not is_gradient(bptt_run(tmp_path / "c"))


def test_runs_of_other_learners_stand_beside_no_rule(tmp_path):
    """The curve of BPTT has answers and their loss; train_svpg judges images, or returns, and knows no loss."""
    flags = ["--dataset=digits", "--hidden_groups=2", "--episodes=40", "--eval_every=20", "--wandb=disabled"]
    folder = train_svpg.train([*flags, "--seed=0", "--no-report", f"--run_dir={tmp_path}"])
    (run,) = read_runs([folder])
    assert "eval/accuracy" in run.metrics and run.env is None and not is_bptt(run)


def test_alignment_by_layer_under_its_ceiling(tmp_path):
    group = Group("two", [grad_run("a"), grad_run("b", 0.02)])
    section = gradient_section([group], [], CEILING)
    cosine, sign = section.pictures[0].figure.axes
    lines = {line.get_label(): line for line in cosine.lines if line.get_label().startswith("layer")}
    np.testing.assert_allclose(lines["layer 2"].get_xydata(), [[16, 0.2], [32, 0.4], [48, 0.61]])
    dashed = [line for line in cosine.lines if line.get_linestyle() == "--"]
    assert [line.get_ydata()[0] for line in dashed] == CEILING.cosine
    assert [line.get_color() for line in dashed] == [line.get_color() for line in lines.values()]
    assert [line.get_ydata()[0] for line in sign.lines if line.get_linestyle() == "--"] == CEILING.sign_agreement
    assert len(cosine.collections) == 2  # bands of two seeds
    (table,) = section.tables
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["cosine, layer 2"] == ["0", "0.07", "0.2", "35 %"]
    assert rows["sign agreement, layer 1"] == ["–", "–", "0.52", "–"]


def test_answers_stand_beside_bptt(tmp_path):
    section = gradient_section([Group("a", [grad_run("a")])], [bptt_run(tmp_path / "b")], None)
    accuracy, loss = section.pictures[-1].figure.axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in accuracy.lines}
    assert lines["a"] == [[16, 10], [32, 20], [48, 30]] and lines["bptt"] == [[1000, 50], [50000, 90]]
    assert {line.get_label(): list(line.get_ydata()) for line in loss.lines}["bptt"] == [1.5, 0.5]
    assert accuracy.get_xscale() == "log" and "%" in accuracy.get_ylabel() and "nats" in loss.get_ylabel()
    assert section.tables[0].head == ["a", "before", "after"]


def test_chance_is_that_of_the_classes_of_the_runs():
    few = grad_run("few")._replace(manifest={"dataset": {"name": "own", "classes": ["3", "7"]}})
    assert (few.num_classes, grad_run("old").num_classes) == (2, 10)
    accuracy, loss = gradient_section([Group("few", [few])], [], None).pictures[-1].figure.axes
    for axes, level in ((accuracy, 50.0), (loss, np.log(2))):
        assert [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"] == [pytest.approx(level)]


def test_the_ceiling_is_the_last_line_of_the_program(tmp_path):
    file = tmp_path / "ceiling.txt"
    file.write_text(" layer cosine\n 1 0.1\n" + json.dumps({**CEILING._asdict(), "images": 3}) + "\n")
    assert read_ceiling(file) == CEILING


@pytest.mark.parametrize(
    "text", [None, "", "no JSON", "{}", '{"cosine": 1, "sign_agreement": [1]}', '{"cosine": ["x"]}']
)
def test_what_is_no_ceiling_is_refused_in_one_line(tmp_path, text):
    file = tmp_path / "ceiling.txt"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match="ceiling") as error:
        read_ceiling(file)
    assert "\n" not in str(error.value) and str(file) in str(error.value)


def test_a_ceiling_of_other_layers_is_refused():
    with pytest.raises(ConfigError, match="the ceiling has 1 layers, the run a has 2"):
        gradient_section([Group("a", [grad_run("a")])], [], Ceiling([0.1], [0.5]))
