"""Options of the learners on synapse events: constructor arguments, and settings of their trainers.

Every option is declared once, here. A trainer's configuration inherits these classes, a learner takes their settings as
keyword arguments (`learners.arguments`) and hands its options on as one object, `model.options`.
"""

from __future__ import annotations

from snn_plasticity_gym.config.schema import ConfigError, config_class, only_with, setting

LOSS_WEIGHTINGS = ("event", "step")
EXPLORATIONS = ("independent", "rule")
PERTURBED = ("last", "head")
ADVANTAGES = ("standardised", "ranks")
COVARIANCES = ("diagonal", "full")
BASELINES = ("critic", "lifetimes")
ADVANTAGE_SCOPES = ("minibatch", "rollout")
NAN_POLICIES = ("raise", "skip")


@config_class
class SearchOptions:
    """Options of every learner: horizon of returns, and handling of non-finite values."""

    credit_horizon: int = setting(
        1,
        "Episodes whose rewards enter an episode's return, itself and the next ones of its lifetime in the rollout; "
        "exploration rule and evolution strategies keep a perturbation as long.",
        unit="episodes",
        section="Credit",
        ge=1,
        basic=True,
    )
    gamma_lifetime: float = setting(1.0, "Discount factor per episode in that return.", section="Credit", gt=0, le=1)
    credit_from: int = setting(
        0,
        "First episodes of the horizon, whose rewards are left out of that return.",
        unit="episodes",
        section="Credit",
        ge=0,
    )
    nan_policy: str = setting(
        "raise",
        "Where a weight change, reward, loss or weight is NaN or infinite: raise stops and names it; skip warns and "
        "leaves out the change, the rollout or the gradient step.",
        section="Learning",
        choices=NAN_POLICIES,
    )

    def check(self) -> None:
        """Check that settings agree with each other."""
        if self.credit_from >= self.credit_horizon:
            raise ConfigError(
                f"credit_from must be less than credit_horizon={self.credit_horizon}, or no reward counts, got "
                f"{self.credit_from}"
            )


@config_class
class EventOptions(SearchOptions):
    """Options of policy gradient learners: sampling of events, exploration, baseline of returns."""

    events_per_episode: int = setting(
        1024,
        "Events used for learning per episode, a uniform sample; 0: all. Every event still changes its weight.",
        unit="events",
        section="Learning",
        ge=0,
        was=("events_per_image",),
    )
    exploration: str = setting(
        "independent",
        "independent: independent noise for each event; rule: a different perturbed rule for each lifetime "
        "(parameter-space noise), whose perturbed layers are learned.",
        section="Credit",
        choices=EXPLORATIONS,
        basic=True,
    )
    perturb: str = setting(
        "last",
        "With exploration rule: layers to perturb, the heads' last ones (whitened, so that all functions that they can "
        "express vary alike), or all of the heads.",
        section="Credit",
        choices=PERTURBED,
    )
    common_share: float = setting(
        0.1,
        "With exploration rule and perturb last: share of a perturbation's variance that is the same in all events. "
        "More of it where what counts is how much synapses change on the average, and in which direction.",
        section="Credit",
        gt=0,
        lt=1,
    )
    advantage: str = setting(
        "standardised",
        "With exploration rule: fitness as returns minus their mean over lifetimes, or as their ranks.",
        section="Credit",
        choices=ADVANTAGES,
    )
    mirrored: bool = setting(
        False,
        "With exploration rule: mirrored sampling, pairs of lifetimes have opposite perturbations.",
        section="Credit",
    )
    rule_learning_rate: float = setting(
        0.3,
        "With exploration rule: step per unit of gradient, in standard deviations of the perturbation.",
        section="Credit",
        gt=0,
    )
    baseline: str = setting(
        "critic",
        "Baseline of returns: the critic's value, or the mean return over lifetimes, as exploration rule always does.",
        section="Credit",
        choices=BASELINES,
    )
    normalize_returns: bool = setting(
        False,
        "Divide returns by their running standard deviation; Grad's are tiny and need it.",
        section="Learning",
    )
    loss_weighting: str = setting(
        "event",
        "event: the loss is a mean over events; step: over time steps, busy and quiet ones alike.",
        section="Learning",
        choices=LOSS_WEIGHTINGS,
    )

    def check(self) -> None:
        """Check that settings agree with each other."""
        super().check()
        only_with(self, "exploration", ("rule",), ["mirrored", "common_share"])
        only_with(self, "perturb", ("last",), ["common_share"])


@config_class
class PPOOptions(EventOptions):
    """Options of `EventPPO` beyond those of other policy gradient learners."""

    advantage_scope: str = setting(
        "minibatch", "Set over which advantages are standardised.", section="PPO", choices=ADVANTAGE_SCOPES
    )


@config_class
class EvolutionOptions(SearchOptions):
    """Options of `EventES`."""

    covariance: str = setting(
        "diagonal",
        "Which covariance of the parameters is adapted: diagonal (Ros & Hansen 2008), for thousands of parameters, or "
        "full, for hundreds.",
        section="Learning",
        choices=COVARIANCES,
        basic=True,
    )


@config_class
class WholeRuleOptions(EvolutionOptions, EventOptions):
    """Options of `EventES` as those of its base `EventA2C`: each lifetime has a rule with all parameters perturbed."""

    exploration: str = "rule"
    perturb: str = "head"
    baseline: str = "lifetimes"


@config_class
class GradientArguments:
    """Arguments of Stable-Baselines3's A2C and PPO, with the defaults of this project."""

    gamma: float = setting(1.0, "Discount per time step.", section="Learning", gt=0, le=1)
    vf_coef: float = setting(0.5, "Weight beta_v of the value loss.", section="Learning", ge=0)
    ent_coef: float = setting(
        0.0,
        "Weight beta_ent of the entropy; without effect on parameters while sigma is fixed.",
        section="Learning",
        ge=0,
    )
    max_grad_norm: float = setting(0.5, "Norm to which gradients are clipped.", section="Learning", gt=0)
    normalize_advantage: bool = setting(True, "Standardise the advantages.", section="Learning")


@config_class
class ProximalArguments(GradientArguments):
    """Arguments of Stable-Baselines3's PPO, with the defaults of this project."""

    clip_range: float = setting(0.2, "Clipping epsilon of the probability ratio.", section="PPO", gt=0, basic=True)
    n_epochs: int = setting(4, "Passes over the events of a rollout.", section="PPO", ge=1)
    batch_size: int = setting(512, "Events of a minibatch.", unit="events", section="PPO", ge=1)
    target_kl: float | None = setting(
        None, "End an update once the approximate KL divergence passes 1.5 times this.", section="PPO", gt=0
    )
