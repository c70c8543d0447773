"""Settings of the program that evolves weights."""

from __future__ import annotations

from snn_plasticity_gym.config.schema import ConfigError, config_class, setting
from snn_plasticity_gym.config.training import RunConfig, preset_setting, resume_setting

STRATEGIES = ("cma", "cma-diagonal", "openai-es", "genetic", "multiplicative")


@config_class
class EvolveConfig(RunConfig):
    """Evolve the weights of a network without plasticity.

    In each generation all individuals run the same episodes, with new ones in the next generation. Coordinates of the
    search are weights divided by `weight_unit`.
    """

    env: str = setting("SNNPlastic-MountainCar-v0", "Environment whose network evolves.", section="Run", basic=True)
    preset: str = preset_setting()
    resume: str = resume_setting(longer=True)
    episodes: int = setting(
        3000,
        "Episodes of all individuals of all generations, without those of tests; rounded up to whole generations.",
        unit="episodes",
        section="Run",
        ge=1,
        basic=True,
    )
    strategy: str = setting(
        "cma-diagonal",
        "cma, cma-diagonal (Hansen & Ostermeier 2001; Ros & Hansen 2008); openai-es (Salimans et al. 2017: mirrored "
        "pairs, ranks, Adam); genetic (Yegenoglu et al. 2022: tournaments, blend crossover, Gaussian mutation); "
        "multiplicative (Hasegan et al. 2022: weights are scaled and keep their sign).",
        section="Search",
        choices=STRATEGIES,
        basic=True,
    )
    population: int = setting(
        16, "Individuals of a generation.", unit="individuals", section="Search", ge=4, basic=True
    )
    starts: int = setting(
        1, "Episodes of each individual in a generation.", unit="episodes", section="Search", ge=1, basic=True
    )
    sigma: float = setting(
        1.0, "Standard deviation of the first generation, or of mutations.", section="Search", gt=0, basic=True
    )
    step_size: float = setting(
        0.1, "openai-es: learning rate of Adam; multiplicative: of the weights.", section="Search", gt=0
    )
    elites: int = setting(
        0, "genetic: elite individuals, copied unchanged and evaluated again.", section="Search", ge=0
    )
    smoothness: float = setting(
        0.0,
        "Correlation length of the sampled weights over the receptive fields of an observation, in fields (Gaussian); "
        "0: independent weights.",
        unit="fields",
        section="Search",
        ge=0,
    )
    weight_unit: tuple[float, ...] = setting(
        (1.0,),
        "Weight per unit of the search: one number, or one for each projection.",
        section="Search",
        gt=0,
    )
    fitness: str = setting(
        "return",
        "return: return of an episode; highest:N: the largest value of observation N after an action, e.g. highest:0, "
        "the position of MountainCar's car.",
        section="Search",
        basic=True,
    )
    test_every: int = setting(
        1, "Generations between two tests of the strategy's centre; 0: only at the end.", section="Tests", ge=0
    )
    test_episodes: int = setting(
        100,
        "Episodes of a test, one for each copy of a network; the same in every test, and others at the end.",
        unit="episodes",
        section="Tests",
        ge=1,
    )

    def check(self) -> None:
        """Check that settings agree with each other."""
        if self.strategy == "openai-es" and self.population % 2:
            raise ConfigError(f"openai-es draws mirrored pairs: population must be even, got {self.population}")
        if self.elites and self.strategy != "genetic":
            raise ConfigError(f"elites are those of strategy genetic, got {self.strategy}; leave them out")
        if self.elites >= self.population:
            raise ConfigError(f"elites must be fewer than population={self.population}, got {self.elites}")
        observation_of(self.fitness)


def observation_of(fitness: str) -> int | None:
    """Return the index of the observation that a fitness uses; None: it uses the return.

    Raises:
        ConfigError: It is no fitness.
    """
    if fitness == "return":
        return None
    kind, _, number = fitness.partition(":")
    if kind != "highest" or not number.isdigit():
        raise ConfigError(f"fitness must be return or highest:N with the number of an observation, got {fitness!r}")
    return int(number)
