"""Session of `search_svpg.py`: CMA-ES over formulas; fitness is the score of a network trained by the formula."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.svpg_search import SVPGSearchConfig
from snn_plasticity_gym.learners.agents import Look
from snn_plasticity_gym.learners.strategies import Search, make_strategy
from snn_plasticity_gym.learners.svpg_agents import MeanFieldAgent
from snn_plasticity_gym.learners.svpg_formula import CONTRAST, PAPER, SIZE, coefficients_of, formula_of
from snn_plasticity_gym.runs.folder import RunFolder
from snn_plasticity_gym.trainers.sessions.learning_loop import FinalResult, Row, carry_out
from snn_plasticity_gym.trainers.sessions.svpg_session import Subjects, without_denormals
from snn_plasticity_gym.utils.files import atomic_path
from snn_plasticity_gym.utils.state import State

TRAINING, VALIDATION, TEST = range(3)  # kinds of trainings, with disjoint seeds
FORMULA = "formula.yaml"  # a preset of train_svpg
KNOWN = {"contrast": CONTRAST, "paper": PAPER}
Vector = NDArray[np.float64]


def run_search(config: SVPGSearchConfig) -> Path:
    """Search, test the formula with the best validation fitness, and write everything into a run folder.

    See `carry_out`; formula.yaml is a preset of train_svpg.

    Raises:
        As `svpg_session.run_svpg`.
    """
    with without_denormals():
        return carry_out("SVPGSearch", config, functools.partial(SearchTraining, config))


class Measured:
    """An agent that does not learn, but measures the weight change by each term of a formula.

    Args:
        agent: The agent.
    """

    def __init__(self, agent: MeanFieldAgent) -> None:
        self.weights, self.connections = agent.weights, agent.connections
        self.sizes = np.zeros(SIZE)  # of `term_sizes`
        self._agent = agent

    def look(self, inputs: Tensor) -> Look:
        """See `Agent`."""
        return self._agent.look(inputs)

    def judge(self, inputs: Tensor) -> Tensor:
        """See `Agent`."""
        return self._agent.judge(inputs)

    def learn(self, inputs: Tensor, look: Look, action: Tensor, factor: Tensor, entropy: float) -> None:
        """See `Agent`."""
        self.sizes = self._agent.term_sizes(inputs, look, action, factor)


class RuleSearch:
    """CMA-ES over the coefficients of formulas; a step is a generation. See `SteppedLearner`.

    Terms differ in size: w is some 0.05, and in a hidden neuron the terms of a held action are a hundredth of those of
    a drawn one. So coefficients are in units in which every term changes the weights of a fresh network equally in its
    first update.

    Args:
        config: Settings of the run.
        seed: Of everything.
    """

    def __init__(self, config: SVPGSearchConfig, seed: int) -> None:
        self.total = config.generations * config.population * config.episodes
        self.episodes = 0
        self.subjects = Subjects(config)
        self._config, self._seed = config, seed
        self.units = self._equal_units()  # of coefficients, (SIZE,)
        unbounded = np.full(SIZE, math.inf)
        self._strategy = make_strategy(
            "cma",
            Search(
                coefficients_of(config.formula) / self.units, -unbounded, unbounded, config.population, config.sigma,
                step_size=0.0, elites=0, seed=seed,
            ),
        )  # fmt: skip
        self._best, self._best_value = self._centre(), -math.inf
        self._since: list[list[float]] = []  # fitness of generations since the last row

    def steps(self) -> Iterator[None]:
        """Yield after each generation; may be called once."""
        while self.episodes < self.total:
            seed = self._seed_of(TRAINING, len(self._strategy.fitness_history))
            fitness = [self.train_and_score(one, seed, "validation") for one in self.units * self._strategy.ask()]
            self._strategy.tell(np.array(fitness))
            self._since.append(fitness)
            self.episodes += len(fitness) * self._config.episodes
            yield

    def train_and_score(self, coefficients: Vector, seed: int, part: str) -> float:
        """Train a fresh network with a formula; return its score on a split."""
        taught = dataclasses.replace(self._config, formula=json.dumps(formula_of(coefficients)))
        learner = self.subjects.make(taught, seed)
        for _ in learner.steps():
            pass
        return learner.judge(part)

    def judge_centre(self) -> float:
        """Return the fitness of the search's mean on new seeds, and keep it if none was better."""
        coefficients, number = self._centre(), len(self._strategy.fitness_history)
        first = number * self._config.judged_lives
        seeds = [self._seed_of(VALIDATION, first + life) for life in range(self._config.judged_lives)]
        value = float(np.mean([self.train_and_score(coefficients, seed, "validation") for seed in seeds]))
        if value >= self._best_value:
            self._best, self._best_value = coefficients, value
        return value

    def take_best(self) -> tuple[Vector, float]:
        """Return the formula with the best validation fitness, and that fitness."""
        return self._best, self._best_value

    def test(self, coefficients: Vector) -> float:
        """Return the mean test score of networks trained with a formula, with the same seeds for each."""
        seeds = [self._seed_of(TEST, life) for life in range(self._config.test_lives)]
        return float(np.mean([self.train_and_score(coefficients, seed, "test") for seed in seeds]))

    def take_means(self) -> dict[str, float]:
        """Return the fitness of formulas since the last call."""
        fitness, self._since = np.array(self._since), []  # (generations, P)
        return {"fitness": float(fitness.mean()), "fitness_best": float(fitness.max(axis=1).mean())}

    def state_dict(self) -> State:
        """See `SteppedLearner`."""
        return {
            "told": [list(fitness) for fitness in self._strategy.fitness_history],
            "episodes": self.episodes,
            "best": (torch.from_numpy(self._best), self._best_value),
            "since": [list(fitness) for fitness in self._since],
        }

    def load_state_dict(self, state: State) -> None:
        """See `SteppedLearner`."""
        self._strategy.replay(state["told"])
        self.episodes = state["episodes"]
        self._best, self._best_value = state["best"][0].numpy(), state["best"][1]
        self._since = [list(fitness) for fitness in state["since"]]

    def _centre(self) -> Vector:
        return self.units * self._strategy.centre

    def _equal_units(self) -> Vector:
        """Return the coefficients at which each term alone changes the weights of a fresh network by 1, (SIZE,)."""
        learner = self.subjects.make(self._config, self._seed_of(VALIDATION, 0))
        assert isinstance(learner.agent, MeanFieldAgent)
        measured = Measured(learner.agent)
        learner.agent = measured
        next(learner.steps())
        return 1.0 / np.maximum(measured.sizes, 1e-12)

    def _seed_of(self, kind: int, number: int) -> int:
        return int(np.random.SeedSequence([self._seed, kind, number]).generate_state(1)[0])


