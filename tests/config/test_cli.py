"""Command line flags: every spelling that a person or a sweep agent writes, and every mistake in one line."""

import subprocess
import sys

import pytest
from grids import grid
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.config.cli import parse_configs
from snn_plasticity_gym.config.environments import ENVIRONMENTS as REAL
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.schema import config_class, setting, setting_fields, to_dict
from snn_plasticity_gym.config.training import A2CConfig, ESConfig, PPOConfig

UNSUP, GRAD = "SNNPlastic-Unsup1-v0", "SNNPlastic-Grad-v0"


@config_class
class Trainer:
    """Train a shared policy."""

    env: str = setting(UNSUP, "Environment to train on.", section="Training")
    images: int = setting(20_000, "Images to train on.", unit="images", section="Training", ge=1)
    learning_rate: float = setting(7e-4, "Learning rate, for 100% of the weights.", section="Optimiser", gt=0, le=1)
    normalize_advantage: bool = setting(True, "Standardise advantages.", section="Optimiser")
    anneal: bool = setting(False, "Let the learning rate fall.", section="Optimiser")
    max_grad: float | None = setting(None, "Clip gradients at this norm.", section="Optimiser", gt=0)
    wandb: str = setting("auto", "Where W&B logs go.", section="Logging", choices=["auto", "offline", "disabled"])
    run_name: str = setting("", "Name of the run.", section="Logging")


@config_class
class Unsup:
    """Reward without labels."""

    num_steps: int = setting(100, "Time steps of an image (T).", unit="steps", section="Simulation", ge=1)
    window: int = setting(100, "Steps of history (K).", unit="steps", section="Simulation", ge=1)
    v_rest: float = setting(-65.0, "Resting potential.", unit="mV", section="Simulation")
    terms: tuple[float, ...] = setting((1.0, 1.0), "Weights of the reward's terms.", section="Reward", ge=0)

    def check(self) -> None:
        if self.window > self.num_steps:
            raise ValueError(f"window ({self.window}) must not exceed num_steps ({self.num_steps})")


@config_class
class Grad:
    """Reward from a gradient."""

    num_steps: int = setting(16, "Time steps of an image (T).", unit="steps", section="Simulation", ge=1)
    layer_scale: float = setting(1.0, "Scale of the layer index.", section="Simulation")


ENVIRONMENTS = {UNSUP: Unsup, GRAD: Grad}


def parse(*argv: str):
    return parse_configs(Trainer, ENVIRONMENTS, argv, prog="train")


@pytest.fixture
def refusal(capsys):
    """The one line that stderr gets for wrong arguments."""

    def run(*argv: str) -> str:
        with pytest.raises(SystemExit) as caught:
            parse(*argv)
        assert caught.value.code == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("train: error: ")
        assert err.count("\n") == 1 and err.endswith("\n")
        return err.strip()

    return run


def test_no_flags_give_the_defaults():
    assert parse() == (Trainer(), Unsup())


@pytest.mark.parametrize(
    ("argv", "values"),
    [
        (["--learning_rate=1e-3"], {"learning_rate": 0.001}),
        (["--learning-rate=1e-05"], {"learning_rate": 1e-05}),
        (["--learning-rate", "1e-3"], {"learning_rate": 0.001}),
        (["--learning_rate", "1e-3", "--images", "5"], {"learning_rate": 0.001, "images": 5}),
        (["--anneal"], {"anneal": True}),
        (["--anneal", "--images=3"], {"anneal": True, "images": 3}),
        (["--anneal=True"], {"anneal": True}),
        (["--anneal", "true"], {"anneal": True}),
        (["--normalize_advantage=False"], {"normalize_advantage": False}),
        (["--normalize-advantage", "False"], {"normalize_advantage": False}),
        (["--no-normalize-advantage"], {"normalize_advantage": False}),
        (["--no_normalize_advantage"], {"normalize_advantage": False}),
        (["--max_grad=0.5"], {"max_grad": 0.5}),
        (["--max_grad="], {"max_grad": None}),
        (["--max_grad", "None"], {"max_grad": None}),
        (["--run_name=a=b -c"], {"run_name": "a=b -c"}),
        (["--run-name", "-5"], {"run_name": "-5"}),
        (["--wandb", "offline", "--wandb=disabled"], {"wandb": "disabled"}),
    ],
)
def test_every_spelling_of_a_flag(argv, values):
    trainer, environment = parse(*argv)
    assert trainer == Trainer(**values)
    assert environment == Unsup()


@pytest.mark.parametrize("value", ["-1e-3", "-70", "-.5", "1e-3"])
@pytest.mark.parametrize("form", [lambda value: ["--v_rest", value], lambda value: [f"--v-rest={value}"]])
def test_negative_values(form, value):
    assert parse(*form(value))[1] == Unsup(v_rest=float(value))


def test_lists():
    assert parse("--terms=[0.5, 2]")[1] == parse("--terms", "0.5,2")[1] == Unsup(terms=(0.5, 2.0))


