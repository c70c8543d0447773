"""Settings of the report on runs."""

from __future__ import annotations

from snn_plasticity_gym.config.plugins import PluginSettings
from snn_plasticity_gym.config.schema import config_class, setting


@config_class
class ReportConfig(PluginSettings):
    """Show what runs have learned: one HTML page with pictures of the learning, of the rule and of its networks."""

    runs: tuple[str, ...] = setting(
        (), "Folders of runs; they may also stand first, without a flag, separated by spaces.", section="Run", path=True
    )
    out: str = setting(
        "",
        "Folder for report.html and its pictures; if empty that of the run, of several runs report.",
        section="Run",
        path=True,
    )
    ceiling: str = setting(
        "",
        "Grad: file with what trainers/gradient_ceiling.py has printed for these networks.",
        section="Run",
        path=True,
    )
    sample_images: int = setting(8, "Images from which real events are drawn.", unit="images", section="Study", ge=1)
    sample_events: int = setting(8000, "Events drawn of each kind of synapses.", unit="events", section="Study", ge=100)
    life_images: int = setting(
        60, "Images that the network of the pictures learns from.", unit="images", section="Study", ge=1
    )
    reward_images: int = setting(
        32,
        "Images on which a rule and its formula are compared by reward, at least.",
        unit="images",
        section="Study",
        ge=1,
    )
    seed: int = setting(0, "Seed of networks, images, input spikes and samples.", section="Study", ge=0)
    threads: int = setting(1, "CPU threads of torch; 0: as many as torch takes.", section="Machine", ge=0)
