"""Evolution strategies over vectors: ask for a generation, tell the fitness of its individuals.

All are functions of their seed and of the fitness values told, so a strategy is restored by replaying these: a run
is resumed so.

Axes: P individuals of a generation, D coordinates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cma
import numpy as np
import torch
from numpy.typing import NDArray

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.learners.rule_search import ranks

Vector = NDArray[np.float64]

TOURNAMENT, MATING, BLEND, MUTATION, GENES = 4, 0.7, 0.5, 0.7, 0.45  # Yegenoglu et al. (2022), code
LEAST_FACTOR = 0.2  # Hasegan et al. (2022), code: perturbations are at least -0.8


class Search(NamedTuple):
    """Initial state and settings of a strategy."""

    start: Vector  # (D,) start of `CMA` and `Multiplicative`
    low: Vector  # (D,) limits of all individuals
    high: Vector
    population: int  # P
    sigma: float
    step_size: float
    elites: int
    seed: int


class Strategy(ABC):
    """A strategy that maximises.

    Args:
        search: Initial state and settings.
    """

    def __init__(self, search: Search) -> None:
        self.search = search
        self.random = np.random.default_rng(search.seed)
        self.candidates = np.empty((0, len(search.start)))  # (P, D) the present generation
        self.fitness_history: list[list[float]] = []  # of each generation, P numbers each

    @property
    @abstractmethod
    def centre(self) -> Vector:
        """The strategy's present best estimate, (D,)."""

    @abstractmethod
    def _propose(self) -> Vector:
        """Return the next generation, (P, D)."""

    @abstractmethod
    def _learn(self, fitness: Vector) -> None:
        """Update from the fitness of `candidates`, (P,)."""

    def ask(self) -> Vector:
        """Return a generation, (P, D), within the limits."""
        self.candidates = np.clip(self._propose(), self.search.low, self.search.high)
        return self.candidates

    def tell(self, fitness: Vector) -> None:
        """Update from the fitness of the last generation asked, (P,)."""
        self._learn(fitness)
        self.fitness_history.append(fitness.tolist())

    def replay(self, fitness_history: Sequence[Sequence[float]]) -> None:
        """Replay generations with recorded fitness, from the start."""
        for fitness in fitness_history:
            self.ask()
            self.tell(np.array(fitness))


def new_cma(start: Vector, sigma: float, population: int, diagonal: bool, random: np.random.Generator) -> Any:
    """Return pycma's strategy, which has no types; `random` is its only random source.

    Args:
        start: Initial mean, (D,).
        sigma: Initial step size.
        population: P.
        diagonal: Whether the covariance is diagonal.
        random: Source of its random numbers.
    """
    options = {
        "popsize": population,
        "CMA_diagonal": diagonal,
        "randn": lambda *shape: random.standard_normal(shape),
        "seed": np.nan,  # or it would seed numpy's global generator
        "verbose": -9,
    }
    return cma.CMAEvolutionStrategy(start, sigma, options)


class CMA(Strategy):
    """CMA-ES by the library pycma, with a full or a diagonal covariance.

    Args:
        search: Initial state and settings.
        diagonal: Whether the covariance is diagonal.
    """

    def __init__(self, search: Search, diagonal: bool) -> None:
        super().__init__(search)
        self._strategy = new_cma(search.start, search.sigma, search.population, diagonal, self.random)

    @property
    def centre(self) -> Vector:
        """The mean."""
        return np.clip(self._strategy.mean, self.search.low, self.search.high)

    def _propose(self) -> Vector:
        self._perturbations = self._strategy.ask()
        return np.stack(self._perturbations)

    def _learn(self, fitness: Vector) -> None:
        self._strategy.tell(self._perturbations, (-fitness).tolist())


