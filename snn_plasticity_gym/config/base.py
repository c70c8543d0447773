"""Settings that all environments have: the simulation, the events, the plasticity."""

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
"""Phases of a time step by `event_kinds`: the fans that each presents, False: of pre spikes, True: of post spikes."""

MODULATIONS = ("none", "reward", "factor")
INVERSE, LINEAR = ETA_SCHEDULES = ("inverse", "linear")


def check_neurons(config: Any, prefix: str = "") -> None:
    """Refuse constants of neurons that would always fire, or whose membranes would overshoot.

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
    """Refuse a spike rate of more than one spike a step.

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
    """What all environments have in common."""

    history_length: int = setting(
        100,
        "Steps K of spike history that a synapse sees; at most those of an episode.",
        unit="steps",
        section="Simulation",
        ge=1,
    )
    dt: float = setting(
        1.0,
        "Length of a time step, by which the network is integrated. It changes no rate, no time constant and no charge "
        "of a spike; what is counted in steps (num_steps, steps_per_action, history_length) lasts longer or shorter.",
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
        "Episodes of a lifetime, its first ones, during which synapses are plastic and adaptive thresholds move; what "
        "follows is judged by itself and shows what was learned. 0: all.",
        unit="episodes",
        section="Simulation",
        ge=0,
        was=("plastic_images",),
    )
    common_noise: bool = setting(
        False, "Show all lifetimes the same: images and input spikes, or starts of a world.", section="Simulation"
    )
    common_network: bool = setting(
        False,
        "Begin all lifetimes with the same network, its weights and what sends errors back, so that what they earn "
        "differs by rules alone; the next lifetimes with another. A judge's networks differ all the same.",
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
        "all pre events of a step, then all post events, each kind with a policy head of its own; pre, post: synapses "
        "answer the spikes of that neuron alone; those of post neurons are far fewer.",
        section="Events",
        choices=tuple(PHASES),
        basic=True,
    )
    eta_decay: float = setting(
        0.0,
        "Episodes of a lifetime after which its learning rates have fallen to one half; 0: they stay.",
        unit="episodes",
        section="Plasticity",
        ge=0,
    )
    eta_schedule: str = setting(
        INVERSE,
        "How learning rates fall with the age of a lifetime. inverse: as 1 / (1 + age / eta_decay), which never ends; "
        "linear: as 1 - age / (2 eta_decay), to nothing after twice eta_decay, where weights stay.",
        section="Plasticity",
        choices=ETA_SCHEDULES,
    )
    modulation: str = setting(
        "none",
        "none: a weight change acts at once; reward: it is held back as eligibility, and acts when a reward is paid, "
        "times the reward less the mean of the lifetime's rewards before; factor: the same, times the third factor of "
        "the postsynaptic neuron.",
        section="Plasticity",
        choices=MODULATIONS,
    )
    tau_eligibility: float = setting(
        1000.0, "Time constant of the eligibility of modulation.", unit="ms", section="Plasticity", gt=0
    )
    reward_window: float = setting(
        100.0, "Time constant of the mean that reward is compared with.", unit="rewards", section="Plasticity", ge=1
    )
    local_state: tuple[str, ...] = setting(
        (),
        "Local scalars that a synapse sees beside spikes and weight: potential, surrogate, theta, factor, reward (see "
        "plasticity/local_scalars.py), or those of a plugin.",
        section="Plasticity",
    )
    device: str = setting("cpu", "Torch device of the networks, e.g. cpu or cuda.", section="Machine", basic=True)

    def learning(self) -> dict[str, Any]:
        """Return the settings under which a judge lets a network learn: one life, plastic for as long as it takes."""
        return {"lifetime_length": 0, "plastic_episodes": 0, "common_network": False}

    def frozen(self) -> dict[str, Any]:
        """Return the settings of networks in which nothing learns any more, as far as they differ."""
        return {"modulation": "none"}

    def held_out(self, split: str) -> dict[str, Any]:
        """Return the settings that show what nobody learns from; a world has fresh episodes anyway.

        Args:
            split: "validation", by which one chooses, or "test", which one reports.
        """
        return {}

    def check(self) -> None:
        """Refuse settings that contradict each other."""
        if self.lifetime_length and self.plastic_episodes >= self.lifetime_length:
            raise ConfigError(
                "plastic_episodes must be less than lifetime_length, so that something follows, got plastic_episodes="
                f"{self.plastic_episodes} and lifetime_length={self.lifetime_length}; lower the first or raise the "
                "second"
            )
        if self.eta_schedule != INVERSE and not self.eta_decay:
            raise ConfigError(
                f"eta_schedule {self.eta_schedule} needs eta_decay, the episodes after which one half of the learning "
                f"rates is left, got 0; set it, or eta_schedule to {INVERSE}"
            )
