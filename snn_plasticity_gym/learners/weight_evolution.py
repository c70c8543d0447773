"""Evolution of weights: generation after generation, and tests of what was found.

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
from snn_plasticity_gym.learners.contest import Contest, Scores
from snn_plasticity_gym.learners.strategies import Search, Vector, make_strategy
from snn_plasticity_gym.networks.receptive_fields import ObservationRanges
from snn_plasticity_gym.tasks.met_observations import check_one_process
from snn_plasticity_gym.utils.distributed import World
from snn_plasticity_gym.utils.state import State

FAME = 20  # individuals in the hall of fame
TRAINING, TESTS, LAST_TEST = range(3)  # purposes of the seeds of episodes
_SEEDS = 2**31


class Famous(NamedTuple):
    """An individual that did well."""

    generation: int  # from 0
    start: int  # seed of the episodes that it lived through
    fitness: float
    coordinates: list[float]  # (D,)


class Champion(NamedTuple):
    """The centre of the strategy that was fittest in a test."""

    generation: int  # after which it was the centre
    fitness: float  # mean of its test
    value: float  # mean return of that
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
        self._contest = Contest(config.env, env_config, world.share(config.population, "population"), meets=True)
        self._tests = Contest(config.env, env_config, config.test_episodes)
        self._observation = observation_of(config.fitness)
        if self._observation is not None:
            self._contest.check_observation(self._observation)
        self._genome = self._contest.genome(config.weight_unit, config.smoothness)
        self._test_genome = self._tests.genome(config.weight_unit, config.smoothness)
        start = np.zeros(self._genome.size)
        if config.strategy == "multiplicative":
            start = self._contest.fresh(self._genome, seed)
        low, high = self._genome.limits()
        strategy_seed = int(np.random.SeedSequence(seed, spawn_key=(LAST_TEST + 1,)).generate_state(1)[0])
        self.strategy = make_strategy(
            config.strategy,
            Search(start, low, high, config.population, config.sigma, config.step_size, config.elites, strategy_seed),
        )
        self.fame: list[Famous] = []  # best first
        self.champion: Champion | None = None  # None: nothing was tested yet
        self.steps = 0  # world steps of all individuals so far, of all processes

    @property
    def size(self) -> int:
        """D."""
        return self._genome.size

    @property
    def contest(self) -> Contest:
        """Where individuals live."""
        return self._contest

    @property
    def generation(self) -> int:
        """Generations so far."""
        return len(self.strategy.told)

    @property
    def episodes(self) -> int:
        """Episodes of all individuals so far."""
        return self.generation * self._config.population * self._config.starts

    @property
    def finished(self) -> bool:
        """Whether all episodes are over."""
        return self.episodes >= self._config.episodes

    def generations(self) -> Iterator[dict[str, float]]:
        """Live through generations until all episodes are over; yield what each was worth."""
        while not self.finished:
            yield self._next()

    def _next(self) -> dict[str, float]:
        asked, number = self.strategy.ask(), self.generation
        own = self._world.rows(self._config.population // self._world.size)
        start = self._episodes(TRAINING, number, 1)[0]
        scores = self._contest.play(self._genome, asked[own], [start] * (own.stop - own.start), self._config.starts)
        fitness = self._all(self._fitness(scores).mean(axis=1))  # (P,)
        returns = self._all(scores.returns.mean(axis=1))
        self.steps += int(self._all(scores.actions.sum(axis=1)).sum())
        self.strategy.tell(fitness)
        self._remember(number, start, fitness, asked)
        return {
            "train/fitness": float(fitness.mean()),
            "train/fitness_best": float(fitness.max()),
            "train/fitness_spread": float(fitness.std()),
            "train/return": float(returns.mean()),
            "train/return_best": float(returns.max()),
            "train/terminated": float(self._all(scores.terminated.mean(axis=1)).mean()),
        }

    def _fitness(self, scores: Scores) -> Vector:
        return scores.returns if self._observation is None else scores.highest[:, :, self._observation]

    def _all(self, own: NDArray[Any]) -> NDArray[Any]:
        """Return the values of all processes, one after the other."""
        return self._world.join(torch.from_numpy(np.ascontiguousarray(own)), dim=0).numpy()

    def _remember(self, number: int, start: int, fitness: Vector, asked: Vector) -> None:
        """Let the best of a generation into the hall of fame; where two did as well, the earlier one is before."""
        least = self.fame[-1].fitness if len(self.fame) == FAME else -np.inf
        for which in np.argsort(-fitness, kind="stable")[:FAME]:
            if fitness[which] > least:
                self.fame.append(Famous(number, start, float(fitness[which]), asked[which].tolist()))
        self.fame = sorted(self.fame, key=lambda one: -one.fitness)[:FAME]

    def _episodes(self, purpose: int, number: int, count: int) -> list[int]:
        """Return seeds of episodes."""
        sequence = np.random.SeedSequence(self._seed, spawn_key=(purpose, number))
        return (sequence.generate_state(count) % _SEEDS).tolist()

    def test(self) -> dict[str, float]:
        """Return what the strategy's centre is worth in episodes that no individual has seen, the same in every test.

        If no centre was as fit before, it is the champion.
        """
        met = self._contest.task.met
        ranges = None if met is None else met.ends
        found = self._test(self.strategy.centre, TESTS, ranges)
        if self.champion is None or found["fitness"] > self.champion.fitness:
            centre = self.strategy.centre.tolist()
            self.champion = Champion(self.generation, found["fitness"], found["return"], centre, ranges)
        return found

    def last_test(self) -> dict[str, float]:
        """Return what the champion is worth in episodes that are not those by which it was chosen."""
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
        """Return the weights that coordinates (D,) stand for, (n_pre, n_post) by projection."""
        return self._test_genome.weights(np.array(coordinates))

    def state_dict(self) -> State:
        """Return all that decides what follows."""
        champion = self.champion and tuple(self.champion)
        fame, met = [tuple(one) for one in self.fame], self._contest.task.met
        own = {} if met is None else {"met": met.state_dict()}
        return {"told": self.strategy.told, "fame": fame, "champion": champion, "steps": self.steps, **own}

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`, before the first generation."""
        self.strategy.replay(state["told"])
        self.fame = [Famous(*one) for one in state["fame"]]
        self.champion = state["champion"] and Champion(*state["champion"])
        self.steps = state["steps"]
        if (met := self._contest.task.met) is not None:
            met.load_state_dict(state["met"])
            self._contest.task.take_ranges(met.ranges)

    def close(self) -> None:
        """Close the worlds."""
        self._contest.close()
        self._tests.close()
