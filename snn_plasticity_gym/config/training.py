"""Settings of the trainers: flags of the programs and keys of sweeps."""

from __future__ import annotations

from snn_plasticity_gym.config.arguments import LARGEST_SEED
from snn_plasticity_gym.config.schema import ConfigError, config_class, setting

LOSS_WEIGHTINGS = ("event", "step")
EXPLORATIONS = ("independent", "rule")
PERTURBED = ("last", "head")
ADVANTAGES = ("standardised", "ranks")
COVARIANCES = ("diagonal", "full")
RULE_FORMS = ("network", "formula")
BASELINES = ("critic", "lifetimes")
ADVANTAGE_SCOPES = ("minibatch", "rollout")
NAN_POLICIES = ("raise", "skip")
WANDB_MODES = ("auto", "online", "offline", "disabled")


@config_class
class RunConfig:
    """What all programs that make a run folder have in common."""

    seed: int = setting(
        -1, "Seed of everything; -1 draws one, prints it and stores it.", section="Run", ge=-1, le=LARGEST_SEED
    )
    run_dir: str = setting("runs", "Folder of all runs; a run is run_dir/env/name.", section="Run")
    run_name: str = setting("", "Name of this run; made from time and seed if empty.", section="Run")
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

    env: str = setting("SNNPlastic-Unsup1-v0", "Environment to train on.", section="Run")
    preset: str = setting(
        "",
        "Settings to start from, by name or as a YAML file, e.g. a run's config.yaml; other flags win over them.",
        section="Run",
    )
    episodes: int = setting(
        600,
        "Episodes shown in all, over all lifetimes, of image tasks an image each; rounded up to whole updates.",
        unit="episodes",
        section="Run",
        ge=1,
        was=("images",),
    )
    num_envs: int = setting(8, "Lifetimes simulated side by side.", unit="lifetimes", section="Run", ge=1)
    eval_episodes: int = setting(
        128,
        "Episodes of held-out data shown to fresh networks before and after, without exploration; 0: none.",
        unit="episodes",
        section="Run",
        ge=0,
        was=("eval_images",),
    )


@config_class
class SearchConfig(TrainingConfig):
    """What all trainers that learn from returns have in common."""

    resume: str = setting(
        "",
        "Folder of a run to go on with, as if it had never stopped; its settings hold, of which only episodes (more), "
        "checkpoint_every, data_dir, progress, wandb, tensorboard and report may change.",
        section="Run",
    )
    episodes_per_update: int = setting(
        1,
        "Episodes of each lifetime between two updates.",
        unit="episodes",
        section="Learning",
        ge=1,
        was=("images_per_update",),
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
    )
    init_rule: str = setting(
        "",
        "Hand-written rule to start from, e.g. stdp:learning_rate=0.1:alpha=0.3 as in evaluate.py: before the first "
        "update the heads learn to answer as it does, best where event_kinds is feature.",
        section="Policy",
    )
    sigma: float = setting(
        0.1,
        "Standard deviation sigma_policy of the weight changes around their mean, or of perturbed rules.",
        section="Learning",
        gt=0,
    )
    credit_horizon: int = setting(
        1,
        "Episodes whose rewards an episode's return sums up, this one and those of its lifetime that follow in the "
        "rollout; exploration rule and evolution strategies hold a perturbation as long.",
        unit="episodes",
        section="Credit",
        ge=1,
    )
    gamma_lifetime: float = setting(1.0, "Discount per episode in that sum.", section="Credit", gt=0, le=1)
    credit_from: int = setting(
        0,
        "Episodes of the horizon, its first ones, whose rewards do not count in that sum.",
        unit="episodes",
        section="Credit",
        ge=0,
    )

    def check(self) -> None:
        """Refuse settings that contradict each other."""
        if self.init_policy and self.init_rule:
            raise ConfigError(
                f"a training starts from one thing: give init_policy or init_rule, got {self.init_policy} and "
                f"{self.init_rule}"
            )
        if self.formula_terms and self.rule_form != "formula":
            raise ConfigError(f"formula_terms needs rule_form formula, got {self.rule_form}; set it, or leave them out")
        if self.credit_horizon > self.episodes_per_update:
            raise ConfigError(
                f"credit_horizon must be at most episodes_per_update={self.episodes_per_update}, as an update sees no "
                f"further, got {self.credit_horizon}"
            )
        if self.credit_from >= self.credit_horizon:
            raise ConfigError(
                f"credit_from must be less than credit_horizon={self.credit_horizon}, or no reward counts, got "
                f"{self.credit_from}"
            )


