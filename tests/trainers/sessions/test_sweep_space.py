"""Which program a sweep file means, and which metrics that program cannot have."""

import re
from pathlib import Path

import pytest
import yaml

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.trainers.sessions.sweep_space import check_metric, find_program
from snn_plasticity_gym.trainers.sweep import run_sweep

ROOT = Path(__file__).parents[3]
MISSPELT = [
    ("train_a2c", "eval_after/rewrad", "did you mean eval_after/reward?"),
    ("train_a2c", "eval_afer/reward", "did you mean eval_after/reward?"),
    ("train_a2c", "time/images", "of time it logs time/episodes, time/events_per_second"),
    ("train_ppo", "reward", "it logs eval_after/..., eval_before/..., rollout/..."),
    ("train_ppo", "evaluation/reward", "it logs eval_after/..., eval_before/..., rollout/..."),
    ("train_es", "train/policy_loss", "of train it logs train/n_updates, train/return"),
    ("train_bptt", "eval_after/reward", "it logs eval/..., test/..., train/..., time/..., e.g. eval/accuracy"),
]


@pytest.mark.parametrize(("program", "metric", "message"), MISSPELT)
def test_a_misspelt_metric_is_found_before_the_first_run(program, metric, message, tmp_path, monkeypatch):
    sweep = {"method": "grid", "metric": {"name": metric}, "parameters": {"seed": {"values": [1]}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(sweep | {"program": f"trainers/{program}.py"}))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        run_sweep(["mine.yaml"])
    line = str(caught.value)
    assert line.startswith(f"{program}.py logs no metric '{metric}'; ") and message in line and "\n" not in line
    assert not Path("runs").exists()


def test_metrics_of_other_programs_and_terms_of_other_tasks_are_let_through():
    check_metric("anything", ROOT / "mine.py")
    check_metric("eval_after/steps_to_goal", ROOT / "trainers" / "train_a2c.py")
    check_metric("eval/rate_2", ROOT / "trainers" / "train_bptt.py")  # of a layer


@pytest.mark.parametrize("name", ["trainers/train_es.py", "snn-train-es"])
def test_programs_of_ours_are_found_wherever_they_are_installed(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_program(name, tmp_path / "sweep.yaml").samefile(ROOT / "trainers" / "train_es.py")
    own = tmp_path / "trainers" / "train_es.py"
    own.parent.mkdir()
    own.write_text("")
    assert find_program("trainers/train_es.py", tmp_path / "sweep.yaml").samefile(own)  # that of a checkout is its own


@pytest.mark.parametrize("name", ["mine/trainers/train_es.py", "~/mine.py", "snn-mine"])
def test_other_programs_are_files(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(
        ConfigError, match=f"there is no program {name}; give a path seen from here, or one of ours: tr"
    ):
        find_program(name, tmp_path / "sweep.yaml")
    path = tmp_path / name.removeprefix("~/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    assert find_program(name, tmp_path / "sweep.yaml").samefile(path)


def test_every_program_has_a_command():
    table = (ROOT / "pyproject.toml").read_text().partition("[project.scripts]")[2].partition("\n[")[0]
    scripts = dict(re.findall(r'^([\w-]+) = "(.*)"$', table, flags=re.MULTILINE))
    programs = [path.stem for path in (ROOT / "trainers").glob("*.py") if "def main() -> int:" in path.read_text()]
    assert scripts == {f"snn-{name.replace('_', '-')}": f"snn_plasticity_gym.trainers.{name}:main" for name in programs}