class SearchTraining:
    """See `Training`.

    Args:
        config: Settings of the run.
        seed: Of everything.
    """

    def __init__(self, config: SVPGSearchConfig, seed: int) -> None:
        self._measure = "return" if config.world else "accuracy"
        self.learner = RuleSearch(config, seed)
        self.dataset = self.learner.subjects.dataset
        self.title = (
            f"SVPG, a formula of {SIZE} coefficients by CMA-ES, {self.learner.subjects.sizes}: {config.generations} "
            f"generations of {config.population} trainings of {config.episodes} episodes of "
            f"{self.learner.subjects.task}"
        )

    def row(self) -> Row:
        """See `Training`."""
        means, value = self.learner.take_means(), self.learner.judge_centre()
        values = {f"train/{name}": mean for name, mean in means.items()} | {f"eval/{self._measure}": value}
        metrics = "  ".join(f"{name} {mean:.4f}" for name, mean in means.items())
        return Row(values, f"{metrics}  mean of the search, validation {value:.4f}")

    def judge(self, run: RunFolder) -> FinalResult:
        """Test the best formula, and the two published ones, with the same seeds."""
        learner, measure = self.learner, self._measure
        coefficients, validation = learner.take_best()
        formula = formula_of(coefficients)
        with atomic_path(run.path / FORMULA) as temporary:
            temporary.write_text(
                "# train_svpg: a rule of winner-take-all networks that was searched for.\n"
                + yaml.safe_dump({"rule": "formula", "formula": formula}, sort_keys=False),
                encoding="utf-8",
            )
        test = {"formula": learner.test(coefficients)}
        test |= {name: learner.test(coefficients_of(known)) for name, known in KNOWN.items()}
        values = {f"test/{measure}": test["formula"]} | {f"test/{name}": test[name] for name in KNOWN}
        scores = ", ".join(f"{name} {value:.4f}" for name, value in test.items())
        return FinalResult(
            {"test": test, "validation": validation, "formula": formula},
            values,
            f"{measure} after a training, on the test split: {scores}\n{write(formula)}",
        )


def write(formula: Mapping[str, Mapping[str, float]]) -> str:
    """Return a formula as lines, each part's coefficients in units of the largest: Adam takes steps of one size."""
    lines = []
    for part, terms in formula.items():
        largest = max((abs(value) for value in terms.values()), default=1.0)
        shown: list[tuple[str, Any]] = sorted(terms.items(), key=lambda item: -abs(item[1]))
        lines.append(f"  {part}: " + " ".join(f"{value / largest:+.2f} {term}" for term, value in shown))
    return "\n".join(lines)
