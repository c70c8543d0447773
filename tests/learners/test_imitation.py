"""Heads that imitate a rule."""

import csv
import math
from types import SimpleNamespace

import pytest
import torch
from batches import events_of, network_of

from snn_plasticity_gym.config.environments import Unsup1Config
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.learners import imitation
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.plasticity.events import KIND_PRE
from snn_plasticity_gym.policies.saved import load_policy
from snn_plasticity_gym.rules.registry import make_rule
from snn_plasticity_gym.trainers import train_a2c
from snn_plasticity_gym.trainers.sessions import starting
from snn_plasticity_gym.trainers.sessions.starting import begin
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

NETWORK = ["--dataset=digits", "--n_exc=8", "--num_steps=10", "--history_length=8", "--max_rate=0.2"]
SHORT = ["--gain_input_exc=8", "--episodes=4", "--num_envs=2", "--eval_episodes=0", "--wandb=disabled", "--no-report"]


def answers(events):
    """Two groups that want the opposite of each other."""
    post = (events.kind != KIND_PRE).float()
    return torch.where(events.group == 0, 1.0, -1.0) * (0.6 * events.weight * post - 0.2 * (1 - post))


def root_mean_square(values):
    return values.square().mean().sqrt().item()


def test_heads_learn_to_answer_as_the_rule_does_and_nothing_else_changes(monkeypatch):
    monkeypatch.setattr(imitation, "STEPS", 600)
    learned, others = (events_of([4000], seed=seed)._replace(kind=torch.arange(4000) % 3) for seed in (0, 1))
    network = network_of()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    imitation.imitate(network, learned.local_state(), answers(learned), seed=3)
    state = others.local_state()
    with torch.no_grad():
        got = network.mean(network.features(state), state)
    assert root_mean_square(got - answers(others)) < 0.3 * root_mean_square(answers(others))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("heads"), name
    again = network_of()
    imitation.imitate(again, learned.local_state(), answers(learned), seed=3)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())


def test_a_training_starts_from_a_rule_by_name(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(imitation, "STEPS", 1000)
    monkeypatch.setattr(starting, "EVENTS", 20_000)
    flags = [*NETWORK, *SHORT, f"--run_dir={tmp_path}", "--seed=1", "--head_sizes=8,8", "--learning_rate=1e-12"]
    run = train_a2c.train([*flags, "--event_kinds=feature", "--init_rule=target-stdp:x_tar=0.4:learning_rate=0.005"])
    with (run / "metrics.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    told, wrong = (float(first[f"imitation/input_to_exc{what}"]) for what in ("", "_error"))
    assert 0 < wrong < 0.3 * told
    assert f"root mean squares of delta_d: input_to_exc {told:.2g}, off by {wrong:.2g}; inh" in capsys.readouterr().out
    events = events_of([500], groups=1)._replace(history_length=8, kind=torch.arange(500) % 3)
    events = events._replace(weight=events.weight.abs() / 2, histories=events.histories & 0xFF)
    policy, rule = load_policy(run).frozen(8), make_rule("target-stdp", x_tar=0.4, learning_rate=0.005, scale=0.01)
    alike = torch.corrcoef(torch.stack([policy(events), rule(events).clamp(-1, 1)]))[0, 1].item()
    assert alike > 0.8 and math.isfinite(alike)


@pytest.mark.slow
def test_heads_start_from_the_formula_of_another_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(imitation, "STEPS", 1000)
    flags = [*NETWORK, *SHORT, f"--run_dir={tmp_path}", "--seed=1"]
    formula = ["--rule_form=formula", "--formula_terms=post,post*x20,pre*w", "--init_rule=target-stdp:x_tar=0.4"]
    taught = train_a2c.train([*flags, *formula, "--run_name=formula"])
    run = train_a2c.train([*flags, "--head_sizes=8,8", f"--init_rule={taught}", "--run_name=heads"])
    assert f"imitates {taught}; root mean squares of delta_d: input_to_exc" in capsys.readouterr().out
    with (run / "metrics.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    told, wrong = (float(first[f"imitation/input_to_exc{what}"]) for what in ("", "_error"))
    assert 0 < wrong < 0.3 * told


def test_other_processes_take_the_heads_of_the_first():
    env = make_sb3_env("SNNPlastic-Unsup1-v0", 2, dataset="digits", n_exc=4, num_steps=8, history_length=8)
    policies = [EventA2C("PlasticityPolicy", env, seed=seed).policy for seed in (0, 1)]
    second = SimpleNamespace(rank=1, broadcast=lambda value: policies[0].state_dict())
    assert begin(make_rule("stdp"), policies[1], second, "SNNPlastic-Unsup1-v0", Unsup1Config(), seed=0) == {}
    assert all(torch.equal(value, policies[0].state_dict()[name]) for name, value in policies[1].state_dict().items())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--init_rule=hebb"], "unknown rule 'hebb'"),
        (["--init_rule=stdp:alpha"], "parameters of a rule are written name:key=value"),
        (["--init_rule=reward-stdp"], "init_rule reward-stdp is for modulation=reward, got modulation=none"),
        (["--init_rule=stdp", "--init_policy=runs/x"], "give init_policy or init_rule, got runs/x and stdp"),
    ],
)
def test_what_cannot_be_imitated_is_refused_in_one_line(flags, message, tmp_path, capsys):
    with pytest.raises((ConfigError, SystemExit)) as error:
        train_a2c.train([*NETWORK, *SHORT, f"--run_dir={tmp_path}/runs", *flags])
    (said,) = (capsys.readouterr().err or str(error.value)).splitlines()
    assert message in said
    assert not (tmp_path / "runs").exists()
