"""Settings of a search for the rule of a winner-take-all network."""

from __future__ import annotations

import json

from snn_plasticity_gym.config.schema import ConfigError, config_class, setting
from snn_plasticity_gym.config.svpg import SVPGConfig, check_formula


@config_class
class SVPGSearchConfig(SVPGConfig):
    """Search for a formula by which winner-take-all networks learn from their reward, over short trainings (CMA-ES).

    In each generation every formula trains a fresh network for `episodes`, as `train_svpg` with rule formula does; its
    fitness is that network's validation score. All trainings of a generation share initial weights and images, those of
    the next one have others. Formulas are evaluated in trainings with new seeds.
    """

    episodes: int = setting(
        5000,
        "Episodes of a training: images, or episodes of the world.",
        unit="episodes",
        section="Run",
        ge=1,
        basic=True,
    )
    eval_every: int = setting(
        300_000,
        "Episodes of all trainings between two rows of metrics, each with an evaluation of the search's mean.",
        unit="episodes",
        section="Run",
        ge=1,
        basic=True,
    )
    checkpoint_every: int = 60_000
    eval_episodes: int = 2000
    rule: str = "formula"
    hidden_groups: int = 10
    input_to_action: bool = False
    batch_size: int = 50
    learning_rate: float = 5e-3
    schedule: str = "linear"

    generations: int = setting(40, "Generations in all.", section="Search", ge=1, basic=True)
    population: int = setting(12, "Formulas of a generation.", section="Search", ge=4, basic=True)
    sigma: float = setting(
        1.0,
        "Initial step size of the search, in units in which each term moves fresh weights equally far; it starts at "
        "formula, or at 0.",
        section="Search",
        gt=0,
        basic=True,
    )
    judged_lives: int = setting(
        3,
        "Trainings with new seeds for evaluating the search's mean in each row; the best formula is kept.",
        section="Search",
        ge=1,
    )
    test_lives: int = setting(
        5,
        "Test trainings of the best formula, contrast and paper at the end.",
        section="Search",
        ge=1,
    )

    def _check_formula(self) -> None:
        check_formula(json.loads(self.formula))
        if self.rule != "formula":
            raise ConfigError(f"a search is for rule formula, got {self.rule}")
        if self.optimiser != "adam":
            raise ConfigError(f"a search needs optimiser adam, whose steps have a bound, got {self.optimiser}")
