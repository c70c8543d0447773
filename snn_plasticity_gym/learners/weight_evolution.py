"""Evolution of weights: generations, hall of fame, and tests of the strategy's centre.

Axes: P individuals of a generation, S episodes of each, D coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from snn_plasticity_gym.config.control import ControlConfig
from snn_plasticity_gym.config.evolve import EvolveConfig, observation_of
from snn_plasticity_gym.learners.population_evaluator import EpisodeScores, PopulationEvaluator
from snn_plasticity_gym.learners.strategies import Search, Vector, make_strategy
from snn_plasticity_gym.networks.receptive_fields import ObservationRanges
from snn_plasticity_gym.tasks.met_observations import check_one_process
from snn_plasticity_gym.utils.distributed import World
from snn_plasticity_gym.utils.state import State

FAME = 20  # individuals in the hall of fame
TRAINING, TESTS, LAST_TEST = range(3)  # purposes of the seeds of episodes
_SEEDS = 2**31


class HallOfFameEntry(NamedTuple):
    """An individual in the hall of fame."""

    generation: int  # from 0
    start: int  # seed of its episodes
    fitness: float
    coordinates: list[float]  # (D,)


class Champion(NamedTuple):
    """The strategy's centre with the highest test fitness."""

    generation: int  # after which it was the centre
    fitness: float  # mean of its test
    value: float  # mean return in it
    coordinates: list[float]  # (D,)
    ranges: Mapping[str, list[float]] | None = None  # of observations, where they are measured


