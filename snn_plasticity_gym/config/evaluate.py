"""Settings of the evaluation of rules."""

from __future__ import annotations

from snn_plasticity_gym.config.plugins import PluginSettings
from snn_plasticity_gym.config.schema import ConfigError, config_class, setting, setting_fields

TEST_SPLITS = ("validation", "test")
UNSUPERVISED = ("SNNPlastic-Unsup1-v0", "SNNPlastic-Unsup2-v0")
OF_CLASSIFIERS = ("bptt",)  # settings that mean nothing where nobody is told a label
OF_UNSUPERVISED = ("label_images",)
TESTS_OF_CLASSIFIERS = 4  # where it is not said


@config_class
class EvaluateConfig(PluginSettings):
    """Let fresh networks learn by frozen rules, and test what they have learned on held-out images.

    Classifiers (Semi, Grad) answer themselves. Unsupervised networks (Unsup1, Unsup2) do so after their neurons got
    labels, anew for every test; the rule `zero` and classifiers of pixels join every comparison.
    """

    env: str = setting("SNNPlastic-Semi-v0", "Environment to learn in.", section="Run", basic=True)
    preset: str = setting(
        "",
        "Settings to start from, by name or as a YAML file, e.g. a run's config.yaml; of a training, only those of the "
        "environment count. Other flags win over them.",
        section="Run",
        basic=True,
        path=True,
    )
    rules: tuple[str, ...] = setting(
        ("zero",),
        "Rules to compare, each by the name of a hand-written one, with parameters as in "
        "target-stdp:learning_rate=0.005:bounds=soft, by the folder of a training run, or by distilled:FOLDER, the "
        "formula that the run's report has found for it.",
        section="Run",
        basic=True,
    )
    networks: int = setting(
        3, "Networks for each rule, the same for all.", unit="networks", section="Run", ge=1, basic=True
    )
    train_episodes: int = setting(
        1000,
        "Episodes that each network learns from, an image of the training split each.",
        unit="episodes",
        section="Run",
        ge=0,
        was=("train_images",),
        basic=True,
    )
    label_images: int = setting(
        1000,
        "Unsup: last images of the training split, which nobody learns from; neurons get labels by them. 0: all of the "
        "split, which then serves for both.",
        unit="images",
        section="Run",
        ge=0,
        basic=True,
    )
    tests: int | None = setting(
        None,
        "Tests after one before learning, evenly spread, the last when all is learned; none: 4 for Semi and Grad, for "
        "Unsup only one when all is learned.",
        section="Run",
        ge=1,
        basic=True,
    )
    test_episodes: int = setting(
        1000,
        "Episodes of each test, a held-out image each; 0: all.",
        unit="episodes",
        section="Run",
        ge=0,
        was=("test_images",),
        basic=True,
    )
    test_split: str = setting(
        "validation",
        "Where they come from; choose by validation, report test.",
        section="Run",
        choices=TEST_SPLITS,
        basic=True,
    )
    seed: int = setting(0, "Seed of networks, images and input spikes.", section="Run", ge=0, basic=True)
    bptt: str = setting(
        "", "Semi, Grad: folder of a run of train_bptt, whose curve is drawn beside.", section="Output", path=True
    )
    out: str = setting(
        "", "Folder for results, tables and pictures; none is made if empty.", section="Output", basic=True, path=True
    )
    json: bool = setting(False, "Print one line of JSON in place of the table.", section="Output")
    threads: int = setting(1, "CPU threads of torch; 0: as many as torch takes.", section="Machine", ge=0)

    @property
    def tests_on_the_way(self) -> int | None:
        """Tests after one before learning; None: there is only one, when all is learned."""
        return self.tests if self.tests or self.env in UNSUPERVISED else TESTS_OF_CLASSIFIERS

    def check(self) -> None:
        """Refuse settings that contradict each other."""
        if not self.rules:
            raise ConfigError("rules must name at least one rule, got none")
        if self.bptt and not self.out:
            raise ConfigError("bptt is drawn into out/learning_curves.png; give out, too")
        unsupervised = self.env in UNSUPERVISED
        for name in OF_CLASSIFIERS if unsupervised else OF_UNSUPERVISED:
            if getattr(self, name) != next(info.default for info in setting_fields(type(self)) if info.name == name):
                others = "Semi and Grad" if unsupervised else "Unsup1 and Unsup2"
                raise ConfigError(f"{name} is a setting for {others}, not for {self.env}; leave it out")


@config_class
class AblationConfig(EvaluateConfig):
    """Take parts of an unsupervised network away, one, several or all of them, and judge what rules teach the rest."""

    env: str = "SNNPlastic-Unsup1-v0"

    def check(self) -> None:
        """Refuse settings of `EvaluateConfig` that have no meaning here."""
        super().check()
        for name in ("tests", "json", "bptt"):
            if getattr(self, name):
                raise ConfigError(f"{name} is a setting of evaluate.py, not of an ablation; leave it out")