class OpenAIES(Strategy):
    """Mirrored perturbations, centred ranks, Adam (Salimans et al. 2017, algorithm 1 and section 2.1).

    It starts at a point drawn from N(0, 1): at 0, where all neurons are silent, all perturbations would be equal.
    """

    def __init__(self, search: Search) -> None:
        super().__init__(search)
        self._mean = torch.from_numpy(self.random.standard_normal(len(search.start)))
        self._optimiser = torch.optim.Adam([self._mean], lr=search.step_size)

    @property
    def centre(self) -> Vector:
        """The mean."""
        return np.clip(self._mean.numpy(), self.search.low, self.search.high)

    def _propose(self) -> Vector:
        half = self.random.standard_normal((self.search.population // 2, len(self._mean)))
        self._perturbations = np.concatenate([half, -half])  # (P, D)
        return self._mean.numpy() + self.search.sigma * self._perturbations

    def _learn(self, fitness: Vector) -> None:
        advantage = ranks(torch.from_numpy(fitness)[None])[0].numpy()  # (P,)
        slope = advantage @ self._perturbations / (len(fitness) * self.search.sigma)  # (D,) up a hill
        self._mean.grad = torch.from_numpy(-slope)
        self._optimiser.step()


class Multiplicative(Strategy):
    """Weights are scaled: w <- w (1 + rate mean_i z_i epsilon_i), w_i = w (1 + epsilon_i), epsilon ~ N(0, sigma^2).

    z is the standardised fitness. EVOL of Hasegan et al. (2022), code.
    """

    def __init__(self, search: Search) -> None:
        super().__init__(search)
        self._weights = search.start.copy()

    @property
    def centre(self) -> Vector:
        """The weights."""
        return np.clip(self._weights, self.search.low, self.search.high)

    def _propose(self) -> Vector:
        drawn = self.search.sigma * self.random.standard_normal((self.search.population, len(self._weights)))
        self._perturbations = np.maximum(drawn, LEAST_FACTOR - 1.0)  # (P, D)
        return self._weights * (1.0 + self._perturbations)

    def _learn(self, fitness: Vector) -> None:
        z = (fitness - fitness.mean()) / (fitness.std() + 1e-8)  # (P,)
        self._weights *= 1.0 + self.search.step_size * (z @ self._perturbations) / len(fitness)


class Genetic(Strategy):
    """Tournaments, blend crossover and Gaussian mutation; the first generation is uniform within the limits.

    Operators and their probabilities are those of Yegenoglu et al. (2022), code, from DEAP: selTournament, cxBlend,
    mutGaussian. Every individual is evaluated in each generation.

    Raises:
        ConfigError: The limits are not finite.
    """

    def __init__(self, search: Search) -> None:
        super().__init__(search)
        if not np.isfinite([search.low, search.high]).all():
            raise ConfigError("strategy genetic draws its first generation within w_min and w_max: make both finite")
        self._next = self.random.uniform(search.low, search.high, (search.population, len(search.start)))
        self._best = self._next[0]

    @property
    def centre(self) -> Vector:
        """The best of the last generation."""
        return self._best

    def _propose(self) -> Vector:
        return self._next

    def _learn(self, fitness: Vector) -> None:
        order = np.argsort(-fitness, kind="stable")
        self._best = self.candidates[order[0]].copy()
        children = self.candidates[self._selected(fitness)].copy()  # (P, D)
        for pair in range(len(children) // 2):
            if self.random.random() < MATING:
                self._mate(children[2 * pair], children[2 * pair + 1])
        mutates = self.random.random(len(children)) < MUTATION  # (P,)
        changes = self.random.random(children.shape) < GENES  # (P, D)
        noise = self.search.sigma * self.random.standard_normal(children.shape)
        children += np.where(mutates[:, None] & changes, noise, 0.0)
        children[: self.search.elites] = self.candidates[order[: self.search.elites]]
        self._next = children

    def _selected(self, fitness: Vector) -> NDArray[np.int64]:
        """Return the winners of P tournaments, (P,)."""
        rivals = self.random.integers(len(fitness), size=(len(fitness), TOURNAMENT))  # (P, TOURNAMENT)
        return rivals[np.arange(len(fitness)), fitness[rivals].argmax(axis=1)]

    def _mate(self, one: Vector, other: Vector) -> None:
        """Blend two individuals in place: each gene is drawn from an interval extended by BLEND on both sides."""
        share = (1.0 + 2.0 * BLEND) * self.random.random(len(one)) - BLEND  # (D,)
        first, second = (1.0 - share) * one + share * other, share * one + (1.0 - share) * other
        one[:], other[:] = first, second


def make_strategy(name: str, search: Search) -> Strategy:
    """Return the strategy of a name in `STRATEGIES`."""
    if name in ("cma", "cma-diagonal"):
        return CMA(search, diagonal=name == "cma-diagonal")
    others: dict[str, Callable[[Search], Strategy]] = {
        "openai-es": OpenAIES,
        "genetic": Genetic,
        "multiplicative": Multiplicative,
    }
    return others[name](search)
