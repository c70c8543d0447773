"""Settings of the evaluation of rules."""

from __future__ import annotations

from snn_plasticity_gym.config.plugins import PluginSettings
from snn_plasticity_gym.config.schema import ConfigError, config_class, setting

TEST_SPLITS = ("validation", "test")


@config_class
class EvaluateConfig(PluginSettings):
    """Train fresh networks with frozen plasticity rules, and test them with frozen weights.

    The task determines the measure. For most it is the return of fresh episodes, before and after learning. Classifiers
    (Semi, Grad) classify held-out images. Unsupervised networks (Unsup1, Unsup2) do so after their neurons got labels,
    anew for every test; the rule `zero` and classifiers of pixels are always included as baselines.
    """

    env: str = setting("SNNPlastic-Semi-v0", "Environment to learn in.", section="Run", basic=True)
    preset: str = setting(
        "",
        "Settings to start from, by name or as a YAML file, e.g. a run's config.yaml; of a training, only those of the "
        "environment are used. Other flags override them.",
        section="Run",
        basic=True,
        path=True,
    )
    rules: tuple[str, ...] = setting(
        ("zero",),
        "Rules to compare, each by the name of a hand-written one, with parameters as in "
        "target-stdp:learning_rate=0.005:bounds=soft, by the folder of a training run, by distilled:FOLDER, the "
        "formula fitted to it by the run's report, or one of your own, module:name or file.py:name, a function "
        "of events or a class.",
        section="Run",
        basic=True,
    )
    networks: int = setting(
        3, "Networks for each rule, the same for all.", unit="networks", section="Run", ge=1, basic=True
    )
    train_episodes: int = setting(
        1000,
        "Training episodes of each network; of images, those of the training split.",
        unit="episodes",
        section="Run",
        ge=0,
        was=("train_images",),
        basic=True,
    )
    label_images: int = setting(
        1000,
        "Unsup: last images of the training split, excluded from learning, for assigning labels to neurons. 0: all of "
        "the split, which then serves for both.",
        unit="images",
        section="Run",
        ge=0,
        basic=True,
    )
    tests: int | None = setting(
        None,
        "Tests after the one before learning, evenly spread, the last at the end; none: 4 for Semi and Grad, 1 for "
        "tasks measured by returns, for Unsup only one at the end.",
        section="Run",
        ge=1,
        basic=True,
    )
    test_episodes: int = setting(
        1000,
        "Fresh episodes of each test, of images held-out ones; 0: all images.",
        unit="episodes",
        section="Run",
        ge=0,
        was=("test_images",),
        basic=True,
    )
    test_split: str = setting(
        "validation",
        "Split of the held-out images; select by validation, report test.",
        section="Run",
        choices=TEST_SPLITS,
        basic=True,
    )
    seed: int = setting(0, "Seed of networks, episodes and input spikes.", section="Run", ge=0, basic=True)
    bptt: str = setting(
        "",
        "Semi, Grad: folder of a run of train_bptt, whose curve is drawn for comparison.",
        section="Output",
        path=True,
    )
    out: str = setting(
        "", "Folder for results, tables and pictures; none is made if empty.", section="Output", basic=True, path=True
    )
    json: bool = setting(False, "Print one line of JSON in place of the table.", section="Output")
    threads: int = setting(1, "CPU threads of torch; 0: as many as torch takes.", section="Machine", ge=0)

    def check(self) -> None:
        """Check that settings agree with each other."""
        if not self.rules:
            raise ConfigError("rules must name at least one rule, got none")
        if self.bptt and not self.out:
            raise ConfigError("bptt is drawn into out/learning_curves.png; give out, too")


@config_class
class AblationConfig(EvaluateConfig):
    """Ablation study: evaluate rules in an unsupervised network without one, several or all of its parts."""

    env: str = "SNNPlastic-Unsup1-v0"

    def check(self) -> None:
        """Check that settings of `EvaluateConfig` without effect here are not given."""
        super().check()
        for name in ("tests", "json", "bptt"):
            if getattr(self, name):
                raise ConfigError(f"{name} is a setting of evaluate.py, not of an ablation; leave it out")
