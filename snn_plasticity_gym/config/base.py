"""Settings common to all environments: simulation, events, plasticity."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from snn_plasticity_gym.config.schema import ConfigError, config_class, setting

PHASES: Mapping[str, tuple[tuple[bool, ...], ...]] = MappingProxyType(
    {
        "merged": ((False, True),),
        "feature": ((False, True),),
        "split": ((False,), (True,)),
        "pre": ((False,),),
        "post": ((True,),),
    }
)
"""Phases of a time step by `event_kinds`; False: events of pre spikes, True: events of post spikes."""

MODULATIONS = ("none", "reward", "factor")
INVERSE, LINEAR = ETA_SCHEDULES = ("inverse", "linear")


def check_neurons(config: Any, prefix: str = "") -> None:
    """Check that neurons are below threshold at rest and that forward Euler does not overshoot.

    Args:
        config: Has dt, and v_th, v_reset, v_rest and tau_mem, each after the prefix.
        prefix: Of the population, e.g. "exc_".
    """
    threshold, reset, rest, tau = (getattr(config, prefix + name) for name in ("v_th", "v_reset", "v_rest", "tau_mem"))
    if threshold <= max(reset, rest):
        raise ConfigError(
            f"{prefix}v_th must be above {prefix}v_reset={reset} and {prefix}v_rest={rest}, got {threshold}"
        )
    if config.dt > tau:
        raise ConfigError(
            f"dt must be at most {prefix}tau_mem={tau} ms, beyond which forward Euler overshoots, got {config.dt}"
        )


def check_rate(config: Any) -> None:
    """Check that the spike rate is at most one spike a step.

    Args:
        config: Has max_rate, in spikes per ms, and dt, in ms.
    """
    if config.max_rate * config.dt > 1:
        raise ConfigError(
            f"max_rate must be at most 1 / dt = {1 / config.dt:g} spikes per ms, one spike a step, got "
            f"{config.max_rate:g}; lower max_rate or dt"
        )


@config_class
class EnvironmentConfig:
    """Settings common to all environments."""

    history_length: int = setting(
        100,
        "Steps K of the spike history in an event; at most those of an episode.",
        unit="steps",
        section="Simulation",
        ge=1,
    )
    dt: float = setting(
        1.0,
        "Integration time step of the network. It changes no rate, no time constant and no charge of a spike; "
        "durations counted in steps (num_steps, steps_per_action, history_length) scale with it.",
        unit="ms",
        section="Simulation",
        gt=0,
    )
    lifetime_length: int = setting(
        0,
        "Episodes after which a lifetime ends and a fresh network begins; 0: never.",
        unit="episodes",
        section="Simulation",
        ge=0,
        basic=True,
    )
    plastic_episodes: int = setting(
        0,
        "First episodes of a lifetime, in which synapses are plastic and adaptive thresholds change; the episodes that "
        "follow are evaluated separately and measure what was learned. 0: all.",
        unit="episodes",
        section="Simulation",
        ge=0,
        was=("plastic_images",),
    )
    common_noise: bool = setting(
        False,
        "Present the same images and input spikes, or initial states of a world, to all lifetimes.",
        section="Simulation",
    )
    common_network: bool = setting(
        False,
        "Start all parallel lifetimes with the same network, initial and feedback weights, so that their returns "
        "differ by rules alone; the next lifetimes with another. Networks of an evaluation differ in any case.",
        section="Simulation",
    )
    events_per_step: int = setting(
        1024,
        "Event slots E of an observation; a time step with more events is presented over several steps.",
        unit="events",
        section="Events",
        ge=1,
    )
    event_kinds: str = setting(
        "merged",
        "merged: a synapse has one event per step; feature: the kind (pre, post, both) is part of the state; split: "
        "all pre events of a step, then all post events, each kind with a separate policy head; pre, post: events "
        "at spikes of that neuron only; those of post neurons are far fewer.",
        section="Events",
        choices=tuple(PHASES),
        basic=True,
    )
    eta_decay: float = setting(
        0.0,
        "Episodes of a lifetime after which its learning rates are halved; 0: constant rates.",
        unit="episodes",
        section="Plasticity",
        ge=0,
    )
    eta_schedule: str = setting(
        INVERSE,
        "Decay of learning rates with the age of a lifetime. inverse: 1 / (1 + age / eta_decay); linear: "
        "1 - age / (2 eta_decay), down to 0 at twice eta_decay.",
        section="Plasticity",
        choices=ETA_SCHEDULES,
    )
    modulation: str = setting(
        "none",
        "none: a weight change is applied at once; reward: it enters an eligibility trace, applied at each reward "
        "times the reward minus the mean of the lifetime's earlier rewards; factor: the same, times the third factor "
        "of the postsynaptic neuron.",
        section="Plasticity",
        choices=MODULATIONS,
    )
    tau_eligibility: float = setting(
        1000.0, "Time constant of the eligibility trace.", unit="ms", section="Plasticity", gt=0
    )
    reward_window: float = setting(
        100.0, "Time constant of the reward baseline, a running mean.", unit="rewards", section="Plasticity", ge=1
    )
    local_state: tuple[str, ...] = setting(
        (),
        "Local scalars in an event in addition to spikes and weight: potential, surrogate, theta, factor, reward (see "
        "plasticity/local_scalars.py), or those of a plugin.",
        section="Plasticity",
    )
    device: str = setting("cpu", "Torch device of the networks, e.g. cpu or cuda.", section="Machine", basic=True)

    def learning(self) -> dict[str, Any]:
        """Return the settings for learning in an evaluation: one lifetime, plastic throughout."""
        return {"lifetime_length": 0, "plastic_episodes": 0, "common_network": False}

    def frozen(self) -> dict[str, Any]:
        """Return the settings that freeze networks, as far as they differ."""
        return {"modulation": "none"}

    def held_out(self, split: str) -> dict[str, Any]:
        """Return the settings for held-out data; a world has fresh episodes anyway.

        Args:
            split: "validation", for model selection, or "test", for reporting.
        """
        return {}

    def check(self) -> None:
        """Check that settings agree with each other."""
        if self.lifetime_length and self.plastic_episodes >= self.lifetime_length:
            raise ConfigError(
                "plastic_episodes must be less than lifetime_length, so that episodes follow, got plastic_episodes="
                f"{self.plastic_episodes} and lifetime_length={self.lifetime_length}; lower the first or raise the "
                "second"
            )
        if self.eta_schedule != INVERSE and not self.eta_decay:
            raise ConfigError(
                f"eta_schedule {self.eta_schedule} needs eta_decay, the episodes after which the learning "
                f"rates are halved, got 0; set it, or eta_schedule to {INVERSE}"
            )
