"""A search by `search_svpg.py`: formulas as coordinates of CMA-ES, each worth what a network is that it has taught."""

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
from snn_plasticity_gym.trainers.sessions.learning_loop import Judged, Row, carry_out
from snn_plasticity_gym.trainers.sessions.svpg_session import Subjects, without_denormals
from snn_plasticity_gym.utils.files import atomic_path
from snn_plasticity_gym.utils.state import State

LIFE, JUDGED, TESTED = range(3)  # kinds of lives, none of which begins as one of another kind
FORMULA = "formula.yaml"  # a preset of train_svpg
KNOWN = {"contrast": CONTRAST, "paper": PAPER}
Vector = NDArray[np.float64]


def run_search(config: SVPGSearchConfig) -> Path:
    """Search, test the formula that was best in other lives, and write everything into a run folder.

    See `carry_out`; formula.yaml is a preset of train_svpg.

    Raises:
        As `svpg_session.run_svpg`.
    """
    with without_denormals():
        return carry_out("SVPGSearch", config, functools.partial(SearchTraining, config))


class Measured:
    """An agent that learns nothing, but measures by how much each term of a formula would move its weights.

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

    Terms differ in size: w is one of some 0.05, and what holding an action moves in a hidden neuron is a hundredth of
    what drawing one does. So the search counts coefficients in units in which every term moves the weights of a fresh
    network equally far in its first update.

    Args:
        config: What is wanted.
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
        self._since: list[list[float]] = []  # what generations were worth since the last row

    def steps(self) -> Iterator[None]:
        """Live through one generation after the other; may be called once."""
        while self.episodes < self.total:
            seed = self._seed_of(LIFE, len(self._strategy.told))
            worth = [self.live(one, seed, "validation") for one in self.units * self._strategy.ask()]
            self._strategy.tell(np.array(worth))
            self._since.append(worth)
            self.episodes += len(worth) * self._config.episodes
            yield

    def live(self, coefficients: Vector, seed: int, part: str) -> float:
        """Return what a fresh network is worth on a part after a life with a formula."""
        taught = dataclasses.replace(self._config, formula=json.dumps(formula_of(coefficients)))
        learner = self.subjects.make(taught, seed)
        for _ in learner.steps():
            pass
        return learner.judge(part)

    def judge_centre(self) -> float:
        """Return what the mean of the search is worth in other lives, and keep it if none was better."""
        coefficients, number = self._centre(), len(self._strategy.told)
        first = number * self._config.judged_lives
        seeds = [self._seed_of(JUDGED, first + life) for life in range(self._config.judged_lives)]
        value = float(np.mean([self.live(coefficients, seed, "validation") for seed in seeds]))
        if value >= self._best_value:
            self._best, self._best_value = coefficients, value
        return value

    def take_best(self) -> tuple[Vector, float]:
        """Return the formula that was best in other lives, and what it was worth."""
        return self._best, self._best_value

    def test(self, coefficients: Vector) -> float:
        """Return what networks are worth on the test part after lives with a formula, the same ones for each."""
        lives = range(self._config.test_lives)
        return float(np.mean([self.live(coefficients, self._seed_of(TESTED, life), "test") for life in lives]))

    def take_means(self) -> dict[str, float]:
        """Return what formulas were worth since this was last asked."""
        worth, self._since = np.array(self._since), []  # (generations, P)
        return {"fitness": float(worth.mean()), "fitness_best": float(worth.max(axis=1).mean())}

    def state_dict(self) -> State:
        """See `SteppedLearner`."""
        return {
            "told": [list(worth) for worth in self._strategy.told],
            "episodes": self.episodes,
            "best": (torch.from_numpy(self._best), self._best_value),
            "since": [list(worth) for worth in self._since],
        }

    def load_state_dict(self, state: State) -> None:
        """See `SteppedLearner`."""
        self._strategy.replay(state["told"])
        self.episodes = state["episodes"]
        self._best, self._best_value = state["best"][0].numpy(), state["best"][1]
        self._since = [list(worth) for worth in state["since"]]

    def _centre(self) -> Vector:
        return self.units * self._strategy.centre

    def _equal_units(self) -> Vector:
        """Return the coefficients by which each term alone moves the weights of a fresh network by 1, (SIZE,)."""
        learner = self.subjects.make(self._config, self._seed_of(JUDGED, 0))
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
        config: What is wanted.
        seed: Of everything.
    """

    def __init__(self, config: SVPGSearchConfig, seed: int) -> None:
        self._measure = "return" if config.world else "accuracy"
        self.learner = RuleSearch(config, seed)
        self.dataset = self.learner.subjects.dataset
        self.title = (
            f"SVPG, a formula of {SIZE} coefficients by CMA-ES, {self.learner.subjects.sizes}: {config.generations} "
            f"generations of {config.population} lives of {config.episodes} episodes of {self.learner.subjects.task}"
        )

    def row(self) -> Row:
        """See `Training`."""
        means, value = self.learner.take_means(), self.learner.judge_centre()
        values = {f"train/{name}": mean for name, mean in means.items()} | {f"eval/{self._measure}": value}
        told = "  ".join(f"{name} {mean:.4f}" for name, mean in means.items())
        return Row(values, f"{told}  mean of the search, in other lives {value:.4f}")

    def judge(self, run: RunFolder) -> Judged:
        """Test the best formula, and the two that are known, in the same lives."""
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
        told = ", ".join(f"{name} {value:.4f}" for name, value in test.items())
        return Judged(
            {"test": test, "validation": validation, "formula": formula},
            values,
            f"{measure} after a life, on what no life has seen: {told}\n{write(formula)}",
        )


def write(formula: Mapping[str, Mapping[str, float]]) -> str:
    """Return a formula as lines, each part's coefficients in units of the largest: Adam takes steps of one size."""
    lines = []
    for part, terms in formula.items():
        largest = max((abs(value) for value in terms.values()), default=1.0)
        shown: list[tuple[str, Any]] = sorted(terms.items(), key=lambda item: -abs(item[1]))
        lines.append(f"  {part}: " + " ".join(f"{value / largest:+.2f} {term}" for term, value in shown))
    return "\n".join(lines)
