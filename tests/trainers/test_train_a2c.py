"""The real command in a temporary folder."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from processes import as_command, refusal

from snn_plasticity_gym.config.training import A2CConfig
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.runs.folder import RunFolder
from snn_plasticity_gym.trainers import train_a2c
from snn_plasticity_gym.trainers.train_a2c import train
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

ROOT = Path(__file__).parents[2]
ID = "SNNPlastic-Unsup1-v0"
SMALL = {
    "dataset": "digits",
    "n_exc": 8,
    "num_steps": 10,
    "history_length": 8,
    "max_rate": 0.02,
    "gain_input_exc": 20.0,
}
FLAGS = [f"--{name}={value}" for name, value in SMALL.items()]
SHORT = ["--episodes=8", "--num_envs=2", "--eval_episodes=4", "--seed=1", "--wandb=disabled", "--no-report"]
SHORT += ["--head_sizes=8,8"]


def metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@as_command
def test_the_command_trains_and_leaves_a_whole_run_folder(run, tmp_path):
    done = run(ROOT / "trainers" / "train_a2c.py", *FLAGS, *SHORT, "--run-dir", "here", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "8 of 8 episodes" in done.stderr
    (folder,) = (tmp_path / "here" / ID).iterdir()
    assert str(Path("here") / ID / folder.name) in done.stdout
    assert "before" in done.stdout and "after" in done.stdout and "seed 1," in done.stdout

    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["n_exc"] == 8 and config["learning_rate"] == A2CConfig().learning_rate and config["seed"] == 1
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["dataset"]["name"] == "digits" and len(manifest["dataset"]["checksum"]) == 64
    rows = metrics(folder)
    assert {  # what a run is said to log
        "rollout/reward",
        "rollout/sparsity",
        "rollout/diversity",
        "train/policy_loss",
        "train/value_loss",
        "train/entropy_loss",
        "train/explained_variance",
        "rollout/events_per_episode",
        "time/events_per_second",
        "rollout/spikes_exc",
        "weights/input_to_exc_mean",
        "weights/input_to_exc_spread",
        "weights/inh_to_exc_saturation",
        "eval_before/reward",
        "eval_after/reward",
    } <= set(rows[0])
    assert [row["time/episodes"] for row in rows[:4]] == ["2", "4", "6", "8"]
    after = float(next(row["eval_after/reward"] for row in rows if row["eval_after/reward"]))
    assert f"{after:.4g}" in done.stdout

    model = EventA2C.load(folder / "final.zip")  # in a process that never saw the script
    env = make_sb3_env(ID, 1, **SMALL)
    actions, _ = model.predict(env.reset(), deterministic=True)
    assert actions.shape == (1, *env.action_space.shape) and np.isfinite(actions).all()


def test_same_seed_same_numbers(tmp_path):
    def run(name: str, seed: int) -> list[dict[str, str]]:
        folder = train([*FLAGS, *SHORT, f"--run_dir={tmp_path}", f"--run_name={name}", f"--seed={seed}"])
        rows = metrics(folder)
        return [{k: v for k, v in row.items() if not k.startswith("time/") or k == "time/episodes"} for row in rows]

    first = run("a", 3)
    assert first == run("b", 3)
    assert first != run("c", 4)


@pytest.mark.parametrize("flags", [[], ["--exploration=rule"]])
def test_sigma_goes_evenly_from_its_first_value_to_its_last(flags, tmp_path):
    folder = train([*FLAGS, *SHORT, *flags, f"--run_dir={tmp_path}", "--sigma=0.2", "--sigma_end=0.1"])
    told = [float(row["train/sigma"]) for row in metrics(folder) if row["train/sigma"]]
    assert told == pytest.approx([0.2, 0.175, 0.15, 0.125])


def test_learning_rates_go_evenly_to_their_last_values(tmp_path):
    rates = ["--learning_rate=4e-4", "--critic_learning_rate=8e-4", "--learning_rate_end=1e-4"]
    folder = train([*FLAGS, *SHORT, *rates, f"--run_dir={tmp_path}"])
    told = [float(row["train/learning_rate"]) for row in metrics(folder) if row["train/learning_rate"]]
    assert told == pytest.approx([3.25e-4, 2.5e-4, 1.75e-4, 1e-4])
    saved = Checkpoints(folder / "checkpoints").newest()
    groups = saved["learner"]["optimizer"]["param_groups"]  # of front and heads, and of the critic
    assert [group["lr"] for group in groups] == pytest.approx([1e-4, 2e-4])


def test_a_sweep_agent_may_write_flags_in_its_own_way(tmp_path):
    folder = train(
        [
            *FLAGS,
            *SHORT,
            f"--run_dir={tmp_path}",
            "--learning_rate=1e-05",
            "--normalize_advantage=False",
            "--common_noise=True",
            "--event-kinds",
            "feature",
            "--checkpoint_every=4",
            "--no-progress",
        ]
    )
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["learning_rate"] == 1e-5 and config["normalize_advantage"] is False
    assert config["common_noise"] is True and config["progress"] is False
    model = EventA2C.load(folder / "final.zip")
    assert model.policy.use_kind and model.normalize_advantage is False
    assert [p.name[:18] for p in sorted((folder / "checkpoints").iterdir())] == [
        "episodes_000000004",
        "episodes_000000008",
    ]


def test_only_the_newest_checkpoints_stay(tmp_path):
    arguments = [*FLAGS, *SHORT, f"--run_dir={tmp_path}", "--episodes=12", "--checkpoint_every=2", "--eval_episodes=0"]
    folder = train(arguments)
    names = [p.name[:18] for p in sorted((folder / "checkpoints").iterdir())]
    assert names == [f"episodes_{images:09d}" for images in (8, 10, 12)]


@pytest.mark.slow
def test_offline_wandb_gets_the_same_run(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    folder = train([*FLAGS, *SHORT, "--wandb=offline", f"--run_dir={tmp_path}"])
    (offline,) = (folder / "wandb").glob("offline-run-*")
    assert list(offline.glob("run-*.wandb"))
    run = train([f"--resume={folder}", "--episodes=12"])
    both = (run / "wandb").glob("offline-run-*/run-*.wandb")  # `wandb sync` joins what has the same id
    assert [path.stem.removeprefix("run-") for path in both] == [RunFolder(run).wandb_id] * 2


def test_what_the_evaluation_says_does_not_depend_on_training_length(tmp_path):
    """The reward before is that of the untrained policy on fixed networks and images."""

    def before(images: int) -> float:
        folder = train([*FLAGS, *SHORT, f"--episodes={images}", f"--run_dir={tmp_path}"])
        return next(float(row["eval_before/reward"]) for row in metrics(folder) if row["eval_before/reward"])

    first = before(2)
    assert math.isfinite(first) and first == before(6)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--episodse=3"], "did you mean '--episodes'"),
        (["--env=SNNPlastic-Unsup9-v0"], "SNNPlastic-Unsup1-v0"),
        (["--num_steps=4"], "history_length must be at most num_steps"),
        (["--n_exc=0"], "n_exc must be greater than or equal to 1, got 0"),
        (["--learning_rate=nan"], "learning_rate must be"),
        (["--dataset=mnits"], "did you mean 'mnist'"),
        (["--device=cuda:99"], "device must be one of"),
        (["--run_name=a/b"], "plain folder name"),
        (
            ["--lifetime_length=2", "--credit_from=2", "--credit_horizon=3", "--episodes_per_update=3"],
            "credit_from must be less than lifetime_length=2, or no reward counts, got 2",
        ),
        (["--env=SNNPlastic-Unsup2-v0", "--eta_inh=0"], "the head for I -> E cannot learn at eta_inh=0"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_computed(flags, message, tmp_path):
    said = refusal(train_a2c, [*FLAGS, *SHORT, *flags], tmp_path)
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("metrics.csv"))
