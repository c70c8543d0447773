"""The real command on small networks: undisturbed they are worth what their run says, and disturbances do harm."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from processes import as_command

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.trainers import robustness, train_svpg

ROOT = Path(__file__).parents[2]
FLAGS = ["--dataset=digits", "--hidden_groups=4", "--hidden_size=30", "--batch_size=20", "--episodes=6000"]
FLAGS += ["--eval_every=6000", "--learning_rate=0.005", "--wandb=disabled", "--no-report"]
POLE = ["--hidden_groups=2", "--group_size=4", "--episodes=10", "--eval_every=10", "--eval_episodes=2"]
POLE += ["--test_episodes=2", "--wandb=disabled", "--no-report"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Two networks of one rule, one of another, and one that acts."""
    root = tmp_path_factory.mktemp("runs")
    made = {}
    for name, flags in (("a", ["--seed=1"]), ("b", ["--seed=2"]), ("mlp", ["--seed=3", "--rule=mlp"])):
        made[name] = train_svpg.train([*FLAGS, *flags, f"--run_dir={root}", f"--run_name={name}"])
    made["pole"] = train_svpg.train(["--world=CartPole-v1", "--seed=4", *POLE, f"--run_dir={root}", "--run_name=pole"])
    return made


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "robustness.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@as_command
def test_the_command_disturbs_networks_and_compares_groups(run, runs, tmp_path):
    kinds = "knock_out:0.2:0.9,weight_gaussian:0.1,input_gaussian:2"
    flags = [f"--kinds={kinds}", "--draws=2", "--names=local,local,mlp", "--out=found"]
    given = (str(runs[name]) for name in ("a", "b", "mlp"))
    done = run(ROOT / "trainers" / "robustness.py", *given, *flags, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| disturbance | level | local | mlp | local − mlp |" in done.stdout
    assert done.stdout.startswith((tmp_path / "found" / "robustness.md").read_text(encoding="utf-8"))
    assert (tmp_path / "found" / "robustness.png").exists()
    rows = rows_of(tmp_path / "found")
    assert len(rows) == 3 + 3 * 4 * 2
    for name in ("a", "b", "mlp"):
        expected = json.loads((runs[name] / "result.json").read_text())["test"]
        (clean,) = [float(row["value"]) for row in rows if row["run"] == name and row["disturbance"] == "none"]
        assert clean == expected > 0.15  # chance is 0.1
    worst = [float(row["value"]) for row in rows if row["group"] == "local" and row["level"] in ("0.9", "2.0")]
    assert (
        np.mean(worst)
        < 0.25
        < min(float(row["value"]) for row in rows if row["level"] == "0.0" and row["run"] != "mlp")
    )

    again = robustness.measure([str(runs["a"]), "--kinds=weight_gaussian:0.1", "--draws=1"])
    (first,) = [
        row for row in rows if row["run"] == "a" and row["disturbance"] == "weight_gaussian" and row["draw"] == "0"
    ]
    assert again["a", "weight_gaussian", 0.1].item() == float(first["value"])  # whatever else is asked for


def test_a_longer_pole_is_another_world(tmp_path):
    pytest.importorskip("mujoco")
    flags = ["--preset=svpg-pendulum", *POLE, "--seed=0", f"--run_dir={tmp_path}"]
    run = train_svpg.train(flags)
    found = robustness.measure([str(run), "--kinds=world.pole_length:0.1:1.5:6,salt:0.2", "--draws=2", "--episodes=3"])
    short, own, long = (found[run.name, "world.pole_length", level].item() for level in (0.1, 1.5, 6.0))
    assert short < own < long  # a long pole falls more slowly
    assert own == robustness.measure([str(run), "--kinds=world.pole_length:1.5", "--episodes=3"]).popitem()[1].item()
    assert found[run.name, "salt", 0.2].shape == (1, 2)


def test_what_cannot_be_is_refused_before_any_work(runs, tmp_path, capsys):
    def refusal(*arguments: object) -> str:
        with pytest.raises(ConfigError) as caught:
            robustness.measure([str(argument) for argument in arguments])
        assert "\n" not in str(caught.value) and not capsys.readouterr().out
        return str(caught.value)

    assert "no run was given" in refusal()
    assert "unknown disturbance 'sald'; did you mean 'salt'?" in refusal(runs["a"], "--kinds=sald")
    assert "names must be one for each of the 2 runs" in refusal(runs["a"], runs["b"], "--names=x")
    assert "must have the same task" in refusal(runs["a"], runs["pole"])
    assert "needs runs in a world, got images" in refusal(runs["a"], "--kinds=world.pole_length:1")
    assert "cannot be made" in refusal(runs["pole"], "--kinds=world.wheels:1")
    cut = tmp_path / "SVPG" / "cut"
    cut.mkdir(parents=True)
    for name in ("config.yaml", "manifest.json", "metrics.csv"):
        (cut / name).write_bytes((runs["a"] / name).read_bytes())
    assert "the run is not finished" in refusal(cut)
    (cut / "weights.pt").write_bytes(b"nothing")
    assert "is damaged" in refusal(cut)
