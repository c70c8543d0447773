"""Session of `train_plastic.py`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.config.schema import to_dict
from snn_plasticity_gym.learners.plastic_network import as_rule, make_network
from snn_plasticity_gym.policies.rule_description import describe
from snn_plasticity_gym.policies.rule_files import save_rule
from snn_plasticity_gym.rules.differentiable_formula import DifferentiableFormula
from snn_plasticity_gym.rules.differentiable_head import DifferentiableHead
from snn_plasticity_gym.rules.distilled import format_formula
from snn_plasticity_gym.runs.folder import RunFolder, package_versions
from snn_plasticity_gym.tasks.cue_association import CONDITIONS, CUE_STEPS
from snn_plasticity_gym.trainers.sessions.bptt_learner import generator_of
from snn_plasticity_gym.trainers.sessions.learning_loop import FinalResult, Row, carry_out
from snn_plasticity_gym.trainers.sessions.plastic_evolution import CueEvolver
from snn_plasticity_gym.trainers.sessions.plastic_learner import CueLearner, Judgement
from snn_plasticity_gym.trainers.sessions.plastic_world_session import run_plastic_world
from snn_plasticity_gym.utils.device import torch_device
from snn_plasticity_gym.utils.files import atomic_path

ALL = "all"  # name of a rule's only head, which serves all synapses
NO_RULE = (
    "coefficients of each synapse are no rule for other networks, so no rule.json is written; coefficients=shared "
    "makes one"
)


def run_plastic(config: PlasticConfig) -> Path:
    """Train, test the best parameters once on held-out trials, and write everything into a run folder.

    See `carry_out`, and `run_plastic_world` for environments. weights.pt is the state of `PlasticNetwork`. A
    formula that synapses share, and a policy head, are saved as rule files, too.
    """
    if config.world:
        return run_plastic_world(config)
    return carry_out("Plastic", config, functools.partial(PlasticTraining, config))


def make_learner(config: PlasticConfig, seed: int) -> CueLearner:
    """Make the network and its learner from the run's seed.

    Raises:
        ValueError: The device does not exist.
    """
    device = torch_device(config.device)
    first, answers = (
        torch.Generator().manual_seed(int(generator_of(seed, stream).integers(2**62))) for stream in (0, 2)
    )
    parts = config, make_network(config, first).to(device), generator_of(seed, 1), answers
    return CueEvolver(*parts, seed) if config.learner == "cma" else CueLearner(*parts)


class PlasticTraining:
    """See `Training`.

    Args:
        config: Settings of the run.
        seed: Of everything.
    """

    dataset: dict[str, Any] | None = None

    def __init__(self, config: PlasticConfig, seed: int) -> None:
        self._config, self._seed = config, seed
        self.learner = make_learner(config, seed)
        network = self.learner.network
        sizes = "-".join(map(str, (*network.weights[0].shape, network.weights[1].shape[1])))
        of = f"{config.network} by {config.learner}, {sizes}, {network.num_parameters} parameters"
        self.title = f"{of}: {self.learner.total} episodes of cue association"

    def row(self) -> Row:
        """See `Training`."""
        learner = self.learner
        means, results = learner.take_means(), learner.judge("validation", self._config.eval_episodes)
        accuracy = sum(one.accuracy for one in results.values()) / len(results)
        learner.note(accuracy)
        values = {f"train/{name}": mean for name, mean in means.items()}
        values |= {f"eval/{condition}": one.accuracy for condition, one in results.items()}
        values |= {
            "eval/accuracy": accuracy,
            "eval/hidden_rate": sum(one.hidden_rate for one in results.values()) / len(results),
            "eval/output_rate": sum(one.output_rate for one in results.values()) / len(results),
            "train/not_finite": learner.not_finite,
        }
        accuracies = "  ".join(f"{condition} {one.accuracy:.4f}" for condition, one in results.items())
        return Row(values, f"loss {means['loss']:.4f}  accuracy {means['accuracy']:.4f}  validation {accuracies}")

    def judge(self, run: RunFolder) -> FinalResult:
        """Test the best parameters on trials as in training, and with longer rests and more cues."""
        config, learner, network = self._config, self.learner, self.learner.network
        validation, at = learner.take_best()
        with atomic_path(run.path / "weights.pt") as temporary:
            torch.save({name: value.cpu() for name, value in network.state_dict().items()}, temporary)
        test, beyond = learner.judge("test", config.test_episodes), config.eval_episodes
        lines = [", ".join(f"{condition} {test[condition].accuracy:.4f}" for condition in CONDITIONS)]
        lines[0] = (
            f"accuracy of the best parameters, of {at} episodes, on {config.test_episodes} test episodes: {lines[0]}"
        )
        lines.append(f"{learner.not_finite} steps left out as not finite")
        rule = network.rule(0)
        if isinstance(rule, DifferentiableFormula | DifferentiableHead):
            lines += [NO_RULE] if rule.shape else self._save(run, rule, test)
        longer = {rest: learner.judge("test", beyond, rests=(rest,)) for rest in config.test_rests}
        more = {cues: learner.judge("test", beyond, cues=cues) for cues in config.test_cues}
        result = {
            "network": config.network,
            "hidden_size": network.weights[0].shape[1],
            "parameters": network.num_parameters,
            "not_finite_steps": learner.not_finite,
            "test": {condition: judgement._asdict() for condition, judgement in test.items()},
            "longer_rests": {
                rest: {condition: one.accuracy for condition, one in by.items()} for rest, by in longer.items()
            },
            "more_cues": {
                cues: {condition: one.accuracy for condition, one in by.items()} for cues, by in more.items()
            },
            "validation_accuracy": validation,
            "best_at": at,
        }
        values = {f"test/{condition}": test[condition].accuracy for condition in CONDITIONS}
        return FinalResult(result, values, "\n".join(lines))

    def _save(
        self, run: RunFolder, trained: DifferentiableFormula | DifferentiableHead, test: Mapping[str, Judgement]
    ) -> list[str]:
        """Write the rule as a rule file; return its formula as text."""
        config, rule = self._config, as_rule(trained)
        description = describe(
            rule.architecture,
            groups=[ALL],
            history_length=(config.cues + 1) * CUE_STEPS + max(config.rests),
            images=self.learner.total,
            config={**to_dict(config), "seed": self._seed},
            metrics={"after": {condition: judgement.accuracy for condition, judgement in test.items()}},
            versions=package_versions(),
        )
        save_rule(run.path, rule, description)
        return [f"{ALL}: {format_formula(terms)}" for terms in rule.formulas()]
