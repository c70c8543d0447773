"""Session of `robustness.py`: from run folders to the table."""

from __future__ import annotations

import csv
import dataclasses
import json
import pickle
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.robustness import RobustnessConfig
from snn_plasticity_gym.config.schema import ConfigError, own_values
from snn_plasticity_gym.config.svpg import SVPGConfig
from snn_plasticity_gym.evaluation.disturbances import DISTURBANCES, Disturbance, Request, read_kind
from snn_plasticity_gym.evaluation.robustness import Found, draw_robustness, robustness_table
from snn_plasticity_gym.learners.agents import Agent, Look
from snn_plasticity_gym.report.runs import Group, Run, group_runs, read_runs
from snn_plasticity_gym.trainers.sessions.svpg_learner import Learner
from snn_plasticity_gym.trainers.sessions.svpg_session import Subjects
from snn_plasticity_gym.utils.files import make_output
from snn_plasticity_gym.utils.state import restore_all

FILES = ("robustness.csv", "robustness.md", "robustness.png")
COLUMNS = ("group", "run", "disturbance", "level", "draw", "value")
CLEAN = "none"  # in the column of disturbances


class DisturbedInputs:
    """An agent with disturbed inputs during evaluation.

    Args:
        agent: The agent.
        kind: A disturbance of inputs.
        level: Its strength.
        generator: Its random source, of the agent's device.
    """

    def __init__(self, agent: Agent, kind: Disturbance, level: float, generator: torch.Generator) -> None:
        self.weights, self.connections = agent.weights, agent.connections
        self._agent, self._kind, self._level, self._generator = agent, kind, level, generator

    def look(self, inputs: Tensor) -> Look:
        """See `Agent`."""
        return self._agent.look(inputs)

    def judge(self, inputs: Tensor) -> Tensor:
        """See `Agent`."""
        assert self._kind.of_inputs is not None
        return self._agent.judge(self._kind.of_inputs(inputs, self._level, self._generator))

    def learn(self, inputs: Tensor, look: Look, action: Tensor, factor: Tensor, entropy: float) -> None:
        """See `Agent`."""
        self._agent.learn(inputs, look, action, factor, entropy)


class Subject:
    """The network of a run with its best weights, and its evaluation task.

    Args:
        run: Folder of a run of train_svpg.
        config: Settings of the measurement.

    Raises:
        ConfigError: It is no such run, is not finished, or its weights are damaged.
    """

    def __init__(self, run: Run, config: RobustnessConfig) -> None:
        if run.path.resolve().parent.name != "SVPG":
            raise ConfigError(f"{run.path} is no run of train_svpg; give folders such as runs/SVPG/NAME")
        chosen = own_values(SVPGConfig, run.config) | {"device": "cpu", "test_episodes": config.episodes}
        if config.data_dir is not None:
            chosen["data_dir"] = config.data_dir
        self.label = run.label
        self.config = SVPGConfig(**chosen)
        self._weights = _read_weights(run.path / "weights.pt")
        self._learner = self._make(self.config)

    def clean(self) -> float:
        """Return accuracy on test images, or the mean return of held-out episodes."""
        return self._learner.judge("test")

    def disturbed(self, kind: Request, level: float, generator: torch.Generator) -> float:
        """Return the measure of `clean`, under a disturbance."""
        if kind.argument:
            return self.with_changed_argument(kind.argument, level).judge("test")
        learner, disturbance = self._learner, DISTURBANCES[kind.name]
        agent = learner.agent
        try:
            if disturbance.of_weights is None:
                learner.agent = DisturbedInputs(agent, disturbance, level, generator)
            else:
                with torch.no_grad():
                    for name, connections in agent.connections.items():
                        weights = agent.weights[name]
                        weights.copy_(disturbance.of_weights(weights, connections, level, generator))
            return learner.judge("test")
        finally:
            learner.agent = agent
            with torch.no_grad():
                restore_all(agent.weights, self._weights)

    def with_changed_argument(self, argument: str, level: float) -> Learner:
        """Return the network in an environment with one changed argument; ConfigError if the environment refuses it."""
        arguments = json.loads(self.config.world_kwargs) | {argument: level}
        return self._make(dataclasses.replace(self.config, world_kwargs=json.dumps(arguments)))

    def _make(self, config: SVPGConfig) -> Learner:
        learner = Subjects(config).make(config, config.seed)
        try:
            with torch.no_grad():
                restore_all(learner.agent.weights, self._weights)
        except ValueError as error:
            raise ConfigError(f"the weights of {self.label} do not fit its settings: {error}") from error
        return learner


