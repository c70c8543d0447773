"""Settings of policy gradients in winner-take-all networks."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

from snn_plasticity_gym.config.data_names import FOLDER_HELP, HELP, check_dataset_name
from snn_plasticity_gym.config.schema import ConfigError, config_class, setting
from snn_plasticity_gym.config.training import RunConfig, resume_setting

RULE_NAMES = ("contrast", "paper", "formula", "backprop", "mlp", "bptt")
BASELINE_NAMES = ("confidence", "mean", "none")
POST_NAMES = ("potential", "spikes")
OPTIMISER_NAMES = ("adam", "sgd")
SCHEDULE_NAMES = ("cosine", "linear", "constant")
STATES = ("free", "moved", "drawn")  # variables of a neuron in a formula
_PAIRS = itertools.combinations_with_replacement(STATES, 2)
TERMS = {  # of formulas, by group of weights; see `learners.svpg_formula`
    "inputs": (*STATES, "w"),
    "lateral": (*("*".join(pair) for pair in _PAIRS), "w"),
}


def check_formula(formula: Mapping[str, Any]) -> None:
    """Check that a formula is a mapping of coefficients by the names in `TERMS`.

    Raises:
        ConfigError: It is not.
    """
    for part, terms in formula.items():
        if part not in TERMS:
            raise ConfigError(f"a formula has the parts {', '.join(TERMS)}, got {part!r}")
        if not isinstance(terms, Mapping):
            raise ConfigError(f"{part} of a formula must be coefficients by term, got {terms!r}")
        for term, value in terms.items():
            if term not in TERMS[part]:
                raise ConfigError(f"{part} of a formula have the terms {', '.join(TERMS[part])}, got {term!r}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ConfigError(f"the coefficient of {term} must be a finite number, got {value!r}")


@config_class
class SVPGConfig(RunConfig):
    """Train a winner-take-all network by its reward alone: one-step image classification, or episodes of a world.

    An image is an episode of one step: the action is a class, with reward 1 if it is correct and 0 if not; the label is
    never an input. In a world, a Gymnasium environment, the reward is that of the world. Rules: contrast and paper are
    local (`learners.svpg`), and so are formulas (`learners.svpg_formula`); baselines are REINFORCE by backpropagation
    through the same mean field (backprop), through a ReLU network (mlp) and through time in a network of spiking LIF
    neurons (bptt).
    """

    resume: str = resume_setting(longer=False)
    preset: str = setting(
        "",
        "Settings to start from: svpg-mnist, svpg-spikes, svpg-cartpole, svpg-pendulum, or a YAML file, e.g. a run's "
        "config.yaml; other flags override them.",
        section="Run",
        basic=True,
        path=True,
    )
    checkpoint_every: int = 100_000
    episodes: int = setting(
        1_000_000,
        "Total episodes: images, or episodes of the world.",
        unit="episodes",
        section="Run",
        ge=1,
        basic=True,
    )
    eval_every: int = setting(
        50_000,
        "Episodes between two rows of metrics, each with a validation; the best weights are kept.",
        unit="episodes",
        section="Run",
        ge=1,
        basic=True,
    )
    eval_episodes: int = setting(
        0,
        "Validation images, or held-out episodes of the world; 0: all images, or 30 episodes.",
        unit="episodes",
        section="Run",
        ge=0,
        basic=True,
    )
    test_episodes: int = setting(
        0,
        "Test images, or test episodes, for the best weights at the end; 0: all images, or 100 episodes.",
        unit="episodes",
        section="Run",
        ge=0,
    )

    dataset: str = setting("auto", HELP, section="Task", basic=True)
    data_dir: str | None = setting(
        None,
        FOLDER_HELP,
        section="Task",
        path=True,
    )
    world: str = setting(
        "",
        "Gymnasium id of a world to act in, in place of images, e.g. CartPole-v1; module:Id imports the module first.",
        section="Task",
        basic=True,
    )
    world_kwargs: str = setting(
        "{}", 'Arguments of the world, a mapping or JSON, e.g. {"max_episode_steps": 200}.', section="Task", json=True
    )
    action_values: tuple[float, ...] = setting(
        (), "Values of the actions of a world whose action is one number, e.g. forces; empty: it has Discrete actions.",
        section="Task",
    )  # fmt: skip
    observation_scale: tuple[float, ...] = setting(
        (),
        "Factor of each observation of a world, before it is clipped to [-1, 1]; empty: 1.",
        section="Task",
        gt=0,
    )
    fields: int = setting(
        10,
        "Inputs of each observation: bells with centres in equal distances from -1 to 1, as wide as they are apart.",
        section="Task",
        ge=2,
    )

    rule: str = setting(
        "contrast",
        "Learning rule. contrast: difference of the phases with the action held and free; paper: as Yang et al. "
        "(2022); formula: a given one, e.g. found by search_svpg; backprop: REINFORCE through the same "
        "mean field; mlp and bptt: REINFORCE in a ReLU and in a spiking network.",
        section="Network",
        choices=RULE_NAMES,
        basic=True,
    )
    formula: str = setting(
        "{}",
        "Coefficients of rule formula, a mapping or JSON, e.g. {inputs: {moved: 1}, lateral: {free*moved: 2, "
        "moved*moved: 1}}, which is contrast.",
        section="Network",
        json=True,
    )
    hidden_groups: int = setting(
        50, "Hidden winner-take-all groups; 0: a linear softmax policy.", section="Network", ge=0, basic=True
    )
    group_size: int = setting(10, "Neurons of a hidden group.", section="Network", ge=2, basic=True)
    sweeps: int = setting(4, "Sweeps of the mean field, in each phase.", section="Network", ge=0)
    input_to_action: bool = setting(
        True, "Inputs project to action neurons directly, too.", section="Network", basic=True
    )
    hidden_to_hidden: bool = setting(True, "Hidden groups are connected with each other.", section="Network")
    input_scale: float = setting(
        0.05, "Standard deviation of the initial weights from inputs to hidden neurons.", section="Network", ge=0
    )
    lateral_scale: float = setting(
        0.1,
        "Standard deviation of the initial weights between hidden and action neurons, of which those among hidden ones "
        "have 0.3.",
        section="Network",
        ge=0,
    )
    hidden_size: int = setting(
        200, "Hidden neurons of the networks of mlp and bptt.", unit="neurons", section="Network", ge=1
    )

    spikes: bool = setting(
        False, "With rule contrast, learn from windows of spikes in place of mean fields.", section="Spikes"
    )
    window: int = setting(
        15, "Steps of a free window, of which the first fifth is not counted.", unit="ms", section="Spikes", ge=5
    )
    held_window: int = setting(
        15, "Steps of the window in which the action is held; the first fifth is not counted.",
        unit="ms", section="Spikes", ge=5,
    )  # fmt: skip
    tau: float = setting(
        2.0,
        "Time constant of postsynaptic traces; much shorter than a window, or it ends before the action has spread.",
        unit="ms",
        section="Spikes",
        gt=0,
    )
    post: str = setting(
        "potential",
        "Postsynaptic factor of a synapse: the neuron's spike probability by its potential, or its spikes.",
        section="Spikes",
        choices=POST_NAMES,
    )
    num_steps: int = setting(16, "Time steps of the network of bptt.", unit="steps", section="Spikes", ge=1)

    baseline: str = setting(
        "confidence",
        "Reward baseline of an image. confidence: the sum of squared action probabilities; mean: the mean of earlier "
        "rewards; none: 1, so that only errors change weights. In worlds it is a linear critic.",
        section="Learning",
        choices=BASELINE_NAMES,
    )
    batch_size: int = setting(
        100, "Images, or episodes of the world, of an update.", unit="episodes", section="Learning", ge=1, basic=True
    )
    optimiser: str = setting("adam", "Optimiser of the weights.", section="Learning", choices=OPTIMISER_NAMES)
    learning_rate: float = setting(2e-3, "First learning rate.", section="Learning", gt=0, basic=True)
    schedule: str = setting(
        "cosine",
        "Schedule of the learning rate, down to 0 over the run, in worlds to a twentieth.",
        section="Learning",
        choices=SCHEDULE_NAMES,
    )
    entropy: float = setting(0.0, "Weight of the policy's entropy in the objective.", section="Learning", ge=0)
    gamma: float = setting(0.97, "Discount factor in worlds, per action.", section="Learning", ge=0, lt=1)
    epochs: int = setting(
        1, "Passes over the episodes of an update in worlds; more than one need clip_range.", section="Learning", ge=1
    )
    clip_range: float | None = setting(
        None,
        "The third factor is the score of PPO with this clip, in worlds; none: that of REINFORCE.",
        section="Learning",
        gt=0,
        lt=1,
    )

    device: str = setting("cpu", "Torch device, e.g. cpu or cuda.", section="Machine", basic=True)

    def check(self) -> None:
        """Check that settings agree with each other."""
        check_dataset_name(self.dataset)
        self._check_formula()
        if self.spikes and self.rule != "contrast":
            raise ConfigError(f"spikes need rule contrast, got {self.rule}; set it, or leave spikes out")
        if self.epochs > 1 and self.clip_range is None:
            raise ConfigError(f"epochs={self.epochs} need clip_range, or later epochs diverge; give e.g. 0.2")
        if not self.hidden_groups and not self.input_to_action and self.rule not in ("mlp", "bptt"):
            raise ConfigError("without hidden_groups actions need input_to_action, got neither")
        if not self.world:
            given = {
                "world_kwargs": json.loads(self.world_kwargs) != {},
                "action_values": bool(self.action_values),
                "observation_scale": bool(self.observation_scale),
                "clip_range": self.clip_range is not None,
            }
            alone = [name for name, is_given in given.items() if is_given]
            if alone:
                raise ConfigError(f"{', '.join(alone)} need a world, got none; give e.g. world=CartPole-v1")

    def _check_formula(self) -> None:
        formula = json.loads(self.formula)
        check_formula(formula)
        if formula and self.rule != "formula":
            raise ConfigError(f"a formula needs rule formula, got {self.rule}; set it, or leave formula out")
        if self.rule == "formula" and not formula:
            raise ConfigError("rule formula needs coefficients, got none; give formula, which search_svpg can find")
