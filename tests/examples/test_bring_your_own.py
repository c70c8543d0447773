"""The example that brings everything of its own, from outside the package, through the real programs."""

import json
import sys
from pathlib import Path

import gymnasium
import pytest
import torch
from quick import small_pngs
from toys_tasks import registered

import snn_plasticity_gym
from snn_plasticity_gym import ConfigError, register_rule, register_task
from snn_plasticity_gym.config.environments import ENVIRONMENTS, TASKS
from snn_plasticity_gym.config.plugins import import_plugins
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.trainers.evaluate import evaluate
from snn_plasticity_gym.trainers.report import main as report
from snn_plasticity_gym.trainers.train_a2c import train
from snn_plasticity_gym.trainers.train_es import train as evolve
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "bring_your_own.py")
PLUGIN = f"--plugin={EXAMPLE}"
QUICK = ["--wandb=disabled", "--no-progress"]
QUICK_STUDY = ["--sample_images=2", "--sample_events=200", "--life_images=2"]
FEW = [PLUGIN, "--episodes=8", "--num_envs=4", "--eval_episodes=4", "--seed=0"]


@pytest.fixture(scope="module", autouse=True)
def own():
    """What the example registers."""
    import_plugins([EXAMPLE])
    yield
    for env_id in ("Bars-v0", "Tracker-v0"):
        del ENVIRONMENTS[env_id], TASKS[env_id], gymnasium.registry[env_id]


@pytest.mark.parametrize("env_id", ["Bars-v0", pytest.param("Tracker-v0", marks=pytest.mark.slow)])
def test_it_is_trained_judged_and_shown(env_id, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = train([f"--env={env_id}", *FEW, *QUICK, "--no-report"])
    settings = json.loads((run / "rule.json").read_text())
    assert settings["architecture"]["extra_keys"] == {
        "Bars-v0": ["excitability", "factor"], "Tracker-v0": ["factor"]
    }[env_id]  # fmt: skip
    few = ["--networks=2", "--train_episodes=3", "--test_episodes=2"]
    found = evaluate([PLUGIN, f"--env={env_id}", f"--rules=zero,fair-share,{run}", *few])
    assert list(found) == ["zero", "fair-share", str(run)]
    monkeypatch.setattr(sys, "argv", ["report.py", str(run), "--out=page", *QUICK_STUDY])
    with small_pngs():
        assert report() == 0
    assert (tmp_path / "page" / "report.html").stat().st_size > 10_000


def test_an_evolution_strategy_learns_a_formula_with_a_scalar_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    formula = ["--rule_form=formula", "--formula_terms=post,pre*excitability,post*x20*factor"]
    run = evolve(["--env=Bars-v0", *FEW, *formula, *QUICK, "--no-report"])
    rule = snn_plasticity_gym.load_rule(run)
    env = gymnasium.make_vec("Bars-v0", num_envs=2)
    env.reset(seed=0)
    assert env.unwrapped.run_episode(rule).reward.isfinite().all()


def test_a_head_of_ones_own_learns():
    model = EventA2C("PlasticityPolicy", make_sb3_env("Bars-v0", 2), policy_kwargs={"head": "small"}, seed=0)
    before = [parameter.clone() for parameter in model.policy.rule.heads.parameters()]
    model.learn(2 * 2 * 20)
    moved = [not torch.equal(a, b) for a, b in zip(before, model.policy.rule.heads.parameters(), strict=True)]
    assert any(moved)


def test_the_own_reward_is_paid():
    env = gymnasium.make_vec("Bars-v0", num_envs=2)
    env.reset(seed=1)
    result = env.unwrapped.run_episode(lambda events: torch.zeros(len(events.weight)))
    torch.testing.assert_close(result.reward, result.terms["evenness"] * result.terms["answered"])
    assert result.info["winner"].shape == (2,) and int(result.spikes["partners"].sum()) > 0


def test_names_that_are_taken_are_refused_in_one_line():
    bars = sys.modules[type(gymnasium.make("Bars-v0").unwrapped.engine.task).__module__]
    for register in (
        lambda: register_task("Bars-v0", task=bars.BarsTask, config=bars.TrackerConfig),
        lambda: register_task("CartPole-v1", task=bars.BarsTask, config=bars.BarsConfig),
        lambda: register_task("SNNPlastic-Semi-v0", task=bars.BarsTask, config=bars.BarsConfig),
        lambda: register_rule("stdp", bars.FairShare),
        lambda: snn_plasticity_gym.register_local_scalar("surrogate", bars.excitability),
        lambda: snn_plasticity_gym.register_encoder("one-hot", bars.difference_encoder),
    ):
        with pytest.raises(ConfigError, match="already") as error:
            register()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"readout": "nobody"}, "readout must be a population with neurons of its own"),
        ({"groups": ["input"]}, "has plasticity group 1, and groups names 1"),
        ({"projections": []}, "no projection has a plasticity"),
        ({"num_steps": 0}, "num_steps must be an integer of at least 1"),
        ({"num_steps": 10}, "history_length must be at most the 10 time steps"),
    ],
)
def test_a_mistake_in_a_task_is_named_in_one_line(change, message):
    bars = sys.modules[type(gymnasium.make("Bars-v0").unwrapped.engine.task).__module__]

    class Wrong(bars.BarsTask):
        def __init__(self, *args):
            super().__init__(*args)
            for name, value in change.items():
                setattr(self, name, value)

    env_id = "Wrong-v0"
    with registered(env_id, Wrong, bars.BarsConfig), pytest.raises(ConfigError, match=message) as error:
        gymnasium.make(env_id)
    assert "\n" not in str(error.value) and str(error.value).startswith(f"the task of {env_id}: ")
