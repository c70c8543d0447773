"""Settings that have got a new name: the old one still works everywhere, with one line that says the new one."""

import logging
from collections.abc import Callable
from pathlib import Path

import gymnasium
import pytest
import yaml

import snn_plasticity_gym
from snn_plasticity_gym.config.bptt import BPTTConfig
from snn_plasticity_gym.config.ceiling import CeilingConfig
from snn_plasticity_gym.config.cli import parse_config, parse_configs
from snn_plasticity_gym.config.environments import ENVIRONMENTS, Unsup1Config
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.presets import read_preset
from snn_plasticity_gym.config.resuming import read_run
from snn_plasticity_gym.config.schema import (
    ConfigError,
    build_configs,
    config_class,
    current_names,
    setting,
    setting_fields,
    to_dict,
)
from snn_plasticity_gym.config.training import A2CConfig, ESConfig, PPOConfig
from snn_plasticity_gym.report.runs import read_runs

RENAMED = {
    "beside": "compare_with",
    "images": "episodes",
    "images_per_update": "episodes_per_update",
    "eval_images": "eval_episodes",
    "events_per_image": "events_per_episode",
    "plastic_images": "plastic_episodes",
    "train_images": "train_episodes",
    "test_images": "test_episodes",
    "judged_pool": "heldout_pool",
    "judged_shift": "heldout_shift",
    "images_per_network": "episodes_per_network",
}
TYPES = (A2CConfig, PPOConfig, ESConfig, BPTTConfig, CeilingConfig, EvaluateConfig, *ENVIRONMENTS.values())
OLD = [(kind, info.name, old) for kind in TYPES for info in setting_fields(kind) for old in info.was]


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The lines that were warned of since the last call."""
    caplog.set_level(logging.WARNING, "snn_plasticity_gym")

    def lines() -> list[str]:
        said = [record.getMessage() for record in caplog.records]
        caplog.clear()
        assert not any("\n" in line for line in said)
        return said

    return lines


@config_class
class Small:
    """A small configuration."""

    size: int = setting(3, "Size.", ge=1, was=("width", "length"))
    quick: bool = setting(False, "Whether it is quick.", was=("fast",))


@config_class
class Smaller(Small):
    """One that gives an inherited setting a new default."""

    size: int = 2


def test_these_are_all():
    assert {old: new for _, new, old in OLD} == RENAMED


@pytest.mark.parametrize(("kind", "new", "old"), OLD, ids=[f"{kind.__name__}-{old}" for kind, _, old in OLD])
def test_a_constructor_takes_the_old_name_and_refuses_both(kind, new, old, warnings):
    value = next(info.default for info in setting_fields(kind) if info.name == new)
    assert kind(**{old: value}) == kind()
    assert warnings() == [f"{old} is now called {new}; the old name is still taken"]
    with pytest.raises(ConfigError) as error:
        kind(**{old: value, new: value})
    assert str(error.value) == f"{old} is an old name of {new}; give {new} alone, got {old} and {new}"


def test_a_wrong_value_is_told_under_the_present_name(warnings):
    with pytest.raises(ConfigError, match=r"^size must be greater than or equal to 1, got 0$"):
        Small(width=0)
    assert Smaller(length=5).size == 5 and Smaller().size == 2
    with pytest.raises(ConfigError, match="give size alone, got width and length"):
        Small(width=1, length=1)


def test_several_old_names_are_told_in_one_line(warnings):
    assert Small(width=4, fast=True) == Small(size=4, quick=True)
    assert warnings() == ["width is now called size, fast is now called quick; the old names are still taken"]
    assert build_configs({"width": "7"}, Small) == (Small(size=7),)
    assert len(warnings()) == 1
    assert current_names({"size": 1, "other": 2}, setting_fields(Small)) == {"size": 1, "other": 2} and not warnings()


@pytest.mark.parametrize("argv", [["--images=7"], ["--images", "7"], ["--episodes=7"]])
def test_flags_of_a_trainer(argv, warnings):
    assert parse_configs(A2CConfig, ENVIRONMENTS, argv)[0].episodes == 7
    assert len(warnings()) == (argv != ["--episodes=7"])


def test_flags_of_an_environment_and_of_a_program_without_one(warnings):
    flags = ["--lifetime-length=9", "--plastic-images=4", "--judged-pool", "3", "--judged_shift=1"]
    environment = parse_configs(A2CConfig, ENVIRONMENTS, flags)[1]
    assert environment == Unsup1Config(lifetime_length=9, plastic_episodes=4, heldout_pool=3, heldout_shift=1)
    assert len(warnings()) == 1  # one line for all
    assert parse_config(BPTTConfig, ["--images=100", "--eval_images=20"]) == BPTTConfig(episodes=100, eval_episodes=20)


@pytest.mark.parametrize("argv", [["--fast"], ["--fast=True"], ["--no-slow", "--quick"]])
def test_flags_that_are_switched(argv, warnings):
    @config_class
    class Switched:
        """Two switches."""

        quick: bool = setting(False, "Quick.", was=("fast",))
        late: bool = setting(True, "Late.", was=("slow",))

    late = "--no-slow" not in argv
    assert parse_config(Switched, argv) == Switched(quick=True, late=late)
    assert len(warnings()) == 1


def test_both_flags_are_refused_in_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        parse_configs(A2CConfig, ENVIRONMENTS, ["--images=3", "--episodes=4"], prog="train")
    line = "train: error: images is an old name of episodes; give episodes alone, got images and episodes\n"
    assert caught.value.code == 2 and capsys.readouterr().err == line


def test_presets_name_the_file_in_the_warning(tmp_path: Path, warnings):
    path = tmp_path / "mine.yaml"
    path.write_text("images: 7\nevents_per_image: 3\nlifetime_length: 9\nplastic_images: 4\n")
    training, environment = parse_configs(A2CConfig, ENVIRONMENTS, [f"--preset={path}"])
    assert (training.episodes, training.events_per_episode, environment.plastic_episodes) == (7, 3, 4)
    (line,) = warnings()
    assert line.startswith(f"{path}: images is now called episodes, events_per_image is now called")
    assert parse_configs(A2CConfig, ENVIRONMENTS, [f"--preset={path}", "--episodes=5"])[0].episodes == 5  # a flag wins
    path.write_text("images: 7\nepisodes: 8\n")
    with pytest.raises(ConfigError, match=f"^{path}: images is an old name of episodes; give episodes alone"):
        read_preset(path, None, A2CConfig, ENVIRONMENTS)


def test_an_old_run_is_resumed_and_repeated(tmp_path: Path, warnings):
    training, environment = A2CConfig(episodes=40, eval_episodes=0), Unsup1Config(lifetime_length=9, plastic_episodes=4)
    settings = to_dict(training) | to_dict(environment)
    old = {new: name for name, new in RENAMED.items()}
    path = tmp_path / "config.yaml"
    before = {old.get(name, name): value for name, value in settings.items() if name not in ("local_state", "plugin")}
    path.write_text(yaml.safe_dump(before))  # of a time when these two settings were not known
    assert read_run(tmp_path, A2CConfig, ENVIRONMENTS) == settings
    assert parse_configs(A2CConfig, ENVIRONMENTS, [f"--resume={tmp_path}", "--images=50"])[0].episodes == 50
    assert parse_configs(A2CConfig, ENVIRONMENTS, [f"--preset={path}"])[1] == environment


def test_a_report_reads_an_old_run(tmp_path: Path, warnings):
    run = tmp_path / "SNNPlastic-Unsup1-v0" / "old"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("env: SNNPlastic-Unsup1-v0\nimages: 8\nlifetime_length: 9\nplastic_images: 4\n")
    (run / "manifest.json").write_text("{}")
    (run / "metrics.csv").write_text("time/images,rollout/reward\n4,0.5\n8,0.75\n")
    (read,) = read_runs([run])
    assert read.config["episodes"] == 8 and read.environment().plastic_episodes == 4
    episodes, rewards = read.curve("rollout/reward")
    assert episodes.tolist() == [4.0, 8.0] and rewards.tolist() == [0.5, 0.75]
    assert len(warnings()) == 1


def test_gymnasium_takes_old_keywords(warnings):
    small = {"n_exc": 4, "num_steps": 6, "history_length": 6, "image_size": 14, "dataset": "digits"}
    env = gymnasium.make("SNNPlastic-Unsup1-v0", **small, lifetime_length=3, plastic_images=2)
    assert env.unwrapped.config.plastic_episodes == 2 and len(warnings()) == 1
    envs = gymnasium.make_vec("SNNPlastic-Unsup1-v0", num_envs=2, **small, lifetime_length=3, plastic_images=2)
    assert envs.config.plastic_episodes == 2
    assert snn_plasticity_gym.environment_config("SNNPlastic-Unsup1-v0", lifetime_length=3, plastic_images=1)
    with pytest.raises(ConfigError, match="plastic_images is an old name of plastic_episodes"):
        gymnasium.make("SNNPlastic-Unsup1-v0", **small, lifetime_length=3, plastic_images=2, plastic_episodes=2)
