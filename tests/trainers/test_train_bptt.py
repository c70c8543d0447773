"""The real command in a temporary folder, and what it learns."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from processes import as_command, refusal

from snn_plasticity_gym.config.bptt import SURROGATE_NAMES, BPTTConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.surrogate import SURROGATES
from snn_plasticity_gym.tasks.datasets import load_dataset
from snn_plasticity_gym.trainers import train_bptt
from snn_plasticity_gym.trainers.sessions.bptt_learner import SpikingClassifier
from snn_plasticity_gym.trainers.train_bptt import train

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--dataset=digits",
    "--hidden_sizes=32,16",
    "--num_steps=6",
    "--batch_size=50",
    "--wandb=disabled",
    "--no-report",
    "--seed=1",
]
SHORT = ["--episodes=200", "--eval_every=100", "--eval_episodes=50"]


def metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@as_command
def test_the_command_trains_and_leaves_a_whole_run_folder(run, tmp_path: Path) -> None:
    done = run(ROOT / "trainers" / "train_bptt.py", *FLAGS, *SHORT, "--run-dir", "here", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "200 of 200 episodes" in done.stderr
    (folder,) = (tmp_path / "here" / "BPTT").iterdir()
    assert str(Path("here") / "BPTT" / folder.name) in done.stdout and "seed 1," in done.stdout

    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["hidden_sizes"] == [32, 16] and config["surrogate"] == "gaussian" and config["seed"] == 1
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["dataset"]["name"] == "digits" and manifest["seed"] == 1
    rows = metrics(folder)
    columns = {
        "train/loss",
        "train/accuracy",
        "eval/accuracy",
        "eval/loss",
        "time/episodes",
        "eval/rate_1",
        "eval/rate_3",
    }
    assert columns <= set(rows[0])
    assert [row["time/episodes"] for row in rows] == ["100", "200", ""]
    assert [row["global_step"] for row in rows] == ["600", "1200", "1200"]

    result = json.loads((folder / "result.json").read_text())
    assert f"accuracy on 50 test images {result['test_accuracy']:.4f}" in done.stdout
    assert float(rows[-1]["test/accuracy"]) == result["test_accuracy"] and result["episodes"] == 200
    assert float(rows[1]["eval/accuracy"]) == result["validation_accuracy"]

    weights = torch.load(folder / "weights.pt", weights_only=True)
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == {
        "layer_1": (784, 32),
        "layer_2": (32, 16),
        "layer_3": (16, 10),
    }
    assert not any(weight.requires_grad for weight in weights.values())
    again = SpikingClassifier(
        BPTTConfig(hidden_sizes=(32, 16), num_steps=6), 784, 10, np.random.default_rng(0), torch.device("cpu")
    )
    again.weights = list(weights.values())
    assert again.judge(load_dataset("digits").test, 50).accuracy == result["test_accuracy"]


def test_images_and_classes_of_ones_own(tmp_path: Path) -> None:
    labels = np.tile([3, 7, 8], 20)
    images = np.random.default_rng(0).integers(0, 256, size=(60, 5, 4)).astype(np.uint8)
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    few = ["--hidden_sizes=6", "--num_steps=4", "--images=60", "--no-report", "--no-progress", "--wandb=disabled"]
    folder = train([f"--dataset={tmp_path / 'own.npz'}", *few, f"--run_dir={tmp_path}"])
    weights = torch.load(folder / "weights.pt", weights_only=True)
    assert [tuple(weight.shape) for weight in weights.values()] == [(20, 6), (6, 3)]
    told = json.loads((folder / "manifest.json").read_text())["dataset"]
    assert told["name"] == "own.npz" and told["classes"] == ["3", "7", "8"] and "seed 0" in told["division"]


def test_it_learns(tmp_path: Path) -> None:
    learn = ["--hidden_sizes=64,32", "--num_steps=8", "--episodes=5000", "--eval_every=1000", "--surrogate_width=1"]
    folder = train([*FLAGS, *learn, f"--run_dir={tmp_path}", "--no-progress"])
    losses = [float(row["train/loss"]) for row in metrics(folder) if row["train/loss"]]
    assert losses[-1] < 0.5 * losses[0]
    result = json.loads((folder / "result.json").read_text())
    assert result["test_accuracy"] > 0.6 and result["test_episodes"] == 300


@pytest.mark.parametrize("surrogate", SURROGATE_NAMES)
def test_every_surrogate_learns(surrogate: str, tmp_path: Path) -> None:
    learn = ["--hidden_sizes=64,32", "--episodes=2400", "--eval_every=600", "--surrogate_width=1"]
    rows = metrics(train([*FLAGS, *learn, f"--surrogate={surrogate}", f"--run_dir={tmp_path}", "--no-progress"]))
    losses = [float(row["train/loss"]) for row in rows if row["train/loss"]]
    assert losses[-1] < 0.8 * losses[0]


def test_surrogates_of_the_flag_are_those_that_exist() -> None:
    assert tuple(SURROGATES) == SURROGATE_NAMES


def test_same_seed_same_numbers(tmp_path: Path) -> None:
    def run(name: str, seed: int) -> list[dict[str, str]]:
        folder = train([*FLAGS, *SHORT, f"--run_dir={tmp_path}", f"--run_name={name}", f"--seed={seed}"])
        return [{k: v for k, v in row.items() if k != "time/seconds"} for row in metrics(folder)]

    assert run("a", 3) == run("b", 3)
    assert run("c", 4) != run("d", 3)


def test_epochs_are_passes_over_the_training_images(tmp_path: Path) -> None:
    folder = train([*FLAGS, "--epochs=2", "--hidden_sizes=8", "--eval_episodes=20", f"--run_dir={tmp_path}"])
    (row, _) = metrics(folder)
    assert int(row["time/episodes"]) == 2 * len(load_dataset("digits").train.labels)


def test_all_layers_fire_before_any_learning() -> None:
    """Silent deep layers would have no gradient under a narrow surrogate."""
    config = BPTTConfig()
    for seed in range(3):
        model = SpikingClassifier(config, 784, 10, np.random.default_rng(seed), torch.device("cpu"))
        rates = model.judge(load_dataset("digits").train, 100).rates
        assert len(rates) == 5 and all(0.01 < rate < 0.5 for rate in rates)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--episodse=3"], "did you mean '--episodes'"),
        (["--surrogate=gausian"], "did you mean 'gaussian'"),
        (["--hidden_sizes=32,0"], "hidden_sizes[1] must be greater than or equal to 1, got 0"),
        (["--v_th=-1"], "v_th must be above v_reset=0.0 and v_rest=0.0, got -1.0"),
        (["--dt=3"], "dt must be at most tau_mem=2.0 ms"),
        (["--dataset=mnits"], "did you mean 'mnist'"),
        (["--device=cuda:99"], "device must be one of"),
        (["--run_name=a/b"], "plain folder name"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_computed(flags: list[str], message: str, tmp_path: Path) -> None:
    said = refusal(train_bptt, [*FLAGS, *SHORT, *flags], tmp_path)
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("metrics.csv"))


def test_contradictions_are_refused_by_the_class_too() -> None:
    with pytest.raises(ConfigError, match="v_th must be above"):
        BPTTConfig(v_rest=2.0)


@pytest.mark.parametrize("dt", [1.0, 0.5])
def test_answers_are_of_rates_per_ms(dt: float) -> None:
    """The same time in steps of another length: logits of rates per ms."""
    config = BPTTConfig(dt=dt, num_steps=round(400 / dt), max_rate=0.4, hidden_sizes=(20,), alpha=3.0)
    model = SpikingClassifier(config, 9, 4, np.random.default_rng(0), torch.device("cpu"))
    images = torch.full((2, 3, 3), 255, dtype=torch.uint8)
    activity = model.show(images, np.random.default_rng(1))
    counts = activity.spikes[-1].sum(dim=0)  # (B, C) in 400 ms
    assert counts.sum() > 100
    torch.testing.assert_close(model.logits(activity), 3.0 * counts / 400.0)
