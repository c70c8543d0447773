"""Settings of the environments that show images."""

from __future__ import annotations

from typing import Any

from snn_plasticity_gym.config.base import EnvironmentConfig, check_rate
from snn_plasticity_gym.config.data_names import DATASETS, FOLDER_HELP, HELP, check_dataset_name
from snn_plasticity_gym.config.schema import ConfigError, config_class, setting

SPLITS = ("train", "validation", "test")
IMAGE_SIZE = 28  # pixels per side of the shipped data sets (`tasks.datasets` imports torch, and settings must not)


@config_class
class ImageConfig(EnvironmentConfig):
    """Settings common to environments that show images; an episode is one image."""

    dataset: str = setting("auto", HELP, section="Data", basic=True)
    data_dir: str | None = setting(
        None,
        FOLDER_HELP,
        section="Data",
        path=True,
    )
    split: str = setting("train", "Split of the data set that lifetimes sample from.", section="Data", choices=SPLITS)
    image_size: int | None = setting(
        None,
        "Pixels per side (of the height, if not square), a divisor of the data set's: 14, 7, 4, 2 for the shipped "
        "ones. Smaller images are means of square blocks. None: original size.",
        unit="pixels",
        section="Data",
        ge=2,
    )
    image_pool: int = setting(
        16,
        "Images that a lifetime samples from, a new subset for each lifetime, so that images repeat; 0: the whole "
        "split.",
        unit="images",
        section="Data",
        ge=0,
    )
    num_steps: int = setting(
        100,
        "Time steps T, of dt each, for which an image is shown.",
        unit="steps",
        section="Simulation",
        ge=1,
        basic=True,
    )
    max_rate: float = setting(
        0.064,
        "Spike rate of a white pixel (0.064 is 64 Hz); max_rate * dt is its spike probability per step.",
        unit="spikes per ms",
        section="Simulation",
        ge=0,
    )
    heldout_pool: int = setting(
        0,
        "Images of the evaluation phase after plastic_episodes, disjoint from those that the lifetime learned from, so "
        "that reward measures generalisation; 0: those that it learned from.",
        unit="images",
        section="Simulation",
        ge=0,
        was=("judged_pool",),
    )
    heldout_shift: int = setting(
        0,
        "Largest random shift of an image in pixels, across and down, each time that it is shown in the evaluation "
        "phase: stable responses must then be shift invariant.",
        unit="pixels",
        section="Simulation",
        ge=0,
        le=27,
        was=("judged_shift",),
    )

    @property
    def image_side(self) -> int | None:
        """Pixels per side of the square images of a shipped data set; None: unknown before the images are loaded."""
        return (self.image_size or IMAGE_SIZE) if self.dataset in DATASETS else None

    @property
    def spike_chance(self) -> float:
        """Spike probability of a white pixel in one step."""
        return self.max_rate * self.dt

    @property
    def duration(self) -> float:
        """Duration of an image, ms."""
        return self.num_steps * self.dt

    def learning(self) -> dict[str, Any]:
        """Return the settings of the base class, and the training split."""
        return super().learning() | {"split": "train", "plastic_episodes": 0, "heldout_pool": 0, "heldout_shift": 0}

    def held_out(self, split: str) -> dict[str, Any]:
        """Return the settings for a held-out split."""
        return {"split": split}

    def check(self) -> None:
        """Check that settings agree with each other."""
        super().check()
        check_dataset_name(self.dataset)
        check_rate(self)
        size = self.image_size or self.image_side
        if size is not None and self.dataset in DATASETS and IMAGE_SIZE % size:
            raise ConfigError(f"image_size must divide {IMAGE_SIZE} (28, 14, 7, 4, 2), got {size}")
        if self.history_length > self.num_steps:
            raise ConfigError(
                f"history_length must be at most num_steps, got history_length={self.history_length} and "
                f"num_steps={self.num_steps}; lower the first or raise the second"
            )
        for name in ("heldout_pool", "heldout_shift"):
            if getattr(self, name) and not self.plastic_episodes:
                raise ConfigError(
                    f"{name} needs plastic_episodes, after which lifetimes are evaluated, got "
                    f"{name}={getattr(self, name)} and plastic_episodes=0"
                )
        if size is not None and self.heldout_shift >= size:
            raise ConfigError(
                f"heldout_shift must be less than image_size={size}, or nothing of it stays visible, "
                f"got {self.heldout_shift}"
            )
