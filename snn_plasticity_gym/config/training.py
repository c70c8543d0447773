"""Settings of the trainers: flags of the programs and keys of sweeps."""

from __future__ import annotations

from typing import Any

from snn_plasticity_gym.config.arguments import LARGEST_SEED
from snn_plasticity_gym.config.learning import (
    EventOptions,
    EvolutionOptions,
    GradientArguments,
    PPOOptions,
    ProximalArguments,
    SearchOptions,
)
from snn_plasticity_gym.config.plugins import PluginSettings
from snn_plasticity_gym.config.schema import ConfigError, config_class, only_with, setting

RULE_FORMS = ("network", "formula")
WANDB_MODES = ("auto", "online", "offline", "disabled")


def preset_setting() -> Any:
    """Declare the setting `preset` of a program that has an environment."""
    return setting(
        "",
        "Settings to start from, by name or as a YAML file, e.g. a run's config.yaml; other flags win over them.",
        section="Run",
        basic=True,
        path=True,
    )


def resume_setting(longer: bool) -> Any:
    """Declare the setting `resume`; `longer`: a run that goes on may ask for more episodes."""
    more = "episodes (more), " if longer else ""
    return setting(
        "",
        f"Folder of a run to go on with, as if it had never stopped; its settings hold, of which only {more}"
        "checkpoint_every, data_dir, plugin, progress, wandb, tensorboard and report may change.",
        section="Run",
        basic=True,
        path=True,
    )


@config_class
class RunConfig(PluginSettings):
    """What all programs that make a run folder have in common."""

    seed: int = setting(
        -1,
        "Seed of everything; -1 draws one, prints it and stores it.",
        section="Run",
        ge=-1,
        le=LARGEST_SEED,
        basic=True,
    )
    run_dir: str = setting("runs", "Folder of all runs; a run is run_dir/env/name.", section="Run", path=True)
    run_name: str = setting("", "Name of this run; made from time and seed if empty.", section="Run", basic=True)
    checkpoint_every: int = setting(
        200,
        "Episodes between checkpoints, of which the newest three stay; 0: none.",
        unit="episodes",
        section="Run",
        ge=0,
    )
    progress: bool = setting(True, "Show a progress bar (on a terminal) or progress lines (elsewhere).", section="Run")
    wandb: str = setting(
        "auto",
        "Weights & Biases; auto is online if a key is set up, else offline.",
        section="Logging",
        choices=WANDB_MODES,
        basic=True,
    )
    wandb_project: str = setting("snn-plasticity-gym", "Project on Weights & Biases.", section="Logging")
    tensorboard: bool = setting(False, "Write TensorBoard's files into the run's folder, too.", section="Logging")
    report: bool = setting(True, "Write report.html into the run's folder at the end.", section="Logging")
    threads: int = setting(
        1,
        "CPU threads of torch; 0: as many as torch takes, a third faster on two quiet cores, far slower on busy ones.",
        section="Machine",
        ge=0,
    )


@config_class
class TrainingConfig(RunConfig):
    """What trainers on environments have in common."""

    env: str = setting("SNNPlastic-Unsup1-v0", "Environment to train on.", section="Run", basic=True)
    preset: str = preset_setting()
    episodes: int = setting(
        600,
        "Episodes shown in all, over all lifetimes, of image tasks an image each; rounded up to whole updates.",
        unit="episodes",
        section="Run",
        ge=1,
        was=("images",),
        basic=True,
    )
    num_envs: int = setting(8, "Lifetimes simulated side by side.", unit="lifetimes", section="Run", ge=1, basic=True)
    eval_episodes: int = setting(
        128,
        "Episodes of held-out data shown to fresh networks before and after, without exploration; 0: none.",
        unit="episodes",
        section="Run",
        ge=0,
        was=("eval_images",),
        basic=True,
    )