@config_class
class LearnerConfig(SearchConfig):
    """What the policy gradient trainers have in common."""

    sigma_end: float | None = setting(
        None,
        "Sigma to which it goes evenly from the first update to the last; none: it stays.",
        section="Learning",
        gt=0,
    )
    learning_rate: float = setting(
        3e-4, "Learning rate alpha_actor of front and heads (Adam).", section="Learning", gt=0
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
    events_per_episode: int = setting(
        1024,
        "Events learned from per episode, a uniform sample; 0: all. Every event changes its weight.",
        unit="events",
        section="Learning",
        ge=0,
        was=("events_per_image",),
    )
    gamma: float = setting(1.0, "Discount per time step.", section="Learning", gt=0, le=1)
    exploration: str = setting(
        "independent",
        "independent: each event has a noise of its own; rule: each lifetime follows a perturbed rule of its own, and "
        "what is perturbed is learned.",
        section="Credit",
        choices=EXPLORATIONS,
    )
    perturb: str = setting(
        "last",
        "With exploration rule: what is perturbed, the heads' last layers, or all layers of the heads.",
        section="Credit",
        choices=PERTURBED,
    )
    advantage: str = setting(
        "standardised",
        "With exploration rule: returns less their mean over lifetimes, or their ranks.",
        section="Credit",
        choices=ADVANTAGES,
    )
    mirrored: bool = setting(
        False, "With exploration rule: pairs of lifetimes follow opposite perturbations.", section="Credit"
    )
    rule_learning_rate: float = setting(
        0.3,
        "With exploration rule: step per unit of gradient, in standard deviations of the perturbation.",
        section="Credit",
        gt=0,
    )
    baseline: str = setting(
        "critic",
        "What returns are compared with: the critic's value, or the mean return over lifetimes, as exploration rule "
        "always does.",
        section="Credit",
        choices=BASELINES,
    )
    vf_coef: float = setting(0.5, "Weight beta_v of the value loss.", section="Learning", ge=0)
    ent_coef: float = setting(
        0.0,
        "Weight beta_ent of the entropy; without effect on parameters while sigma is fixed.",
        section="Learning",
        ge=0,
    )
    max_grad_norm: float = setting(0.5, "Norm to which gradients are clipped.", section="Learning", gt=0)
    normalize_advantage: bool = setting(True, "Standardise the advantages.", section="Learning")
    normalize_returns: bool = setting(
        False,
        "Divide returns by their running standard deviation; Grad's are tiny and need it.",
        section="Learning",
    )
    nan_policy: str = setting(
        "raise",
        "Where a weight change, reward, loss or weight is NaN or infinite: raise stops and names it; skip warns and "
        "leaves out the change, the rollout or the gradient step.",
        section="Learning",
        choices=NAN_POLICIES,
    )
    loss_weighting: str = setting(
        "event",
        "event: the loss is a mean over events; step: over time steps, busy and quiet ones alike.",
        section="Learning",
        choices=LOSS_WEIGHTINGS,
    )

    def check(self) -> None:
        """Refuse settings that contradict each other."""
        super().check()
        if self.mirrored and (self.exploration != "rule" or self.num_envs % 2):
            raise ConfigError(
                f"mirrored needs exploration rule and an even num_envs, got {self.exploration} and {self.num_envs}"
            )
        if (self.baseline == "lifetimes" or self.exploration == "rule") and self.num_envs < 2:
            raise ConfigError("exploration rule and baseline lifetimes need num_envs of at least 2, got 1")


@config_class
class A2CConfig(LearnerConfig):
    """Train a plasticity rule with advantage actor-critic."""


@config_class
class PPOConfig(LearnerConfig):
    """Train a plasticity rule with proximal policy optimisation."""

    clip_range: float = setting(0.2, "Clipping epsilon of the probability ratio.", section="PPO", gt=0)
    n_epochs: int = setting(4, "Passes over the events of a rollout.", section="PPO", ge=1)
    batch_size: int = setting(512, "Events of a minibatch.", unit="events", section="PPO", ge=1)
    advantage_scope: str = setting(
        "minibatch",
        "Over what advantages are standardised.",
        section="PPO",
        choices=ADVANTAGE_SCOPES,
    )
    target_kl: float | None = setting(
        None, "End an update once the approximate KL divergence passes 1.5 times this.", section="PPO", gt=0
    )


@config_class
class ESConfig(SearchConfig):
    """Train a plasticity rule with an evolution strategy: CMA-ES over all parameters of the heads."""

    covariance: str = setting(
        "diagonal",
        "Which covariance of the parameters is adapted: diagonal (Ros & Hansen 2008), for thousands of parameters, or "
        "full, for hundreds.",
        section="Learning",
        choices=COVARIANCES,
    )

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
