"""Presets: those that we ship are valid, flags win over them, and every mistake is one line that names the file."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from snn_plasticity_gym.config.cli import parse_configs
from snn_plasticity_gym.config.environments import ENVIRONMENTS, GradConfig, Unsup2Config
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.evolve import EvolveConfig
from snn_plasticity_gym.config.presets import purpose, read_preset, shipped_file, shipped_files
from snn_plasticity_gym.config.schema import ConfigError, setting_fields, to_dict
from snn_plasticity_gym.config.training import A2CConfig, ESConfig, PPOConfig
from snn_plasticity_gym.envs.ways import way_of
from snn_plasticity_gym.kernels.tables import ClosedForm
from snn_plasticity_gym.tasks.registry import make_task
from snn_plasticity_gym.trainers.sessions.evaluation_session import rule_of
from snn_plasticity_gym.trainers.train_a2c import train

GRAD = "SNNPlastic-Grad-v0"
TRAINING = [
    "cartpole-learned-a2c",
    "cartpole-lives",
    "first-rule",
    "grad",
    "semi",
    "semi-formula-a2c",
    "semi-heads",
    "semi-heads-lives",
    "semi-lives",
    "semi-policy",
    "unsup1",
    "unsup1-heads",
    "unsup1-learn",
    "unsup1-lives",
    "unsup1-policy",
    "unsup1-small",
    "unsup2",
]
EVOLVING = [
    "cartpole-learned",
    "semi-formula",
    "unsup1-es",
    "unsup1-formula",
    "unsup1-long",
    "unsup1-reconstruction",
    "unsup2-reconstruction",
]
PROXIMAL = ["grad-ppo"]
JUDGING = ["bindsnet-like", "diehl-cook-2015", "fast-wta", "semi-surrogate"]
ACTING = ["cartpole-credited", "cartpole-rstdp"]  # of the judge, too
WEIGHTS = ["acrobot-evolution", "cartpole-evolution", "half-cheetah-evolution", "inverted-pendulum-evolution"]
WEIGHTS += ["lunar-lander-evolution", "mountain-car", "mountain-car-paper", "pendulum-evolution"]
WITHOUT_ENVIRONMENT = [
    "cheetah-reduced",
    "cue-association",
    "inverted-pendulum-plastic",
    "svpg-cartpole",
    "svpg-mnist",
    "svpg-pendulum",
    "svpg-spikes",
]
NAMES = sorted(TRAINING + EVOLVING + PROXIMAL + JUDGING + ACTING + WEIGHTS + WITHOUT_ENVIRONMENT)


def parse(*argv: str, trainer: type = A2CConfig):
    return parse_configs(trainer, ENVIRONMENTS, argv, prog="train")


def flat(path: Path) -> dict[str, Any]:
    """The settings of a preset of ours over those of its bases, all of which are shipped."""
    values = yaml.safe_load(path.read_text())
    base = values.pop("base", None)
    return (flat(path.with_name(f"{base}.yaml")) if base else {}) | values


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return f"--preset={path}"

    return write


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*argv: str) -> str:
        with pytest.raises(SystemExit) as caught:
            parse(*argv)
        err = capsys.readouterr().err
        assert caught.value.code == 2 and err.count("\n") == 1
        return err.strip()

    return run


def test_these_are_shipped():
    assert [path.stem for path in shipped_files("preset")] == NAMES


@pytest.mark.parametrize(
    ("trainer", "name"),
    [(trainer, name) for trainer in (A2CConfig, PPOConfig) for name in TRAINING]
    + [(ESConfig, name) for name in EVOLVING]
    + [(PPOConfig, name) for name in PROXIMAL]
    + [(EvolveConfig, name) for name in WEIGHTS]
    + [(EvaluateConfig, name) for name in JUDGING + ACTING],
)
def test_a_shipped_preset_says_what_it_is_for_and_all_its_values_arrive(trainer: type, name: str):
    path = shipped_file("preset", name)
    assert path.read_text().startswith("# ") and 20 < len(purpose(path)) < 90
    values = flat(path)
    foreign = () if trainer is EvaluateConfig else (EvaluateConfig,)
    training, environment = parse_configs(trainer, ENVIRONMENTS, [f"--preset={name}"], prog="train", foreign=foreign)
    known = {info.name for t in (trainer, ENVIRONMENTS[values["env"]]) for info in setting_fields(t)}
    of_judge = {info.name for kind in foreign for info in setting_fields(kind)} - known
    if name in (
        "unsup1-heads",
        "unsup1-lives",
        "unsup1-long",
        "unsup1-policy",
        "unsup1-reconstruction",
        "unsup2-reconstruction",
    ):  # their base is a preset of the judge
        values = {key: value for key, value in values.items() if key not in of_judge}
    assert "env" in values and values.keys() <= known
    assert values.items() <= (to_dict(training) | to_dict(environment)).items()
    assert training.preset == name


@pytest.mark.parametrize("name", JUDGING)
def test_a_preset_of_the_judge_is_compiled_rules_and_all_and_a_network_to_train_in(name: str):
    judge, environment = parse(f"--preset={name}", trainer=EvaluateConfig)
    task = make_task(judge.env, environment, 1, torch.device("cpu"))
    for rule in judge.rules:
        way = way_of(rule_of(rule, judge.env, environment, 0), environment, task, (), torch.zeros(1, dtype=torch.bool))
        assert isinstance(way, ClosedForm)
    training, same = parse_configs(A2CConfig, ENVIRONMENTS, [f"--preset={name}"], foreign=(EvaluateConfig,))
    assert same == environment and training == A2CConfig(env=judge.env, preset=name)


def test_flags_win_and_what_a_preset_leaves_out_is_default():
    training, environment = parse("--episodes=7", "--preset", "grad", "--max-rate", "0.5", "--normalize_returns=False")
    assert (training.episodes, training.num_envs, training.gamma) == (7, 4, A2CConfig().gamma)
    assert training.normalize_returns is False
    network = {"hidden_sizes": (64, 32), "layer_scalars": (0.33, 0.67, 1.0), "w_init": 6.0}
    assert environment == GradConfig(**network, max_rate=0.5, lifetime_length=8, penalty=5.0)


def test_a_flag_may_choose_another_environment_that_has_the_same_settings(write):
    preset = write("env: SNNPlastic-Unsup1-v0\nn_exc: 9\nlearning_rate: 1e-3")
    training, environment = parse(preset, "--env=SNNPlastic-Unsup2-v0")
    assert environment == Unsup2Config(n_exc=9) and training.env == "SNNPlastic-Unsup2-v0"
    assert training.learning_rate == 1e-3 and training.preset == preset.partition("=")[2]


def test_a_preset_of_nothing_changes_nothing(write):
    assert parse(write(""))[1] == parse()[1] == parse("--preset=")[1]


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        ("learning_rat: 1", [], "mine.yaml: unknown setting 'learning_rat'; did you mean 'learning_rate'?"),
        ("xyzzy: 1", [], "mine.yaml: unknown setting 'xyzzy'; --help lists them"),
        ("clip_range: 0.1", [], "mine.yaml: unknown setting 'clip_range'"),
        ("penalty: 0.1", [], f"mine.yaml: penalty is a setting of {GRAD}, not of SNNPlastic-Unsup1-v0"),
        ("episodes: 0", [], "mine.yaml: episodes must be greater than or equal to 1, got 0"),
        ("episodes: 0\nn_ex: 3", [], "did you mean 'n_exc'?; episodes must be greater"),
        ("episodes: 0", ["--episodes=3"], "mine.yaml: episodes must be"),
        ("history_length: 200", [], "mine.yaml: history_length must be at most num_steps"),
        ("env: SNNPlastic-Grd-v0", [], f"mine.yaml: 'SNNPlastic-Grd-v0'; valid: {', '.join(ENVIRONMENTS)}; did you"),
        ("env: [1]", ["--env", GRAD], "mine.yaml: [1]; valid:"),
        ("preset: grad", [], "mine.yaml: a preset starts from another one by `base: NAME`, not by preset"),
        ("- episodes", [], "mine.yaml must hold lines of the form `name: value`"),
        ("episodes: [", [], "cannot read settings from"),
        ("episodes: 3", ["--episodes=0"], "train: error: episodes must be greater than or equal to 1, got 0"),
        ("episodes: 3", ["--episods=0"], "train: error: unknown flag '--episods'; did you mean '--episodes'?"),
    ],
)
def test_mistakes_are_answered_in_one_line(write, refusal, text: str, flags: list[str], message: str):
    assert message in refusal(write(text), *flags)


def test_a_preset_of_another_environment_is_refused_in_a_short_line(refusal):
    line = refusal("--preset=grad", "--env=SNNPlastic-Unsup1-v0")
    assert (
        f"grad.yaml: penalty is a setting of {GRAD}, not of SNNPlastic-Unsup1-v0; as wrong: hidden_sizes, layer_scalars"
        in line
    )


@pytest.mark.parametrize("name", ["unsup1-es", "cartpole-evolution", "svpg-cartpole"])
def test_a_preset_of_another_program_says_whose_it_is(refusal, name: str):
    line = refusal(f"--preset={name}")
    assert f"preset {name} is for another program ({purpose(shipped_file('preset', name)).rstrip('.')})" in line


def test_unknown_presets(refusal):
    assert f"unknown preset 'grda'; valid: {', '.join(NAMES)}, or the path of a YAML file" in refusal("--preset=grda")
    assert "did you mean unsup1?" in refusal("--preset", "unsup-1")
    assert "cannot read settings from none/grad" in refusal("--preset=none/grad")
    assert "argument --preset: expected one argument" in refusal("--preset")
    with pytest.raises(ConfigError, match="unknown sweep 'x'"):
        shipped_file("sweep", "x")


def test_help_names_the_presets_and_shows_their_values(capsys):
    with pytest.raises(SystemExit):
        parse_configs(A2CConfig, ENVIRONMENTS, ["--help", "--preset=grad"], prog="train", foreign=(EvaluateConfig,))
    text = capsys.readouterr().out
    assert all(f"  {name} " in text and purpose(shipped_file("preset", name)) in text for name in TRAINING)
    assert not any(f"  {name} " in text for name in [*EVOLVING, *PROXIMAL, *WEIGHTS, "svpg-cartpole"])
    assert "choose with --preset" in text and "(default: 1600 episodes; >= 1)" in text and "--hidden_sizes" in text


def test_a_run_keeps_the_name_of_its_preset_and_can_be_repeated(tmp_path):
    small = ["--episodes=2", "--num_envs=2", "--eval_episodes=0", "--dataset=digits", "--n_exc=8", "--num_steps=10"]
    flags = ["--history_length=8", "--wandb=disabled", "--no-report", "--seed=1", f"--run_dir={tmp_path}"]
    folder = train(["--preset=unsup1", *small, *flags])
    written = yaml.safe_load((folder / "config.yaml").read_text())
    assert written["preset"] == "unsup1" and written["n_exc"] == 8 and written["num_envs"] == 2

    training, environment = parse(f"--preset={folder / 'config.yaml'}")
    assert to_dict(training) | to_dict(environment) == written | {"preset": str(folder / "config.yaml")}


def test_settings_of_other_programs_are_left_aside_where_they_are_named(tmp_path):
    path = tmp_path / "mine.yaml"

    def read(text: str, *foreign: type):
        path.write_text(text)
        return read_preset(path, None, EvaluateConfig, ENVIRONMENTS, foreign)

    text = f"env: {GRAD}\nlearning_rate: nonsense\nclip_range: 0.1\npenalty: 0.5"
    assert read(text, A2CConfig, PPOConfig) == {"env": GRAD, "penalty": 0.5}
    for foreign, stray in (((), "learning_rate"), ((A2CConfig,), "clip_range")):
        with pytest.raises(ConfigError, match=f"unknown setting '{stray}'") as error:
            read(text, *foreign)
        assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match=r"mine\.yaml: unknown setting 'learning_rat'"):
        read("learning_rat: 1", A2CConfig, PPOConfig)
    with pytest.raises(ConfigError, match="n_exc is a setting of SNNPlastic-Unsup1-v0"):
        read(f"env: {GRAD}\nn_exc: 3\nlearning_rate: 1", A2CConfig)
    with pytest.raises(ConfigError, match="penalty must be"):
        read(f"env: {GRAD}\npenalty: -1\nlearning_rate: 1", A2CConfig)
    with pytest.raises(ConfigError, match="starts from another one by `base: NAME`"):
        read("preset: grad", A2CConfig)


def test_a_preset_holds_what_differs_from_its_base(tmp_path):
    (tmp_path / "first.yaml").write_text("episodes: 7\nn_exc: 9\nmax_rate: 0.5\nlearning_rate: 1e-3\n")
    (tmp_path / "second.yaml").write_text("base: first.yaml\nmax_rate: 0.25\nsigma: 0.5\n")
    (tmp_path / "sub").mkdir()
    third = tmp_path / "sub" / "third.yaml"
    third.write_text("base: ../second.yaml\nenv: SNNPlastic-Unsup2-v0\nn_exc: 16\n")
    training, environment = parse(f"--preset={third}", "--sigma=0.75")
    assert environment == Unsup2Config(n_exc=16, max_rate=0.25)
    assert training == A2CConfig(
        env="SNNPlastic-Unsup2-v0", episodes=7, learning_rate=1e-3, sigma=0.75, preset=str(third)
    )


def test_a_base_may_be_a_shipped_preset_and_knows_old_names(write, caplog):
    path = write("base: unsup1\nn_exc: 9\n")
    training, environment = parse(path)
    shipped, network = parse("--preset=unsup1")
    assert dataclasses.replace(training, preset="unsup1") == shipped
    assert environment == dataclasses.replace(network, n_exc=9)
    parse(write("base: unsup1\nimages: 9\n"))
    (line,) = caplog.messages
    assert "mine.yaml: images is now called episodes" in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: mine.yaml", "mine.yaml: base: a preset cannot be its own base, got mine.yaml -> mine.yaml"),
        (
            "base: other.yaml",
            "other.yaml: base: a preset cannot be its own base, got mine.yaml -> other.yaml -> mine",
        ),
        ("base: none.yaml", "mine.yaml: base: cannot read settings from "),
        ("base: unsup1-lern", "mine.yaml: base: unknown preset 'unsup1-lern'; valid: "),
        ("base: [unsup1]", "mine.yaml: base must be the name of a preset or the path of a YAML file, got ['unsup1']"),
        ("base: ''", "mine.yaml: base must be the name of a preset or the path of a YAML file, got ''"),
        ("base: 1", "mine.yaml: base must be the name of a preset or the path of a YAML file, got 1"),
        ("base: bad.yaml", "mine.yaml: base: cannot read settings from "),
        ("base: grad\nenv: SNNPlastic-Unsup1-v0", f"mine.yaml: penalty is a setting of {GRAD}, not of SNNPlastic-U"),
    ],
)
def test_a_base_that_cannot_be_is_named_in_one_line(write, refusal, tmp_path, text, message):
    (tmp_path / "other.yaml").write_text("base: mine.yaml\n")
    (tmp_path / "bad.yaml").write_text("episodes: [\n")
    assert message in refusal(write(text))