@config_class
class SearchConfig(TrainingConfig, SearchOptions):
    """What all trainers that learn from returns have in common."""

    resume: str = resume_setting(longer=True)
    beside: tuple[str, ...] = setting(
        (),
        "Rules, named as in evaluate.py, that are judged beside the learned one when learning ends: by reward, and in "
        "Unsup by accuracy, too. Without them the learned rule is judged by reward alone.",
        section="Run",
    )
    episodes_per_update: int = setting(
        1,
        "Episodes of each lifetime between two updates.",
        unit="episodes",
        section="Learning",
        ge=1,
        was=("images_per_update",),
        basic=True,
    )
    head_sizes: tuple[int, ...] = setting(
        (128, 128), "Neurons of the hidden layers of each policy head and of the critic.", section="Policy", ge=1
    )
    rule_form: str = setting(
        "network",
        "network: the rule is front and heads; formula: it is a sum of a few products of spikes, traces and the "
        "weight, whose coefficients are learned, and front and head_sizes are the critic's alone.",
        section="Policy",
        choices=RULE_FORMS,
    )
    formula_terms: tuple[str, ...] = setting(
        (),
        "Products of a formula, e.g. post,pre*post,post*x20*w, out of pre, post (1 where it fires), x20, y20 (trace "
        "of the pre, the post neuron, 20 ms), xn, yn (number of their spikes), w and further scalars of the "
        "environment; a constant is always there. Left out: who fires, with a trace of its partner or without, and "
        "that times w.",
        section="Policy",
    )
    init_policy: str = setting(
        "",
        "Policy to start from: a run's folder, or a Stable-Baselines3 zip that you trust. The front and what heads "
        "or formulas have in common is taken over.",
        section="Policy",
        path=True,
    )
    init_rule: str = setting(
        "",
        "Rule to start from, named as in evaluate.py: a hand-written one such as stdp:learning_rate=0.1:alpha=0.3, the "
        "folder of a run (a formula's, too), or one of your own. Before the first update the heads learn to answer as "
        "it does, best where event_kinds is feature.",
        section="Policy",
        basic=True,
    )
    sigma: float = setting(
        0.1,
        "Standard deviation sigma_policy of the weight changes around their mean, or of perturbed rules.",
        section="Learning",
        gt=0,
        basic=True,
    )

    def check(self) -> None:
        """Refuse settings that contradict each other."""
        super().check()
        if self.init_policy and self.init_rule:
            raise ConfigError(
                f"a training starts from one thing: give init_policy or init_rule, got {self.init_policy} and "
                f"{self.init_rule}"
            )
        only_with(self, "rule_form", ("formula",), ["formula_terms"])
        if self.credit_horizon > self.episodes_per_update:
            raise ConfigError(
                f"credit_horizon must be at most episodes_per_update={self.episodes_per_update}, as an update sees no "
                f"further, got {self.credit_horizon}"
            )


@config_class
class LearnerConfig(SearchConfig, EventOptions, GradientArguments):
    """What the policy gradient trainers have in common."""

    sigma_end: float | None = setting(
        None,
        "Sigma to which it goes evenly from the first update to the last; none: it stays.",
        section="Learning",
        gt=0,
    )
    learning_rate: float = setting(
        3e-4, "Learning rate alpha_actor of front and heads (Adam).", section="Learning", gt=0, basic=True
    )
    critic_learning_rate: float = setting(
        1e-3, "Learning rate alpha_critic of the critic (Adam).", section="Learning", gt=0
    )
    learning_rate_end: float | None = setting(
        None,
        "Learning rate to which that of front and heads goes evenly until all episodes are over, the critic's in "
        "proportion; none: both stay.",
        section="Learning",
        ge=0,
    )

    def check(self) -> None:
        """Refuse settings that contradict each other."""
        super().check()
        if self.mirrored and self.num_envs % 2:
            raise ConfigError(f"mirrored needs an even num_envs, whose lifetimes make pairs, got {self.num_envs}")
        if (self.baseline == "lifetimes" or self.exploration == "rule") and self.num_envs < 2:
            raise ConfigError("exploration rule and baseline lifetimes need num_envs of at least 2, got 1")


@config_class
class A2CConfig(LearnerConfig):
    """Train a plasticity rule with advantage actor-critic."""


@config_class
class PPOConfig(LearnerConfig, PPOOptions, ProximalArguments):
    """Train a plasticity rule with proximal policy optimisation."""


@config_class
class ESConfig(SearchConfig, EvolutionOptions):
    """Train a plasticity rule with an evolution strategy: CMA-ES over all parameters of the heads."""

    def check(self) -> None:
        """Refuse settings that contradict each other."""
        super().check()
        if self.episodes_per_update % self.credit_horizon:
            raise ConfigError(
                f"episodes_per_update must be a multiple of credit_horizon={self.credit_horizon}, for which a rule is "
                f"held, got {self.episodes_per_update}"
            )
        population = self.num_envs * (self.episodes_per_update // self.credit_horizon)
        if population < 4:
            raise ConfigError(
                "a generation needs at least 4 rules, num_envs times episodes_per_update / credit_horizon, got "
                f"{population}; raise num_envs"
            )


TRAINERS = (A2CConfig, PPOConfig, ESConfig)  # programs whose presets name an environment that others can use, too
