"""The real command in a temporary folder."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quick import small_pngs

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.config.training import ESConfig
from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.policies.saved import load_policy
from snn_plasticity_gym.rules.distilled import format_formula
from snn_plasticity_gym.trainers import train_es

ROOT = Path(__file__).parents[2]
SMALL = ["--dataset=digits", "--n_exc=8", "--num_steps=10", "--history_length=8", "--max_rate=0.02"]
SHORT = [
    "--episodes=24",
    "--num_envs=4",
    "--episodes_per_update=2",
    "--eval_episodes=4",
    "--seed=1",
    "--wandb=disabled",
]


@pytest.mark.slow
def test_the_command_trains_and_leaves_a_whole_run_folder(tmp_path):
    command = [
        sys.executable,
        str(ROOT / "trainers" / "train_es.py"),
        *SMALL,
        "--gain_input_exc=20",
        *SHORT,
        "--no-report",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "before" in done.stdout and "after" in done.stdout
    (folder,) = (tmp_path / "runs" / "SNNPlastic-Unsup1-v0").iterdir()
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"rollout/reward", "train/return", "train/sigma", "eval_before/reward", "eval_after/reward"} <= set(rows[0])
    assert [row["train/n_updates"] for row in rows[:4]] == ["", "", "1", "2"]  # the first only measures
    assert load_policy(folder).hidden_sizes == ESConfig().head_sizes


def test_a_formula_is_learned_told_and_reported(tmp_path, capsys):
    flags = [*SMALL, "--gain_input_exc=20", *SHORT, f"--run_dir={tmp_path}", "--run_name=a"]
    with small_pngs():
        run = train_es.train([*flags, "--rule_form=formula", "--formula_terms=post,pre*post,post*x20*w", "--sigma=1"])
    told = [line for line in capsys.readouterr().out.splitlines() if "Δd = tanh(" in line]
    (terms,) = load_rule(run).rule.formulas()
    assert [line.partition(": ")[2] for line in told] == [format_formula(terms)] and all(
        term.coefficient for term in terms
    )
    page = (run / "report.html").read_text(encoding="utf-8")
    assert format_formula(terms) in page
    with pytest.raises(ConfigError, match="give rule_form=formula"):
        train_es.train([*flags[:-1], "--run_name=c", f"--init_policy={run}"])


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 6))
def test_a_generation_has_enough_rules_and_whole_horizons(images, horizon, num_envs):
    fits = images % horizon == 0 and num_envs * (images // horizon) >= 4
    settings = {"episodes_per_update": images, "credit_horizon": horizon, "num_envs": num_envs}
    if fits:
        assert ESConfig(**settings).episodes_per_update == images
    else:
        with pytest.raises(ConfigError, match="got"):
            ESConfig(**settings)
