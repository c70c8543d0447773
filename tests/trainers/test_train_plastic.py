"""The program train_plastic: it learns with plasticity and not without, goes on bit for bit, and says what is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cut_runs import assert_goes_on_bit_for_bit, result_of, rows_of
from processes import as_command

from snn_plasticity_gym.config.cli import parse_config
from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.learners.strategies import CMA
from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.rules.backpropamine import Backpropamine
from snn_plasticity_gym.rules.differentiable import DifferentiableHebb
from snn_plasticity_gym.rules.differentiable_formula import DifferentiableFormula
from snn_plasticity_gym.rules.differentiable_head import DifferentiableHead
from snn_plasticity_gym.rules.distilled import format_formula
from snn_plasticity_gym.trainers import train_plastic
from snn_plasticity_gym.trainers.sessions import plastic_learner
from snn_plasticity_gym.trainers.sessions.plastic_evolution import CueEvolver
from snn_plasticity_gym.trainers.sessions.plastic_learner import CueLearner
from snn_plasticity_gym.trainers.sessions.plastic_session import make_learner

ROOT = Path(__file__).parents[2]
SMALL = ["--hidden_size=6", "--rests=15", "--cues=3", "--batch_size=16", "--episodes=160", "--eval_every=64"]
SMALL += ["--eval_episodes=40", "--test_episodes=40", "--test_rests=30", "--test_cues=5", "--checkpoint_every=48"]
SMALL += ["--seed=3", "--wandb=disabled", "--no-report"]


def learned(seed: int = 0, **settings) -> float:
    """Accuracy over all trials of the last third of a short training, in normal trials."""
    config = PlasticConfig(condition="normal", **settings)
    learner = make_learner(config, seed)
    for _ in learner.steps():
        if learner.episodes <= config.episodes * 2 // 3:
            learner.take_means()
    return learner.take_means()["accuracy"]


@as_command
def test_the_command(run, tmp_path):
    done = run(ROOT / "trainers" / "train_plastic.py", "--preset=cue-association", *SMALL, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "ndp-bcm by bptt, 40-6-2, 560 parameters: 160 episodes of cue association" in done.stdout
    (run,) = (tmp_path / "runs" / "Plastic").iterdir()
    result = result_of(run)
    assert result["not_finite_steps"] == 0 and set(result["test"]) == {"normal", "noisy"}
    assert set(result["longer_rests"]) == {"30"} and set(result["more_cues"]) == {"5"}
    assert [row["time/episodes"] for row in rows_of(run)][:3] == ["64", "128", "160"]


def test_a_trained_head_is_a_rule(tmp_path, capsys):
    """Its file answers as the head of the network's weights does, and only a formula is told in words."""
    run = train_plastic.train(["--network=head", "--head_size=3", *SMALL, f"--run_dir={tmp_path}", "--run_name=h"])
    assert "tanh(" not in capsys.readouterr().out
    rule, trained = load_rule(run), torch.load(run / "weights.pt", weights_only=True)
    shape = rule.description.architecture
    assert shape.formula_terms == ("pre", "post", "x20", "y20", "w") and shape.hidden_sizes == (3,)
    first, last = rule.rule.heads[0].perceptron.layers
    assert torch.equal(torch.cat([first.bias[:, None], first.weight], dim=1), trained["rules.0.first"])
    assert torch.equal(torch.cat([last.bias, last.weight[0]]), trained["rules.0.last"])
    assert rule.description.config["network"] == "head" and rule.description.groups == ["all"]


@pytest.mark.slow
def test_what_is_trained_is_a_rule_for_every_environment(tmp_path):
    """A formula and a policy head: trained by the program, evaluated by the program elsewhere."""

    def command(program: str, *flags: str) -> str:
        line = [sys.executable, str(ROOT / "trainers" / f"{program}.py"), *flags]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = command("train_plastic", "--network=formula", "--formula_terms=post*x20,w", "--run_name=f", *SMALL)
    run = tmp_path / "runs" / "Plastic" / "f"
    rule = load_rule(run)
    (formula,) = rule.rule.formulas()
    assert [term.factors for term in formula] == [(), ("post", "x20"), ("w",)]
    assert all(0.001 < abs(term.coefficient) < 1 for term in formula)
    assert f"all: {format_formula(formula)}" in said
    trained = torch.load(run / "weights.pt", weights_only=True)["rules.0.coefficients"]
    assert [term.coefficient for term in formula] == trained.tolist()
    assert rule.description.history_length == 25 * 4 + 15 and rule.description.config["network"] == "formula"
    command("train_plastic", "--network=head", "--run_name=h", *SMALL)
    head = run.parent / "h"
    few = ["--networks=2", "--train_episodes=2", "--test_episodes=2", "--json", f"--rules={run},{head},zero"]
    there = ["--env=SNNPlastic-Unsup1-v0", "--n_exc=5", "--dataset=digits"]  # which has two groups of synapses
    assert set(json.loads(command("evaluate", *there, *few))["rules"]) == {str(run), str(head), "zero"}


