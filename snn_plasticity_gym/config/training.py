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
        "Settings to start from, by name or as a YAML file, e.g. a run's config.yaml; other flags override them.",
        section="Run",
        basic=True,
        path=True,
    )


def resume_setting(longer: bool) -> Any:
    """Declare the setting `resume`; `longer`: a resumed run may have more episodes."""
    more = "episodes (more), " if longer else ""
    return setting(
        "",
        f"Folder of a run to resume, as if it had never stopped, with its settings, of which only {more}"
        "checkpoint_every, data_dir, plugin, progress, wandb, tensorboard and report may change.",
        section="Run",
        basic=True,
        path=True,
    )


@config_class
class RunConfig(PluginSettings):
    """Settings common to all programs that make a run folder."""

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
        "Episodes between checkpoints, of which the newest three are kept; 0: none.",
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
    """Settings common to trainers on environments."""

    env: str = setting("SNNPlastic-Unsup1-v0", "Environment to train on.", section="Run", basic=True)
    preset: str = preset_setting()
    episodes: int = setting(
        600,
        "Total training episodes, over all lifetimes, of image tasks an image each; rounded up to whole updates.",
        unit="episodes",
        section="Run",
        ge=1,
        was=("images",),
        basic=True,
    )
    num_envs: int = setting(8, "Lifetimes simulated in parallel.", unit="lifetimes", section="Run", ge=1, basic=True)
    eval_episodes: int = setting(
        128,
        "Held-out episodes for evaluating the rule on fresh networks before and after, without exploration; 0: none.",
        unit="episodes",
        section="Run",
        ge=0,
        was=("eval_images",),
        basic=True,
    )


@config_class
class SearchConfig(TrainingConfig, SearchOptions):
    """Settings common to all trainers that learn from returns."""

    resume: str = resume_setting(longer=True)
    compare_with: tuple[str, ...] = setting(
        (),
        "Baseline rules, named as in evaluate.py, to compare the learned rule with at the end: by reward, and in Unsup "
        "by accuracy, too. Without them the learned rule is evaluated by reward alone.",
        section="Run",
        was=("beside",),
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
        "network: the rule is a neural network of front and heads; formula: a sum of a few products of spikes, traces "
        "and the weight, with learned coefficients; front and head_sizes are then the critic's alone.",
        section="Policy",
        choices=RULE_FORMS,
    )
    formula_terms: tuple[str, ...] = setting(
        (),
        "Products of a formula, e.g. post,pre*post,post*x20*w, out of pre, post (1 where it fires), x20, y20 (trace of "
        "the pre, the post neuron, 20 ms), xn, yn (number of their spikes), w and further scalars of the environment; "
        "a constant is always included. Left out: spikes, with a trace of the other neuron or without, and that times "
        "w.",
        section="Policy",
    )
    init_policy: str = setting(
        "",
        "Policy to start from: a run's folder, or a Stable-Baselines3 zip that you trust. The front and common "
        "parameters of heads or formulas are copied.",
        section="Policy",
        path=True,
    )
    init_rule: str = setting(
        "",
        "Rule to start from, named as in evaluate.py: a hand-written one such as stdp:learning_rate=0.1:alpha=0.3, the "
        "folder of a run (a formula's, too), or one of your own. Before the first update the heads are trained to "
        "imitate it, best where event_kinds is feature.",
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
        """Check that settings agree with each other."""
        super().check()
        if self.init_policy and self.init_rule:
            raise ConfigError(
                f"a training has one start: give init_policy or init_rule, got {self.init_policy} and {self.init_rule}"
            )
        only_with(self, "rule_form", ("formula",), ["formula_terms"])
        if self.credit_horizon > self.episodes_per_update:
            raise ConfigError(
                f"credit_horizon must be at most episodes_per_update={self.episodes_per_update}, as an update uses no "
                f"later rewards, got {self.credit_horizon}"
            )


@config_class
class LearnerConfig(SearchConfig, EventOptions, GradientArguments):
    """Settings common to the policy gradient trainers."""

    sigma_end: float | None = setting(
        None,
        "Final sigma of a linear schedule from the first update to the last; none: constant.",
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
        "Final learning rate of front and heads in a linear schedule over the run, the critic's in proportion; none: "
        "both constant.",
        section="Learning",
        ge=0,
    )

    def check(self) -> None:
        """Check that settings agree with each other."""
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
        """Check that settings agree with each other."""
        super().check()
        if self.episodes_per_update % self.credit_horizon:
            raise ConfigError(
                f"episodes_per_update must be a multiple of credit_horizon={self.credit_horizon}, for which a rule is "
                f"kept, got {self.episodes_per_update}"
            )
        population = self.num_envs * (self.episodes_per_update // self.credit_horizon)
        if population < 4:
            raise ConfigError(
                "a generation needs at least 4 rules, num_envs times episodes_per_update / credit_horizon, got "
                f"{population}; raise num_envs"
            )


TRAINERS = (A2CConfig, PPOConfig, ESConfig)  # programs whose presets name an environment for other programs, too