@pytest.mark.parametrize("argv", [["--env", GRAD], [f"--env={GRAD}"]])
def test_env_selects_the_environment_and_its_flags(argv):
    trainer, environment = parse("--layer_scale=2", *argv, "--images=7")
    assert trainer == Trainer(env=GRAD, images=7)
    assert environment == Grad(layer_scale=2.0)
    assert parse(*argv)[1].num_steps == 16


def test_what_a_sweep_agent_sends():
    # `${args}` of W&B writes Python values: floats by repr, True and False, None, lists.
    trainer, environment = parse(
        f"--env={UNSUP}", "--learning_rate=1e-05", "--normalize_advantage=False", "--anneal=True", "--max_grad=None",
        "--images=300", "--num_steps=120.0", "--terms=[0.5, 1]",
    )  # fmt: skip
    assert trainer == Trainer(learning_rate=1e-5, normalize_advantage=False, anneal=True, images=300)
    assert environment == Unsup(num_steps=120, terms=(0.5, 1.0))


@given(
    st.builds(
        Trainer,
        images=st.integers(min_value=1),
        learning_rate=st.floats(min_value=0, max_value=1, exclude_min=True),
        normalize_advantage=st.booleans(),
        max_grad=st.none() | st.floats(min_value=1e-9, allow_infinity=False),
    )
)
def test_a_configuration_written_as_flags_comes_back(config):
    argv = [f"--{name}={value}" for name, value in to_dict(config).items()]
    assert parse(*argv)[0] == config


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--learning_rat=1"], "unknown flag '--learning_rat'; did you mean '--learning_rate'?"),
        (["--learning-rat", "1"], "unknown flag '--learning-rat'; did you mean '--learning_rate'?"),
        (["--learn=1"], "unknown flag '--learn'"),
        (["--xyzzy=1"], "unknown flag '--xyzzy'; --help lists the flags"),
        (["--no-aneal"], "unknown flag '--no-aneal'; did you mean '--no_anneal'?"),
        (["--no-images"], "unknown flag '--no-images'; did you mean '--images'?"),
        (["--no-anneal=True"], "--no-anneal takes no value"),
        (["-x"], "unknown flag '-x'"),
        (["5"], "unexpected argument '5'"),
        (["--layer_scale=2"], f"--layer_scale is a flag of {GRAD}, not of {UNSUP}"),
        (["--env", GRAD, "--v_rest=2"], f"--v_rest is a flag of {UNSUP}, not of {GRAD}"),
        (["--env=SNNPlastic-Grd-v0"], f"valid: {UNSUP}, {GRAD}; did you mean {GRAD}?"),
        (["--env=nothing"], f"unknown environment 'nothing'; valid: {UNSUP}, {GRAD}"),
        (["--env"], "argument --env: expected one argument"),
        (["--images"], "argument --images: expected one argument"),
        (["--images", "--anneal"], "argument --images: expected one argument"),
        (["--images=0"], "images must be greater than or equal to 1, got 0"),
        (["--images=ten"], "images must be a valid integer, greater than or equal to 1, got 'ten'"),
        (["--images=a\nb"], "images must be a valid integer"),
        (["--learning_rate=nan"], "learning_rate must be a finite number"),
        (["--anneal=maybe"], "anneal must be a valid boolean, got 'maybe'"),
        (["--wandb=ofline"], "one of auto, offline, disabled, got 'ofline'; did you mean 'offline'?"),
        (["--images=0", "--num_steps=0"], "got 0; num_steps must be"),
        (["--window=200"], "window (200) must not exceed num_steps (100)"),
    ],
)
def test_mistakes_are_answered_in_one_line(refusal, argv, message):
    assert message in refusal(*argv)


def help_text(capsys, *argv: str) -> str:
    with pytest.raises(SystemExit) as caught:
        parse(*argv)
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_help_is_complete_grouped_and_narrow(capsys):
    text = help_text(capsys, "--help")
    assert max(map(len, text.splitlines())) <= 100
    joined = " ".join(text.split())
    for info in [*setting_fields(Trainer), *setting_fields(Unsup)]:
        assert f"--{info.name} " in text
        assert info.help in joined
    assert "(default: 100 steps; >= 1)" in joined
    assert "one of: auto, offline, disabled" in joined
    assert "> 0; <= 1" in joined
    places = [text.index(part) for part in (f"\n  {UNSUP}", f"\n  {GRAD}", "\nTraining:", "\nOptimiser:", "\nReward:")]
    assert places == sorted(places)


def test_help_shows_the_flags_of_the_chosen_environment(capsys):
    text = help_text(capsys, "--help", "--env", GRAD)
    assert "--layer_scale" in text and "--v_rest" not in text
    assert "(default: 16 steps; >= 1)" in text


@config_class
class Large:
    """Has more settings than anybody reads."""

    env: str = setting(UNSUP, "Environment.", section="Run", basic=True)
    rate: float = setting(0.5, "Rate, 50% of all.", section="Learning", basic=True)
    hidden: float = setting(0.5, "Seldom asked for, in 5% of runs.", section="Learning")
    buried: bool = setting(False, "Never asked for.", section="Depths")
    __annotations__ |= {f"more_{number}": "int" for number in range(20)}
    locals().update({f"more_{number}": setting(number, "One more.", section="Depths") for number in range(20)})


