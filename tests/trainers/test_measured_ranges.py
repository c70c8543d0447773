"""Ranges that a training has measured: saved in its folder, taken up by resumed runs, judges and reports unasked."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from snn_plasticity_gym.evaluation.task_facts import temporary_task
from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.report.runs import read_runs
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.tasks.met_observations import RANGES
from snn_plasticity_gym.trainers import evaluate, evolve, train_es
from snn_plasticity_gym.trainers.sessions import returns_session

BELLS = ["--env=SNNPlastic-Control-v0", "--world=CartPole-v1", "--max_actions=20", "--hidden_sizes=6"]
BELLS += ["--steps_per_action=6", "--history_length=6", "--encoder=gaussian", "--range_quantile=0.1"]
BELLS += ['--encoder_kwargs={"fields": 5, "max_rate": 0.6}', '--decoder_kwargs={"group_size": 4}', "--seed=3"]
QUIET = ["--wandb=disabled", "--no-report"]
EVOLVE = [*BELLS, *QUIET, "--population=4", "--starts=2", "--test_episodes=3"]
LEARN = [*BELLS, *QUIET, "--num_envs=4", "--episodes_per_update=2", "--eval_episodes=4", "--rule_form=formula"]
LEARN += ["--formula_terms=post,pre*post", "--checkpoint_every=1"]


def ends_of(run):
    saved = json.loads((run / RANGES).read_text())
    return {name: saved[name] for name in ("low", "high")}


@pytest.fixture(scope="module")
def evolved(tmp_path_factory):
    return evolve.evolve([*EVOLVE, "--episodes=32", f"--run_dir={tmp_path_factory.mktemp('evolved')}"])


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    return train_es.train([*LEARN, "--episodes=32", f"--run_dir={tmp_path_factory.mktemp('learned')}"])


def taken(env, config):
    with temporary_task(env, config) as task:
        return task.met.ends, task.met.running


@pytest.mark.parametrize("kind", ["evolved", "learned"])
def test_a_run_keeps_what_it_has_measured_and_a_report_takes_it(kind, request):
    run = request.getfixturevalue(kind)
    (read,) = read_runs([run])
    ends = ends_of(run)
    assert taken(read.env, read.environment()) == (ends, False)
    begun = type(read.environment())(**(vars(read.environment()) | {"ranges": "", "range_sample": 0}))
    first, _ = taken(read.env, begun)
    assert not np.allclose(first["high"], ends["high"])  # networks have moved them


def test_evolution_goes_on_bit_for_bit(evolved, tmp_path):
    begun = evolve.evolve([*EVOLVE, "--episodes=16", f"--run_dir={tmp_path}"])
    first = Checkpoints(begun / "checkpoints").newest()["evolution"]["met"]
    again = evolve.evolve([f"--resume={begun}", "--episodes=32"])
    assert ends_of(again) == ends_of(evolved)
    met, wanted = (Checkpoints(run / "checkpoints").newest()["evolution"]["met"] for run in (again, evolved))
    assert torch.equal(met["low"], wanted["low"]) and torch.equal(met["sample"]["kept"], wanted["sample"]["kept"])
    assert met["sample"]["number"] == wanted["sample"]["number"] > first["sample"]["number"] > 1000
    weights, others = (load_file(run / "weights.safetensors") for run in (again, evolved))
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_learning_goes_on_bit_for_bit(learned, tmp_path):
    begun = train_es.train([*LEARN, "--episodes=16", f"--run_dir={tmp_path}"])
    assert ends_of(begun) != ends_of(learned)
    again = train_es.train([f"--resume={begun}", "--episodes=32"])
    assert ends_of(again) == ends_of(learned)
    formulas, others = (load_rule(run).rule.formulas() for run in (again, learned))
    assert formulas == others


def test_a_champion_is_judged_with_its_ranges(evolved, monkeypatch):
    env, seen = read_runs([evolved])[0].env, []

    def judged(rule, env_id, config, *others, **named):
        seen.append(taken(env, config))
        return right(rule, env_id, config, *others, **named)

    right = returns_session.return_curve
    monkeypatch.setattr(returns_session, "return_curve", judged)
    flags = ["--rules=zero", "--networks=1", "--train_episodes=0", "--test_episodes=1"]
    evaluate.evaluate([f"--preset={evolved}/config.yaml", f"--init_weights={evolved}", *flags])
    assert seen == [(ends_of(evolved), False)]


def test_each_rule_is_judged_with_its_own_ranges(learned, monkeypatch):
    env, seen = read_runs([learned])[0].env, []

    def judged(rule, env_id, config, *others, **named):
        seen.append(taken(env, config))
        return right(rule, env_id, config, *others, **named)

    right = returns_session.return_curve
    monkeypatch.setattr(returns_session, "return_curve", judged)
    flags = [f"--rules=zero,{learned}", "--networks=1", "--train_episodes=1", "--test_episodes=1"]
    evaluate.evaluate([f"--preset={learned}/config.yaml", *flags])
    assert seen[1] == (ends_of(learned), False)
    assert seen[0][0] != seen[1][0] and not seen[0][1]  # a rule of no run has what random actions lead to
