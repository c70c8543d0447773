"""The evaluation of rules: the real command, its lines and files, and its mistakes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.image import imread
from processes import as_command

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.trainers import evaluate as program
from snn_plasticity_gym.trainers.evaluate import evaluate
from snn_plasticity_gym.trainers.sessions import evaluation_session
from snn_plasticity_gym.trainers.train_a2c import train

ROOT = Path(__file__).parents[2]
NETWORK = ["--dataset=digits", "--hidden_sizes=6", "--num_steps=4", "--history_length=4"]
SHORT = ["--networks=2", "--train_episodes=4", "--tests=2", "--test_episodes=20"]
FEEDBACK = "--third_factor=feedback"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Tiny trainings, by what is special about them."""
    root = tmp_path_factory.mktemp("runs")
    common = [
        "--episodes=2",
        "--num_envs=2",
        "--eval_episodes=0",
        "--wandb=disabled",
        "--no-report",
        "--no-progress",
        "--head_sizes=8",
    ]
    unsup = ["--dataset=digits", "--n_exc=4", "--num_steps=4", "--history_length=4", "--env=SNNPlastic-Unsup2-v0"]
    semi = [*NETWORK, "--env=SNNPlastic-Semi-v0"]
    flags = {"plain": semi, "factor": [*semi, FEEDBACK], "two heads": unsup}
    return {name: train([*common, *own, f"--run_dir={root / name}", "--seed=77"]) for name, own in flags.items()}


