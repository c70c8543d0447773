"""The evaluation of rules by returns: the real command on worlds and on a task of a third party."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from processes import as_command
from toys_tasks import QUOTA, QuotaTask, registered
from toys_worlds import BANDIT

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.trainers.evaluate import evaluate
from snn_plasticity_gym.trainers.train_a2c import train

ROOT = Path(__file__).parents[2]
SHORT = ["--networks=3", "--train_episodes=4", "--test_episodes=3"]


@pytest.fixture(scope="module", autouse=True)
def quota():
    with registered():
        yield


@as_command
def test_the_command_on_cartpole(run, tmp_path):
    flags = ["--env=SNNPlastic-CartPole-v0", "--json", "--rules=zero,random", "--out=here/there"]
    few = ["--networks=2", "--train_episodes=2", "--test_episodes=2"]
    done = run(ROOT / "trainers" / "evaluate.py", *flags, *few, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("compiling loops")]
    assert done.stdout.count("\n") == 1 and said == [f"results in {Path('here', 'there')}"]
    printed = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    zero, random = printed["rules"]["zero"], printed["rules"]["random"]
    assert zero["before"] == zero["after"] == random["before"] and zero["gain"]["return"]["mean"] == 0
    assert zero["learning"]["return"]["values"] != random["learning"]["return"]["values"]
    assert (np.array(zero["before"]["steps"]["values"]) == 20 * np.array(zero["before"]["return"]["values"])).all()
    folder = tmp_path / "here" / "there"
    names = ["learning_curves.csv", "results.csv", "results.json", "results.md", "returns.png"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert json.loads((folder / "results.json").read_text())["rules"] == printed["rules"]
    assert imread(folder / "returns.png").std() > 0.02


def test_tables_and_curves_hold_the_results(tmp_path, capsys):
    flags = [f"--env={QUOTA}", *SHORT, "--rules=zero,stdp:learning_rate=0.5", "--tests=2", f"--out={tmp_path}"]
    results = evaluate(flags)
    out = capsys.readouterr().out
    head, zero, stdp, *notes = out.splitlines()
    assert head.split() == ["rule", "before", "after", "gain", "learning", "fired", "enough"] or "steps" in head
    assert zero.startswith("zero") and stdp.startswith("stdp") and "seeds 0 to 2" in notes[0]
    after = results["stdp:learning_rate=0.5"]["after"]["return"]
    assert f"{after['mean']:.2f} ± {after['sd']:.2f}" in stdp
    assert after["sd"] == pytest.approx(np.std(after["values"], ddof=1))
    rows = list(csv.DictReader((tmp_path / "learning_curves.csv").open(newline="")))
    assert [(row["seed"], row["episodes"]) for row in rows[:6]] == [(s, e) for s in "01" for e in "024"]
    curve = [float(row["return"]) for row in rows if row["rule"].startswith("stdp")]
    assert curve == pytest.approx(np.ravel(results["stdp:learning_rate=0.5"]["curves"]["return"]), rel=1e-5)
    (first, _) = csv.DictReader((tmp_path / "results.csv").open(newline=""))
    assert float(first["before_return"]) == pytest.approx(results["zero"]["before"]["return"]["mean"], rel=1e-5)
    assert "| return after learning |" in (tmp_path / "results.md").read_text()


def test_rules_of_ones_own_by_place(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("rules_by_place.py").write_text(
        "import torch\n\ndef up(events):\n    return torch.ones_like(events.weight)\n\n"
        "def none(events):\n    return torch.zeros_like(events.weight)\n"
    )
    names = "zero,rules_by_place.py:none,rules_by_place.py:up"
    results = evaluate([f"--env={QUOTA}", *SHORT, f"--rules={names}", "--quota=30"])
    zero, none, up = results.values()
    assert none["curves"] == zero["curves"] and up["gain"]["return"]["mean"] > 1
    assert "rules_by_place.py:up" in capsys.readouterr().out
    sys.modules.pop("rules_by_place")


def test_a_run_on_a_task_of_ones_own_is_a_rule(tmp_path, capsys):
    common = ["--num_envs=2", "--eval_episodes=2", "--wandb=disabled", "--no-report", "--no-progress"]
    run = train([f"--env={QUOTA}", "--images=4", "--head_sizes=8", *common, f"--run_dir={tmp_path}", "--seed=3"])
    results = evaluate([f"--preset={run}/config.yaml", *SHORT, f"--rules=zero,{run}"])
    assert list(results) == ["zero", str(run)] and results[str(run)]["before"] == results["zero"]["before"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--label_images=5"],
            "label_images is a setting for what is judged by labels, not for SNNPlastic-CartP",
        ),
        (["--test_split=test"], "test_split is a setting for what is judged by classifier or labels, not for SNNPlas"),
        (["--bptt=somewhere", "--out=x"], "bptt is a setting for what is judged by classifier"),
        (["--test_episodes=0"], "test_episodes must be at least 1 for SNNPlastic-CartPole-v0"),
        (["--rules=delta"], "the rule needs the local scalar factor"),
        (["--rules=stdp", "--eta=0"], "the learning rates of input_to_hidden_1, hidden_1_to_motor are 0; raise them"),
        (["--rules=nowhere.py:rule"], "there is no file nowhere.py"),
    ],
)
def test_mistakes_are_one_line(flags, message):
    with pytest.raises(ConfigError) as caught:
        evaluate(["--env=SNNPlastic-CartPole-v0", *SHORT, *flags])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_judge_that_does_not_fit_a_task_says_so():
    for name, message in (
        ("labels", "needs an environment with the settings num_steps, max_rate, dataset, toys/labels-v0 has none"),
        ("classifier", "let its task say judge_by = 'returns'"),
        ("retruns", "unknown judge 'retruns'; did you mean 'returns'"),
    ):
        task = type("Named", (QuotaTask,), {"judge_by": name})
        with registered(f"toys/{name}-v0", task), pytest.raises(ConfigError, match=message.replace("(", r"\(")):
            evaluate([f"--env=toys/{name}-v0", *SHORT])


def test_a_long_run_says_how_it_goes(monkeypatch, capsys):
    monkeypatch.setattr("snn_plasticity_gym.trainers.sessions.watching.PATIENCE", 0.0)
    world = [f"--world={BANDIT}", "--max_actions=1", "--steps_per_action=9", "--history_length=6", "--hidden_sizes="]
    results = evaluate(["--env=SNNPlastic-Control-v0", *world, *SHORT, "--rules=zero", "--tests=2", "--json"])
    middle = np.mean([curve[1] for curve in results["zero"]["curves"]["return"]])
    assert capsys.readouterr().err == f"zero: return {middle:.4g} after 2 of 4 episodes\n"