def run_robustness(config: RobustnessConfig) -> Found:
    """Disturb the networks of all runs; print the table, and write the requested files.

    Returns:
        The values; see `evaluation.robustness.Found`.

    Raises:
        ConfigError: A run cannot be read, groups cannot be compared, or a disturbance does not exist.
        FileNotFoundError: The data set is not found.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    groups = _groups(config)
    names = [group.label for group in groups]
    kinds = [read_kind(text) for text in config.kinds or DISTURBANCES]
    subjects = [[Subject(run, config) for run in group.runs] for group in groups]
    _check_task(groups, subjects, kinds)
    folder = make_output(config.out, FILES) if config.out else None

    rows = list(_measure(config, names, subjects, kinds))
    found = {key: _table(rows, *key) for key in dict.fromkeys((row[0], row[2], row[3]) for row in rows)}
    clean = {name: found.pop((name, CLEAN, 0.0)) for name in names}
    in_world = bool(subjects[0][0].config.world)
    factor = 1.0 if in_world else 100.0
    table = robustness_table(found, names, clean, kinds, factor)
    print(table, end="")
    if folder is not None:
        with (folder / "robustness.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(rows)
        (folder / "robustness.md").write_text(table, encoding="utf-8")
        measure = "mean return" if in_world else "accuracy on test images (%)"
        draw_robustness(found, names, clean, kinds, folder / "robustness.png", measure, factor)
        print(f"written to {folder}")
    return found


def _groups(config: RobustnessConfig) -> list[Group]:
    """Return the runs of each name, or, without names, those that differ only in their seeds."""
    runs = read_runs(config.runs)
    if not config.names:
        return group_runs(runs)
    if len(config.names) != len(runs):
        raise ConfigError(f"names must be one for each of the {len(runs)} runs, got {', '.join(config.names)}")
    named = list(zip(config.names, runs, strict=True))
    return [Group(name, [run for own, run in named if own == name]) for name in dict.fromkeys(config.names)]


def _check_task(groups: Sequence[Group], subjects: Sequence[Sequence[Subject]], kinds: Sequence[Request]) -> None:
    """Check that runs have the same task, and that body disturbances apply to it."""
    first = subjects[0][0].config
    for subject in (subject for group in subjects for subject in group):
        if (subject.config.world, subject.config.dataset) != (first.world, first.dataset):
            raise ConfigError(f"runs must have the same task, got {subject.label} and {groups[0].label}")
    for kind in kinds:
        if kind.argument and not first.world:
            raise ConfigError(f"{kind.name} needs runs in a world, got images")
        for level in kind.levels if kind.argument else ():
            subjects[0][0].with_changed_argument(kind.argument, level)  # refused before any work


def _measure(
    config: RobustnessConfig, names: Sequence[str], subjects: Sequence[Sequence[Subject]], kinds: Sequence[Request]
) -> Iterator[tuple[str, str, str, float, int, float]]:
    """Yield a row for each measurement; the samples of a level do not depend on other requested disturbances."""
    for name, group in zip(names, subjects, strict=True):
        for subject in group:
            value = subject.clean()
            print(f"{subject.label}: {value:.4f}", file=sys.stderr, flush=True)
            yield name, subject.label, CLEAN, 0.0, 0, value
            for kind in kinds:
                for level in kind.levels:
                    for draw in range(1 if kind.argument else config.draws):
                        case = zlib.crc32(f"{kind.name} {level!r}".encode())
                        seed = int(np.random.SeedSequence([config.seed, case, draw]).generate_state(1, np.uint64)[0])
                        generator = torch.Generator().manual_seed(seed % 2**63)
                        yield name, subject.label, kind.name, level, draw, subject.disturbed(kind, level, generator)


def _table(rows: Sequence[tuple[Any, ...]], group: str, kind: str, level: float) -> NDArray[np.float64]:
    """Return the values of a level, (K, D)."""
    here = [row for row in rows if (row[0], row[2], row[3]) == (group, kind, level)]
    return np.array([[row[5] for row in here if row[1] == run] for run in dict.fromkeys(row[1] for row in here)])


def _read_weights(file: Path) -> dict[str, Tensor]:
    try:
        weights = torch.load(file, weights_only=True)
    except FileNotFoundError:
        raise ConfigError(f"{file} is missing: the run is not finished; continue with --resume={file.parent}") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ConfigError(f"{file} is damaged: {str(error).partition(chr(10))[0]}") from error
    if not isinstance(weights, dict) or not all(isinstance(weight, Tensor) for weight in weights.values()):
        raise ConfigError(f"{file} is damaged: it must hold tensors by name")
    return weights