GOING_ON = {
    "bptt": [],
    "ppo": ["--learner=ppo"],
    "recurrent": ["--network=recurrent"],
    "retroactive": ["--network=backpropamine-retroactive"],
    "formula": ["--network=formula"],
    "head": ["--network=head"],
    "cma": ["--network=formula", "--learner=cma"],
}


@pytest.mark.parametrize("name", GOING_ON)
def test_a_run_that_ended_goes_on_bit_for_bit(name, tmp_path):
    learner = CueEvolver if name == "cma" else CueLearner
    flags = [*SMALL, "--episodes=96", "--eval_every=32", "--test_episodes=16", *GOING_ON[name]]
    assert_goes_on_bit_for_bit(train_plastic.train, learner, flags, tmp_path)


EASY = {"cues": 3, "rests": (105,), "episodes": 64 * 30}


def test_plasticity_learns_what_a_plain_network_does_not():
    assert learned(network="dp-bcm", **EASY) > 0.9
    assert learned(network="plain", **EASY) < 0.6


@pytest.mark.parametrize("turned", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_formula_learns(turned, monkeypatch):
    """One cue, after a rest that a plain network does not bridge; not so if gradients by coefficients are turned."""
    right = DifferentiableFormula.__init__

    def turn(self, *arguments, **settings):
        right(self, *arguments, **settings)
        self.coefficients.register_hook(torch.neg)

    if turned:
        monkeypatch.setattr(DifferentiableFormula, "__init__", turn)
    accuracy = learned(network="formula", hidden_size=30, cues=1, rests=(60,), episodes=64 * 12)
    assert accuracy < 0.6 if turned else accuracy > 0.75


@pytest.mark.parametrize("turned", [False, True])
def test_a_head_learns(turned, monkeypatch):
    """As a formula does; not so if its gradients are turned round."""
    right = DifferentiableHead.__init__

    def turn(self, *arguments, **settings):
        right(self, *arguments, **settings)
        for parameter in self.parameters():
            parameter.register_hook(torch.neg)

    if turned:
        monkeypatch.setattr(DifferentiableHead, "__init__", turn)
    accuracy = learned(seed=1, network="head", hidden_size=20, cues=1, rests=(60,), episodes=64 * 12)
    assert accuracy < 0.6 if turned else accuracy > 0.75


def test_a_rule_that_is_pushed_the_wrong_way_does_not_learn(monkeypatch):
    """The same training with the gradient through the rule's gain turned round."""
    right = DifferentiableHebb.__init__

    def turned(self, *arguments, **settings):
        right(self, *arguments, **settings)
        for parameter in (self.gain, self.rate):
            parameter.register_hook(torch.neg)

    monkeypatch.setattr(DifferentiableHebb, "__init__", turned)
    assert learned(network="dp-bcm", **EASY) < 0.6


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("network", ["backpropamine", "backpropamine-retroactive"])
def test_backpropamine_learns(network, turned, monkeypatch):
    """One cue, after a rest that a plain network does not bridge; not so if its gradients are turned round."""
    right = Backpropamine.__init__

    def turn(self, *arguments, **settings):
        right(self, *arguments, **settings)
        for parameter in self.parameters():
            parameter.register_hook(torch.neg)

    if turned:
        monkeypatch.setattr(Backpropamine, "__init__", turn)
    accuracy = learned(network=network, hidden_size=30, cues=1, rests=(105,), episodes=64 * 20)
    assert accuracy < 0.6 if turned else accuracy > 0.85


def test_a_formula_of_each_synapse_is_no_rule(tmp_path, capsys):
    flags = ["--network=formula", "--coefficients=synapse", "--formula_terms=post,post*x20", *SMALL, "--episodes=32"]
    run = train_plastic.train([*flags, f"--run_dir={tmp_path}", "--run_name=own"])
    assert "coefficients of each synapse are no rule for other networks, so no rule.json" in capsys.readouterr().out
    assert not (run / "rule.json").exists()
    trained = torch.load(run / "weights.pt", weights_only=True)
    assert trained["rules.0.coefficients"].shape == (3, 40, 6) and trained["rules.1.coefficients"].shape == (3, 6, 2)
    assert trained["rules.0.coefficients"].std(dim=(1, 2)).min() > 0
    with pytest.raises(ConfigError, match=r"no rule at .*rule\.json"):
        load_rule(run)


@pytest.mark.parametrize("turned", [False, True])
def test_rewards_teach(turned, monkeypatch):
    """One cue, whose answer is paid at the end of the trial; uphill is no way to learn."""
    right = CueLearner._step
    if turned:
        monkeypatch.setattr(CueLearner, "_step", lambda self, loss: right(self, -loss))
    accuracy = learned(network="dp-bcm", learner="ppo", cues=1, rests=(60,), episodes=64 * 18)
    assert accuracy < 0.6 if turned else accuracy > 0.9


@pytest.mark.parametrize("turned", [False, True])
def test_evolution_finds_a_single_cue(turned, monkeypatch):
    right = CMA.tell
    if turned:
        monkeypatch.setattr(CMA, "tell", lambda self, fitness: right(self, -fitness))
    settings = {"hidden_size": 4, "batch_size": 256, "sigma": 0.2, "episodes": 256 * 40}
    accuracy = learned(network="plain", learner="cma", cues=1, rests=(0,), **settings)
    assert accuracy < 0.6 if turned else accuracy > 0.8


@pytest.mark.slow
def test_whole_trials_as_in_the_table():
    assert learned(network="dp-bcm", episodes=64 * 100) >= 0.8
    assert learned(network="plain", episodes=64 * 100) <= 0.6


def test_steps_that_are_not_finite_are_counted_and_left_out(monkeypatch):
    config = PlasticConfig(hidden_size=4, cues=1, rests=(5,), batch_size=4, episodes=16)
    learner = make_learner(config, 0)
    right, calls = plastic_learner.F.cross_entropy, []

    def loss(*arguments):
        calls.append(None)
        return right(*arguments) * (float("inf") if len(calls) == 2 else 1.0)

    monkeypatch.setattr(plastic_learner.F, "cross_entropy", loss)
    for _ in learner.steps():
        pass
    assert learner.not_finite == 1 and len(calls) == 4
    assert all(bool(value.isfinite().all()) for value in learner.network.state_dict().values())


def test_answers_that_tie_count_half():
    counts = torch.tensor([[3.0, 1.0], [2.0, 2.0], [0.0, 4.0]])
    assert plastic_learner.scores(counts, torch.tensor([0, 0, 0])).tolist() == [1.0, 0.5, 0.0]


def test_what_cannot_be_is_refused_in_one_line(tmp_path, capsys):
    def refusal(*flags: str) -> str:
        with pytest.raises(SystemExit):
            train_plastic.train([*flags, f"--run_dir={tmp_path}"])
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        return line

    assert "must be odd, so that one cue comes more often, got 4" in refusal("--cues=4")
    assert "unknown preset 'cue'" in refusal("--preset=cue")
    assert "network" in refusal("--network=dp")
    assert "formula_terms is for network formula, got post with network ndp-bcm" in refusal("--formula_terms=post")
    assert "network plain has none, got shared" in refusal("--network=plain", "--coefficients=shared")
    assert "shared or of each synapse, got neuron" in refusal("--network=formula", "--coefficients=neuron")
    assert "all synapses share network head, got coefficients synapse" in refusal(
        "--network=head", "--coefficients=synapse"
    )
    assert "head_size" in refusal("--head_size=0")
    assert "coefficients" in refusal("--coefficients=layer")
    assert "steps is for a world, and there is none; give world, or leave steps out" in refusal("--steps=1000")
    assert "test_mass is for a world" in refusal("--test_mass=2")
    assert "batch_size must be a multiple of population=16" in refusal("--learner=cma", "--batch_size=24")
    run = train_plastic.train([*SMALL, f"--run_dir={tmp_path}", "--run_name=done"])
    with pytest.raises(ConfigError, match="has had its episodes"):
        train_plastic.train([f"--resume={run}"])


def test_the_preset_arrives():
    config = parse_config(PlasticConfig, ["--preset=cue-association"])
    assert config.preset == "cue-association" and config.network == "ndp-bcm"
