"""What a training says when it ends."""

import re

import pytest

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.rules.distilled import DistilledRule, Term
from snn_plasticity_gym.trainers.sessions import closing
from snn_plasticity_gym.trainers.train_a2c import train

FLAGS = ["--dataset=digits", "--image_size=14", "--n_exc=6", "--num_steps=10", "--history_length=10", "--max_rate=0.3"]
FLAGS += ["--gain_input_exc=4", "--episodes=4", "--num_envs=2", "--eval_episodes=4", "--seed=1", "--no-report"]


def table(text):
    """Cells by row."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.startswith("  ")]
    return {row[0]: row[1:] for row in rows}


def test_other_rules_stand_beside_the_learned_one(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(closing, "NETWORKS", 2)
    monkeypatch.setattr(closing, "LEARNED", 3)
    stdp = "stdp:learning_rate=0.1"
    train([*FLAGS, f"--run_dir={tmp_path}", f"--compare_with=zero,{stdp},stdp:learning_rate=0.2,target-stdp"])
    rows = table(capsys.readouterr().out)
    names = rows.pop("before")  # the first cell of the line of names
    assert names == [
        "after",
        "zero",
        stdp,
        "stdp:learning_rate=0.2",
        "target-stdp",
    ]  # whole names where they have to be
    assert len(rows["reward"]) == 6 and len(set(rows["reward"][2:])) > 1
    assert len(rows["accuracy"]) == 5  # none of before
    assert all(0 <= float(cell.removesuffix("%")) <= 100 for cell in rows["accuracy"])


def test_without_others_the_learned_rule_is_judged_by_reward_alone(tmp_path, capsys):
    train([*FLAGS, f"--run_dir={tmp_path}"])
    rows = table(capsys.readouterr().out)
    assert rows["before"] == ["after"] and len(rows["reward"]) == 2 and "accuracy" not in rows


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--compare_with=stpd"], "unknown rule 'stpd'"),
        (["--compare_with=zero", "--eval_episodes=0"], "compare_with needs eval_episodes"),
        (["--compare_with=zero,delta"], "the rule needs the local scalar factor"),
        (["--compare_with=reward-stdp"], "compare_with reward-stdp is for modulation=reward, got modulation=none"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_anything_is_made(flags, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        train([*FLAGS, *flags, f"--run_dir={tmp_path}/runs"])
    assert not (tmp_path / "runs").exists()


def test_the_rule_in_words(tmp_path):
    assert closing.formula_lines(tmp_path, ["input_exc"]) == []  # no report has found a formula
    DistilledRule([[Term(0.5, ("pre", "w"))], []], 1.0, ()).save(tmp_path)
    assert closing.formula_lines(tmp_path, ["input_exc", "inh_exc"]) == ["input_exc, in short: Δd = 0.5 pre w"]