@as_command
def test_the_command_prints_one_line_of_json_and_writes_results_and_picture(run, tmp_path):
    flags = [*NETWORK, *SHORT, FEEDBACK, "--rules=zero,delta", "--json", "--out=here/there", "--eta=0.05"]
    done = run(ROOT / "trainers" / "evaluate.py", *flags, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1 and done.stderr.strip() == f"results in {Path('here', 'there')}"
    printed = json.loads(done.stdout)
    assert printed["env"] == "SNNPlastic-Semi-v0" and printed["networks"] == 2
    assert list(printed["rules"]) == ["zero", "delta"]
    zero, delta = printed["rules"]["zero"], printed["rules"]["delta"]
    for one in (zero, delta):
        assert one["images"] == [0, 2, 4] and np.shape(one["accuracy"]) == np.shape(one["loss"]) == (2, 3)
        assert np.isfinite(one["loss"]).all() and one["seconds"] > 0 and np.sum(one["confusion"]) == pytest.approx(40)
        assert one["accuracy_mean"] == pytest.approx(np.mean([row[-1] for row in one["accuracy"]]))
    before = [[row[0] for row in one["loss"]] for one in (zero, delta)]
    assert before[0] == before[1]  # the same fresh networks and test spikes for all rules
    assert [row[-1] for row in zero["loss"]] == before[0] and [row[-1] for row in delta["loss"]] != before[0]

    written = json.loads((tmp_path / "here" / "there" / "results.json").read_text())
    assert written["rules"] == printed["rules"]
    assert written["settings"]["rules"] == ["zero", "delta"] and written["settings"]["third_factor"] == "feedback"
    picture = imread(tmp_path / "here" / "there" / "learning_curves.png")
    assert picture.ndim == 3 and picture.std() > 0.02
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == [
        "learning_curves.csv",
        "learning_curves.png",
        "results.json",
    ]


def test_a_table_for_people(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = evaluate([*NETWORK, *SHORT, "--rules=zero,stdp", "--eta=0.05"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * (2 + 3) and lines[0].startswith("zero (") and lines[5].startswith("stdp (")
    assert lines[1].split() == ["images", "accuracy", "sd", "loss"]
    last = lines[-1].split()
    assert last[0] == "4" and float(last[1]) == pytest.approx(results["stdp"]["accuracy_mean"], abs=1e-4)
    assert float(last[2]) == pytest.approx(results["stdp"]["accuracy_sd"], abs=1e-4)
    assert not list(tmp_path.iterdir())  # nothing is written that was not asked for
    evaluate([*NETWORK, "--networks=1", "--train_episodes=0", "--test_episodes=5"])
    assert len(capsys.readouterr().out.splitlines()[-1].split()) == 3  # no spread of a single network


def test_hand_written_rules_know_the_environments_learning_rate_and_step(monkeypatch):
    made = []
    monkeypatch.setattr(
        "snn_plasticity_gym.rules.registry.make_rule",
        lambda name, **given: made.append((name, given)) or (lambda e: 0 * e.weight),
    )
    evaluate([*NETWORK, *SHORT, "--rules=stdp,random,zero", "--eta=0.05", "--dt=0.5", "--seed=9"])
    assert made == [("stdp", {"dt": 0.5, "scale": 0.05}), ("random", {"seed": 9}), ("zero", {})]


def test_the_same_seed_gives_the_same_numbers(capsys):
    def numbers(seed: int) -> dict:
        results = evaluate([*NETWORK, *SHORT, "--rules=stdp,random", "--eta=0.05", f"--seed={seed}"])
        return {name: {k: v for k, v in one.items() if k != "seconds"} for name, one in results.items()}

    first = numbers(3)
    assert first == numbers(3) and first != numbers(4)


def test_a_run_folder_is_a_rule(runs, capsys):
    folder = str(runs["plain"])
    results = evaluate([*NETWORK, *SHORT, f"--rules=zero,{folder}", "--eta=0.5"])
    assert list(results) == ["zero", folder]
    assert [row[0] for row in results[folder]["loss"]] == [row[0] for row in results["zero"]["loss"]]
    assert results[folder]["loss"] != results["zero"]["loss"]
    again = evaluate([*NETWORK, *SHORT, f"--rules={folder}/final.zip", "--eta=0.5"])
    assert again[f"{folder}/final.zip"]["loss"] == results[folder]["loss"]


def test_a_policy_with_a_factor_is_a_rule_where_there_is_one(runs, capsys):
    assert evaluate([*NETWORK, *SHORT, FEEDBACK, f"--rules={runs['factor']}"])


def test_the_settings_of_a_run_are_a_preset(runs, capsys):
    folder = runs["factor"]
    assert evaluate([f"--preset={folder}/config.yaml", *SHORT, f"--rules={folder},delta"])


def without_preset_line(folder: Path, target: Path, **changes) -> str:
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    del settings["preset"]
    target.write_text(yaml.safe_dump(settings | changes))
    return f"--preset={target}"


def test_what_a_preset_says_of_training_is_left_aside(runs, tmp_path, capsys):
    out = tmp_path / "out"
    preset = without_preset_line(runs["factor"], tmp_path / "run.yaml", learning_rate="nonsense")
    evaluate([preset, *SHORT, f"--rules={runs['factor']}", "--eta=0.02", f"--out={out}"])
    settings = json.loads((out / "results.json").read_text())["settings"]
    assert settings["hidden_sizes"] == [6] and settings["third_factor"] == "feedback"  # of the run
    assert settings["eta"] == 0.02 and "learning_rate" not in settings


def test_the_seed_of_a_training_is_no_seed_of_an_evaluation(runs, tmp_path, capsys):
    preset = without_preset_line(runs["plain"], tmp_path / "run.yaml")
    evaluate([preset, *SHORT, f"--out={tmp_path / 'out'}"])
    assert json.loads((tmp_path / "out" / "results.json").read_text())["settings"]["seed"] == 0


def test_unknown_keys_of_a_preset_are_still_refused(runs, tmp_path, capsys):
    for key in ("xyzzy", "thirdfactor", "n_exc"):
        preset = without_preset_line(runs["plain"], tmp_path / "run.yaml", **{key: 1})
        with pytest.raises(SystemExit) as caught:
            evaluate([preset, *SHORT])
        out, err = capsys.readouterr()
        assert caught.value.code == 2 and out == "" and err.count("\n") == 1 and key in err


def refused(monkeypatch, capsys, *argv: str) -> str:
    """The one line on stderr of a program that ends with status 1."""
    monkeypatch.setattr(sys, "argv", ["evaluate", *NETWORK, *SHORT, "--json", *argv])
    assert program.main() == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1
    return err


def test_mistakes_with_rules_are_answered_in_one_line(monkeypatch, capsys, runs, tmp_path):
    def line(*argv: str) -> str:
        return refused(monkeypatch, capsys, *argv)

    assert "unknown rule 'stpd'; valid: zero, random, stdp," in line("--rules=zero,stpd")
    assert "the folder of a training run, or distilled:FOLDER" in line("--rules=nowhere/run")
    assert "the rule needs the local scalar factor, its events show none" in line("--rules=delta")
    assert f"no rule at {tmp_path}; give the folder of a finished run" in line(f"--rules={tmp_path}")
    factor = line(f"--rules={runs['factor']}")
    assert "has local scalars factor, the environment none" in factor
    assert f"--preset={runs['factor']}/config.yaml" in factor
    plain = line(f"--rules={runs['plain']}", FEEDBACK)
    assert "has local scalars none, the environment factor" in plain
    assert "has 2 heads, the environment needs 1" in line(f"--rules={runs['two heads']}")
    assert "cannot read a run of train_bptt from" in line(f"--bptt={tmp_path}", f"--out={tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rule=zero"], "did you mean '--rules'"),
        (["--rules="], "rules must name at least one rule, got none"),
        (["--bptt=somewhere"], "bptt is drawn into out/learning_curves.png; give out, too"),
        (["--env=SNNPlastic-Unsup1-v0"], "--hidden_sizes is a flag of SNNPlastic-Grad-v0, SNNPlastic-Semi-v0"),
        (["--test_split=train"], "test_split must be one of validation, test, got 'train'"),
        (["--networks=0"], "networks must be greater than or equal to 1, got 0"),
        (["--learning_rate=1"], "unknown flag '--learning_rate'"),
    ],
)
def test_wrong_flags_are_answered_in_one_line(capsys, flags, message):
    with pytest.raises(SystemExit) as caught:
        evaluate([*NETWORK, *flags])
    out, err = capsys.readouterr()
    assert caught.value.code == 2 and out == "" and err.count("\n") == 1 and message in err


def test_help_is_quick_and_shows_the_flags_of_the_environment():
    code = (
        "import sys\nfrom snn_plasticity_gym.trainers.evaluate import evaluate\n"
        "try:\n    evaluate(['--help', 'all', '--env=SNNPlastic-Grad-v0'])\n"
        "except SystemExit as end:\n    sys.exit(10 * ('torch' in sys.modules) + end.code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for flag in ("--rules", "--networks", "--test_split", "--bptt", "--out", "--layer_scalars"):
        assert f"{flag} " in done.stdout
    assert "SNNPlastic-Semi-v0" in done.stdout and "--n_exc" not in done.stdout


def drawn(monkeypatch) -> dict:
    """What is given to the picture."""
    curves = {}
    monkeypatch.setattr(
        evaluation_session, "draw_learning_curves", lambda given, path, num_classes: curves.update(given)
    )
    return curves


def test_bptt_is_drawn_beside(tmp_path, monkeypatch, capsys):
    (tmp_path / "metrics.csv").write_text("eval/accuracy,eval/loss,time/episodes\n0.5,1.5,100\n0.8,0.5,200\n")
    curves = drawn(monkeypatch)
    results = evaluate([*NETWORK, *SHORT, "--env=SNNPlastic-Grad-v0", "--layer_scalars=0.5,1", f"--bptt={tmp_path}",
                        f"--out={tmp_path / 'out'}"])  # fmt: skip
    assert list(curves) == ["zero", "BPTT"] and curves["BPTT"].values["accuracy"].tolist() == [[0.5], [0.8]]
    assert curves["zero"].values["accuracy"].T.tolist() == results["zero"]["accuracy"]


def test_runs_of_the_same_name_are_all_drawn(runs, tmp_path, monkeypatch, capsys):
    names = []
    for place in ("first", "second"):
        folder = tmp_path / place / "seed0"
        folder.mkdir(parents=True)
        (folder / "final.zip").write_bytes((runs["plain"] / "final.zip").read_bytes())
        names.append(str(folder))
    curves = drawn(monkeypatch)
    assert list(evaluate([*NETWORK, *SHORT, f"--rules={','.join(names)}", f"--out={tmp_path / 'out'}"])) == names
    assert len(curves) == 2


@pytest.mark.parametrize("network", [NETWORK, ["--env=SNNPlastic-Unsup1-v0", "--dataset=digits", "--n_exc=4"]])
def test_out_is_made_or_refused_before_any_network_learns(network, tmp_path, monkeypatch):
    def never(*_: object, **__: object) -> None:
        raise AssertionError("work began")

    monkeypatch.setattr("snn_plasticity_gym.trainers.sessions.evaluation_session.learning_curve", never)
    monkeypatch.setattr("snn_plasticity_gym.trainers.sessions.unsupervised_session.judge", never)
    (tmp_path / "afile").write_text("")
    with pytest.raises(ConfigError, match=r"out must be a folder that can be written to, got .*afile: File exists"):
        evaluate([*network, f"--out={tmp_path / 'afile'}"])
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "results.json").write_text("mine")
    with pytest.raises(ConfigError, match=r"old/results\.json is there already; choose another folder for out"):
        evaluate([*network, f"--out={tmp_path / 'old'}"])
    assert (tmp_path / "old" / "results.json").read_text() == "mine"
    with pytest.raises(AssertionError, match="work began"):
        evaluate([*network, f"--out={tmp_path / 'new' / 'deep'}"])
    assert (tmp_path / "new" / "deep").is_dir()


def test_homes_are_expanded_in_every_path(tmp_path, monkeypatch, runs):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").symlink_to(runs["plain"])
    results = evaluate([*NETWORK, *SHORT, "--rules=~/run", "--out=~/results"])
    assert list(results) == ["~/run"] and (tmp_path / "results" / "results.json").is_file()
