"""Settings of the evaluation of rules."""

from __future__ import annotations

from snn_plasticity_gym.config.schema import ConfigError, config_class, setting

TEST_SPLITS = ("validation", "test")


@config_class
class EvaluateConfig:
    """Let fresh networks learn by frozen rules, and test what they have learned on held-out images."""

    env: str = setting("SNNPlastic-Semi-v0", "Environment to learn in.", section="Run")
    preset: str = setting(
        "",
        "Settings to start from, by name or as a YAML file, e.g. a run's config.yaml; of a training, only those of the "
        "environment count. Other flags win over them.",
        section="Run",
    )
    rules: tuple[str, ...] = setting(
        ("zero",),
        "Rules to compare, each by the name of a hand-written one or by the folder of a training run.",
        section="Run",
    )
    networks: int = setting(3, "Networks for each rule, the same for all.", unit="networks", section="Run", ge=1)
    train_images: int = setting(
        1000, "Images of the training split that each network learns from.", unit="images", section="Run", ge=0
    )
    tests: int = setting(4, "Tests after the one before learning.", section="Run", ge=1)
    test_images: int = setting(1000, "Held-out images of each test; 0: all.", unit="images", section="Run", ge=0)
    test_split: str = setting(
        "validation", "Where they come from; choose by validation, report test.", section="Run", choices=TEST_SPLITS
    )
    seed: int = setting(0, "Seed of networks, images and input spikes.", section="Run", ge=0)
    bptt: str = setting("", "Folder of a run of train_bptt, whose curve is drawn beside.", section="Output")
    out: str = setting("", "Folder for results.json and learning_curves.png; none is made if empty.", section="Output")
    json: bool = setting(False, "Print one line of JSON in place of the table.", section="Output")
    threads: int = setting(1, "CPU threads of torch; 0: as many as torch takes.", section="Machine", ge=0)

    def check(self) -> None:
        """Refuse settings that contradict each other."""
        if not self.rules:
            raise ConfigError("rules must name at least one rule, got none")
        if self.bptt and not self.out:
            raise ConfigError("bptt is drawn into out/learning_curves.png; give out, too")