def help_of_large(capsys, *argv: str) -> str:
    with pytest.raises(SystemExit) as caught:
        parse_configs(Large, ENVIRONMENTS, argv, prog="train")
    assert caught.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["--rate=0.1", "--help"]])
def test_help_shows_the_settings_that_matter_and_says_how_to_see_the_rest(capsys, argv):
    text = help_of_large(capsys, *argv)
    assert "--rate FLOAT" in text and "Rate, 50% of all." in text and "\nLearning:" in text
    assert "--hidden" not in text and "--num_steps" not in text and "Depths:" not in text
    assert text.splitlines()[-1] == "These are 2 of 28 settings; --help all shows the rest, too."


@pytest.mark.parametrize("argv", [["--help", "all"], ["--help=all"], ["-h", "all"]])
def test_help_all_shows_every_setting(capsys, argv):
    text = help_of_large(capsys, *argv)
    for info in [*setting_fields(Large), *setting_fields(Unsup)]:
        assert f"--{info.name} " in text
    assert "in 5% of runs. (default: 0.5)" in text and "\nDepths:" in text and "--help all shows" not in text


def test_help_takes_nothing_else(capsys):
    with pytest.raises(SystemExit) as caught:
        parse_configs(Large, ENVIRONMENTS, ["--help", "some"], prog="train")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "train: error: --help takes nothing or all, got 'some'\n"


KINDS = (A2CConfig, PPOConfig, ESConfig, EvaluateConfig)


@pytest.mark.parametrize(("kind", "env_id"), grid(KINDS, REAL, every=3, ids=[[kind.__name__ for kind in KINDS], REAL]))
def test_every_program_shows_about_twenty_settings(capsys, kind, env_id):
    with pytest.raises(SystemExit):
        parse_configs(kind, REAL, ["--help", f"--env={env_id}"], prog="train")
    text = capsys.readouterr().out
    assert 16 <= sum(line.startswith("  --") for line in text.splitlines()) <= 27
    assert "--env " in text and "--preset " in text and "--plugin " in text
    assert text.splitlines()[-1].endswith("--help all shows the rest, too.")


def test_help_is_quick(tmp_path):
    """No torch, no Stable-Baselines3: a person waits for it."""
    command = [sys.executable, "-X", "importtime", "-m", "snn_plasticity_gym.trainers.train_a2c", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "snn_plasticity_gym.config.parser" in imported
    assert not {"torch", "stable_baselines3", "matplotlib", "wandb", "numba"} & imported


def test_shared_names_are_a_programming_error():
    @config_class
    class Clash:
        images: int = setting(1, "Images again.")

    with pytest.raises(AssertionError, match=r"share names: \['images'\]"):
        parse_configs(Trainer, {UNSUP: Clash}, [])


@config_class
class Judge:
    """Look at what was learned."""

    env: str = setting(UNSUP, "Environment to look at.", section="Run")
    preset: str = setting("", "Settings to start from.", section="Run")
    images: int = setting(10, "Images to look at.", section="Run", ge=1)


def test_settings_of_other_programs_are_left_aside_in_presets_and_nowhere_else(tmp_path, capsys):
    path = tmp_path / "run.yaml"
    path.write_text(f"env: {GRAD}\nlearning_rate: 1e-3\nwandb: nonsense\nimages: 7\nnum_steps: 9\n")

    def parse_judge(*argv: str, foreign=(Trainer,)):
        return parse_configs(Judge, ENVIRONMENTS, argv, prog="judge", foreign=foreign)

    judge, environment = parse_judge(f"--preset={path}")
    assert judge == Judge(env=GRAD, preset=str(path))  # what both programs have was meant for the other one
    assert environment == Grad(num_steps=9)
    assert parse_judge(f"--preset={path}", "--images=3", "--num_steps=4") == (
        Judge(env=GRAD, preset=str(path), images=3),
        Grad(num_steps=4),
    )

    def refused(*argv: str, **more) -> str:
        with pytest.raises(SystemExit) as caught:
            parse_judge(*argv, **more)
        err = capsys.readouterr().err
        assert caught.value.code == 2 and err.startswith("judge: error: ") and err.count("\n") == 1
        return err

    assert "learning_rate" in refused(f"--preset={path}", foreign=())
    assert "unknown flag '--learning_rate'" in refused("--learning_rate=1")  # a flag is a flag of this program
    path.write_text("learning_rate: 1e-3\nlearning_rat: 1e-3\n")
    assert "unknown setting 'learning_rat'" in refused(f"--preset={path}")
    path.write_text("images: 0\n")
    assert "images must be greater than or equal to 1, got 0" in refused(f"--preset={path}")


def test_arguments_of_the_process_are_the_default(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train", "--images=3"])
    assert parse_configs(Trainer, ENVIRONMENTS)[0].images == 3


def test_import_needs_no_torch():
    code = "import sys, snn_plasticity_gym.config.cli; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
