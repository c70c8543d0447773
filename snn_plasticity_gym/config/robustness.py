"""Settings of the robustness test."""

from __future__ import annotations

from snn_plasticity_gym.config.data_names import FOLDER_HELP
from snn_plasticity_gym.config.plugins import PluginSettings
from snn_plasticity_gym.config.schema import config_class, setting


@config_class
class RobustnessConfig(PluginSettings):
    """Test trained networks of train_svpg under disturbances of their weights, inputs and bodies.

    Groups of runs are compared at every level of every disturbance, with intervals of 95 % confidence over the networks
    of a group.
    """

    runs: tuple[str, ...] = setting(
        (),
        "Folders of runs of train_svpg; they may also come first, without a flag, separated by spaces.",
        section="Run",
        path=True,
    )
    names: tuple[str, ...] = setting(
        (),
        "Names of groups, one for each run: runs of one name are one group; empty: runs that differ in their seeds "
        "only are one.",
        section="Run",
    )
    out: str = setting(
        "", "Folder for robustness.csv, robustness.md and robustness.png.", section="Run", path=True, basic=True
    )
    kinds: tuple[str, ...] = setting(
        (),
        "Disturbances, each NAME or NAME:LEVEL:LEVEL, e.g. salt:0.1:0.2; a number among the arguments of a world is "
        "world.NAME, e.g. world.pole_length:0.5:3; empty: all of weights and inputs.",
        section="Run",
        basic=True,
    )
    draws: int = setting(3, "Random samples of each level for each network.", section="Run", ge=1, basic=True)
    episodes: int = setting(
        0,
        "Test images, or held-out episodes of a world, of a measurement; 0: all images, or 100 episodes.",
        unit="episodes",
        section="Run",
        ge=0,
        basic=True,
    )
    seed: int = setting(0, "Seed of all disturbances.", section="Run", ge=0, basic=True)
    data_dir: str | None = setting(None, FOLDER_HELP, section="Run", path=True)
    threads: int = setting(1, "CPU threads of torch; 0: as many as torch takes.", section="Machine", ge=0)
