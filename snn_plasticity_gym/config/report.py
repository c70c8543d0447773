"""Settings of the report on runs."""

from __future__ import annotations

from snn_plasticity_gym.config.plugins import PluginSettings
from snn_plasticity_gym.config.schema import config_class, setting


@config_class
class ReportConfig(PluginSettings):
    """Write a report on runs: one HTML page with figures of the training, of the rule and of its networks."""

    runs: tuple[str, ...] = setting(
        (), "Folders of runs; they may also come first, without a flag, separated by spaces.", section="Run", path=True
    )
    out: str = setting(
        "",
        "Folder for report.html and its pictures; if empty the run's folder, for several runs the folder report.",
        section="Run",
        path=True,
    )
    ceiling: str = setting(
        "",
        "Grad: file with the output of trainers/gradient_ceiling.py for these networks.",
        section="Run",
        path=True,
    )
    sample_images: int = setting(8, "Images from which events are sampled.", unit="images", section="Study", ge=1)
    sample_events: int = setting(8000, "Events sampled of each projection.", unit="events", section="Study", ge=100)
    life_images: int = setting(
        60, "Training images of the network in the figures.", unit="images", section="Study", ge=1
    )
    reward_images: int = setting(
        32,
        "Minimum number of images for comparing a rule and its formula by reward.",
        unit="images",
        section="Study",
        ge=1,
    )
    seed: int = setting(0, "Seed of networks, images, input spikes and samples.", section="Study", ge=0)
    threads: int = setting(1, "CPU threads of torch; 0: as many as torch takes.", section="Machine", ge=0)
