"""Settings that all environments have: the data, the simulation, the events."""

from __future__ import annotations

from snn_plasticity_gym.config.schema import ConfigError, config_class, setting

DATASETS = ("auto", "mnist", "fashion-mnist", "kmnist", "digits")
SPLITS = ("train", "validation", "test")
EVENT_KINDS = ("merged", "feature", "split")
MODULATIONS = ("none", "reward")
IMAGE_SIZE = 28  # pixels of a side, as data sets come (`data` imports torch, and settings must not)
ALWAYS_PLASTIC = {
    "plastic_episodes": 0,
    "heldout_pool": 0,
    "heldout_shift": 0,
}  # without a judged phase


@config_class
class EnvironmentConfig:
    """What all environments have in common."""

    dataset: str = setting(
        "auto",
        "Images to show; auto is MNIST where it can be had, else digits.",
        section="Data",
        choices=DATASETS,
        basic=True,
    )
    data_dir: str | None = setting(
        None,
        "Folder of the data sets; without it the environment variable SNN_PLASTICITY_DATA, then the user's cache.",
        section="Data",
        path=True,
    )
    split: str = setting("train", "Part of the data set that lifetimes draw from.", section="Data", choices=SPLITS)
    image_size: int = setting(
        28,
        "Pixels of an image's side; 14, 7, 4, 2: means of square blocks.",
        unit="pixels",
        section="Data",
        ge=2,
        le=28,
    )
    image_pool: int = setting(
        16,
        "Images that a lifetime draws from, chosen anew for each lifetime so that images repeat; 0: the whole split.",
        unit="images",
        section="Data",
        ge=0,
    )
    num_steps: int = setting(
        100, "Time steps T for which an image is shown.", unit="steps", section="Simulation", ge=1, basic=True
    )
    history_length: int = setting(
        100,
        "Steps K of spike history that a synapse sees; at most num_steps.",
        unit="steps",
        section="Simulation",
        ge=1,
    )
    dt: float = setting(1.0, "Length of a time step.", unit="ms", section="Simulation", gt=0)
    max_rate: float = setting(
        0.064,
        "Spike probability of a white pixel in one step (0.064 at 1 ms is 64 Hz).",
        section="Simulation",
        ge=0,
        le=1,
    )
    lifetime_length: int = setting(
        0,
        "Images after which a lifetime ends and a fresh network begins; 0: never.",
        unit="images",
        section="Simulation",
        ge=0,
        basic=True,
    )
    plastic_episodes: int = setting(
        0,
        "Images of a lifetime, its first ones, during which synapses are plastic and adaptive thresholds move; what "
        "follows is judged by itself and shows what was learned. 0: all.",
        unit="images",
        section="Simulation",
        ge=0,
        was=("plastic_images",),
    )
    heldout_pool: int = setting(
        0,
        "Images of the judged phase that follows plastic_episodes, none of which the lifetime has learned from, so "
        "that what it is rewarded for is not what it has memorised; 0: those that it learned from.",
        unit="images",
        section="Simulation",
        ge=0,
        was=("judged_pool",),
    )
    heldout_shift: int = setting(
        0,
        "Most pixels by which an image is moved across and down, at random each time that it is shown in the judged "
        "phase: what says the same of it each time must say it of its form.",
        unit="pixels",
        section="Simulation",
        ge=0,
        le=27,
        was=("judged_shift",),
    )
    common_noise: bool = setting(
        False, "Show all lifetimes the same images with the same input spikes.", section="Simulation"
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
        "all pre events of a step, then all post events, each kind with a policy head of its own.",
        section="Events",
        choices=EVENT_KINDS,
        basic=True,
    )
    eta_decay: float = setting(
        0.0,
        "Images of a lifetime after which its learning rates have fallen to one half, as 1 / (1 + age / eta_decay); "
        "0: they stay.",
        unit="images",
        section="Plasticity",
        ge=0,
    )
    modulation: str = setting(
        "none",
        "none: a weight change acts at once; reward: it is held back as eligibility, and acts at the end of the image "
        "times the reward less the mean of the lifetime's rewards before.",
        section="Plasticity",
        choices=MODULATIONS,
    )
    tau_eligibility: float = setting(
        1000.0, "Time constant of the eligibility of modulation reward.", unit="ms", section="Plasticity", gt=0
    )
    reward_window: float = setting(
        100.0, "Time constant of the mean that reward is compared with.", unit="images", section="Plasticity", ge=1
    )
    device: str = setting("cpu", "Torch device of the networks, e.g. cpu or cuda.", section="Machine", basic=True)

    def check(self) -> None:
        """Refuse settings that contradict each other."""
        if IMAGE_SIZE % self.image_size:
            raise ConfigError(f"image_size must divide {IMAGE_SIZE} (28, 14, 7, 4, 2), got {self.image_size}")
        if self.history_length > self.num_steps:
            raise ConfigError(
                f"history_length must be at most num_steps, got history_length={self.history_length} and "
                f"num_steps={self.num_steps}; lower the first or raise the second"
            )
        if self.lifetime_length and self.plastic_episodes >= self.lifetime_length:
            raise ConfigError(
                "plastic_episodes must be less than lifetime_length, so that something follows, got plastic_episodes="
                f"{self.plastic_episodes} and lifetime_length={self.lifetime_length}; lower the first or raise the "
                "second"
            )
        for name in ("heldout_pool", "heldout_shift"):
            if getattr(self, name) and not self.plastic_episodes:
                raise ConfigError(
                    f"{name} needs plastic_episodes, after which lifetimes are judged, got "
                    f"{name}={getattr(self, name)} and plastic_episodes=0"
                )
        if self.heldout_shift >= self.image_size:
            raise ConfigError(
                f"heldout_shift must be less than image_size={self.image_size}, or nothing is left to see, "
                f"got {self.heldout_shift}"
            )