class WeightEvolution:
    """Evolves the weights of one network.

    Args:
        config: Of the search.
        env_config: Of the environment.
        seed: Of everything.
        world: Processes that share the population.

    Raises:
        ConfigError: Settings do not fit the environment.
    """

    def __init__(self, config: EvolveConfig, env_config: ControlConfig, seed: int, world: World) -> None:
        self._config, self._seed, self._world = config, seed, world
        check_one_process(env_config, world.size)
        self._evaluator = PopulationEvaluator(
            config.env, env_config, world.share(config.population, "population"), update_ranges=True
        )
        self._tests = PopulationEvaluator(config.env, env_config, config.test_episodes)
        self._observation = observation_of(config.fitness)
        if self._observation is not None:
            self._evaluator.check_observation(self._observation)
        self._genome = self._evaluator.genome(config.weight_unit, config.smoothness)
        self._test_genome = self._tests.genome(config.weight_unit, config.smoothness)
        start = np.zeros(self._genome.size)
        if config.strategy == "multiplicative":
            start = self._evaluator.fresh(self._genome, seed)
        low, high = self._genome.limits()
        strategy_seed = int(np.random.SeedSequence(seed, spawn_key=(LAST_TEST + 1,)).generate_state(1)[0])
        self.strategy = make_strategy(
            config.strategy,
            Search(start, low, high, config.population, config.sigma, config.step_size, config.elites, strategy_seed),
        )
        self.fame: list[HallOfFameEntry] = []  # best first
        self.champion: Champion | None = None  # None before the first test
        self.steps = 0  # environment steps of all individuals so far, of all processes

    @property
    def size(self) -> int:
        """D."""
        return self._genome.size

    @property
    def evaluator(self) -> PopulationEvaluator:
        """Evaluates individuals."""
        return self._evaluator

    @property
    def generation(self) -> int:
        """Generations so far."""
        return len(self.strategy.fitness_history)

    @property
    def episodes(self) -> int:
        """Episodes of all individuals so far."""
        return self.generation * self._config.population * self._config.starts

    @property
    def finished(self) -> bool:
        """Whether all episodes are done."""
        return self.episodes >= self._config.episodes

    def generations(self) -> Iterator[dict[str, float]]:
        """Run generations until all episodes are done; yield the metrics of each."""
        while not self.finished:
            yield self._next()

    def _next(self) -> dict[str, float]:
        candidates, number = self.strategy.ask(), self.generation
        own = self._world.rows(self._config.population // self._world.size)
        start = self._episodes(TRAINING, number, 1)[0]
        scores = self._evaluator.play(
            self._genome, candidates[own], [start] * (own.stop - own.start), self._config.starts
        )
        fitness = self._all(self._fitness(scores).mean(axis=1))  # (P,)
        returns = self._all(scores.returns.mean(axis=1))
        self.steps += int(self._all(scores.actions.sum(axis=1)).sum())
        self.strategy.tell(fitness)
        self._remember(number, start, fitness, candidates)
        return {
            "train/fitness": float(fitness.mean()),
            "train/fitness_best": float(fitness.max()),
            "train/fitness_spread": float(fitness.std()),
            "train/return": float(returns.mean()),
            "train/return_best": float(returns.max()),
            "train/terminated": float(self._all(scores.terminated.mean(axis=1)).mean()),
        }

    def _fitness(self, scores: EpisodeScores) -> Vector:
        return scores.returns if self._observation is None else scores.highest[:, :, self._observation]

    def _all(self, own: NDArray[Any]) -> NDArray[Any]:
        """Concatenate the values of all processes."""
        return self._world.join(torch.from_numpy(np.ascontiguousarray(own)), dim=0).numpy()

    def _remember(self, number: int, start: int, fitness: Vector, candidates: Vector) -> None:
        """Update the hall of fame with a generation; ties keep their order."""
        least = self.fame[-1].fitness if len(self.fame) == FAME else -np.inf
        for which in np.argsort(-fitness, kind="stable")[:FAME]:
            if fitness[which] > least:
                self.fame.append(HallOfFameEntry(number, start, float(fitness[which]), candidates[which].tolist()))
        self.fame = sorted(self.fame, key=lambda one: -one.fitness)[:FAME]

    def _episodes(self, purpose: int, number: int, count: int) -> list[int]:
        """Return seeds of episodes."""
        sequence = np.random.SeedSequence(self._seed, spawn_key=(purpose, number))
        return (sequence.generate_state(count) % _SEEDS).tolist()

    def test(self) -> dict[str, float]:
        """Test the strategy's centre in held-out episodes, the same in every test; return its metrics.

        It becomes the champion if its fitness is the highest so far.
        """
        met = self._evaluator.task.met
        ranges = None if met is None else met.ends
        found = self._test(self.strategy.centre, TESTS, ranges)
        if self.champion is None or found["fitness"] > self.champion.fitness:
            centre = self.strategy.centre.tolist()
            self.champion = Champion(self.generation, found["fitness"], found["return"], centre, ranges)
        return found

    def last_test(self) -> dict[str, float]:
        """Test the champion in new episodes, not used for its selection; return its metrics."""
        assert self.champion is not None, "test() comes first"
        return self._test(np.array(self.champion.coordinates), LAST_TEST, self.champion.ranges)

    def _test(self, coordinates: Vector, purpose: int, ranges: Mapping[str, list[float]] | None) -> dict[str, float]:
        count = self._config.test_episodes
        if ranges is not None:
            self._tests.task.take_ranges(ObservationRanges(*(np.array(ranges[name]) for name in ("low", "high"))))
        seeds = self._episodes(purpose, 0, count)
        scores = self._tests.play(self._test_genome, np.tile(coordinates, (count, 1)), seeds, 1)
        return {
            "return": float(scores.returns.mean()),
            "return_spread": float(scores.returns.std()),
            "return_least": float(scores.returns.min()),
            "fitness": float(self._fitness(scores).mean()),
            "steps": float(scores.actions.mean()),
            "terminated": float(scores.terminated.mean()),
        }

    def weights(self, coordinates: Sequence[float]) -> dict[str, torch.Tensor]:
        """Return the weights of coordinates (D,), (n_pre, n_post) by projection."""
        return self._test_genome.weights(np.array(coordinates))

    def state_dict(self) -> State:
        """Return the complete state."""
        champion = self.champion and tuple(self.champion)
        fame, met = [tuple(one) for one in self.fame], self._evaluator.task.met
        own = {} if met is None else {"met": met.state_dict()}
        return {"told": self.strategy.fitness_history, "fame": fame, "champion": champion, "steps": self.steps, **own}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`, before the first generation."""
        self.strategy.replay(state["told"])
        self.fame = [HallOfFameEntry(*one) for one in state["fame"]]
        self.champion = state["champion"] and Champion(*state["champion"])
        self.steps = state["steps"]
        if (met := self._evaluator.task.met) is not None:
            met.load_state_dict(state["met"])
            self._evaluator.task.take_ranges(met.ranges)

    def close(self) -> None:
        """Close the worlds."""
        self._evaluator.close()
        self._tests.close()
