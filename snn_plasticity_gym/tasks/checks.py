"""Validation of tasks when they are made, and of their outputs at run time, with one-line errors."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from torch import Tensor

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.groups import Groups
from snn_plasticity_gym.networks.populations import Plasticity, Population, Projection
from snn_plasticity_gym.tasks.base import Outcome, StepInput, Task
from snn_plasticity_gym.utils.numbers_given import is_whole

NEEDED = ("populations", "projections", "groups", "readout", "num_steps", "record_steps", "window", "source")


def check_task(task: Any, config: EnvironmentConfig, env_id: str) -> None:
    """Check that an engine can run a task.

    Raises:
        ConfigError: It cannot; one line that names the environment.
    """
    if not isinstance(task, Task):
        raise ConfigError(f"the task of {env_id} must derive from snn_plasticity_gym.Task, got {type(task).__name__}")
    missing = [name for name in NEEDED if not hasattr(task, name)]
    if missing:
        raise ConfigError(f"the task of {env_id} must set {', '.join(missing)} in its constructor")
    problem = _problem(task, config)
    if problem:
        raise ConfigError(f"the task of {env_id}: {problem}")


def _problem(task: Task, config: EnvironmentConfig) -> str:
    """Return the error of a task; empty: none."""
    for name in ("num_steps", "record_steps", "window"):
        value = getattr(task, name)
        if not isinstance(value, int) or value < 1:
            return f"{name} must be an integer of at least 1, got {value!r}"
    if config.history_length > task.num_steps:
        return (
            f"history_length must be at most the {task.num_steps} time steps of an episode, got "
            f"{config.history_length}; lower it"
        )
    by_name: dict[str, Population] = {}
    for population in task.populations:
        if not isinstance(population, Population):
            return f"populations must be a list of Population, got {population!r}"
        if population.name in by_name:
            return f"two populations are called {population.name!r}; names must differ"
        if population.size < 1:
            return f"population {population.name!r} must have at least 1 neuron, got {population.size}"
        problem = _wrong_groups(population)
        if problem:
            return problem
        by_name[population.name] = population
    computed = [name for name, population in by_name.items() if population.lif is not None]
    if task.readout not in computed:
        return f"readout must be a population with neurons of its own ({', '.join(computed)}), got {task.readout!r}"
    return _wrong_projection(task, by_name)


def _wrong_groups(population: Population) -> str:
    """Return the error of the winner-take-all groups of a population; empty: none."""
    name, lif, groups = population.name, population.lif, population.groups
    if groups is None:
        return ""
    if lif is None:
        return f"population {name!r} has groups and no lif; give it LIFParams for its potentials"
    if not isinstance(groups, Groups):
        return f"groups of population {name!r} must be Groups(size, width), got {groups!r}"
    size, width = groups
    if not is_whole(size) or size < 2 or population.size % size:
        return (
            f"groups of population {name!r} must have at least 2 neurons and divide its {population.size}, got {size!r}"
        )
    # A number of Python or NumPy: compiled loops take no tensor.
    if not isinstance(width, int | float | np.integer | np.floating) or not (width > 0 and math.isfinite(width)):
        return f"groups of population {name!r} must have a positive, finite width, got {width!r}"
    if lif.refractory or lif.theta_plus or lif.one_spike:
        return (
            f"population {name!r} has groups, whose neurons have no refractory period, adaptive threshold or "
            "one_spike; leave them out of its LIFParams"
        )
    return ""


def _wrong_projection(task: Task, by_name: dict[str, Population]) -> str:
    names = [projection.name for projection in task.projections]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        return f"two projections are called {twice[0]!r}; names must differ"
    order = list(by_name)
    for projection in task.projections:
        problem = _wrong_ends(projection, by_name, order)
        if problem:
            return problem
        plasticity = projection.plasticity
        if plasticity is not None:
            if projection.one_to_one:
                return f"projection {projection.name!r} is one to one, whose weight is fixed, so it cannot be plastic"
            if not 0 <= plasticity.group < len(task.groups):
                return (
                    f"projection {projection.name!r} has plasticity group {plasticity.group}, and groups names "
                    f"{len(task.groups)} ({', '.join(task.groups)})"
                )
            if not plasticity.w_min < plasticity.w_max:
                return (
                    f"projection {projection.name!r} must have w_min < w_max, got {plasticity.w_min} and "
                    f"{plasticity.w_max}"
                )
            problem = _beyond_clips(projection, plasticity, by_name[projection.source].size)
            if problem:
                return problem
    if all(projection.plasticity is None for projection in task.projections):
        return "no projection has a plasticity, so there is nothing to learn; give at least one a Plasticity"
    return ""


def _beyond_clips(projection: Projection, plasticity: Plasticity, n_pre: int) -> str:
    """Return the error of a projection's weights that exceed its clips; empty: none."""
    name, low, high = projection.name, plasticity.w_min, plasticity.w_max
    if not callable(projection.initial) and not low <= projection.initial[0] <= projection.initial[1] <= high:
        return f"initial weights of projection {name!r} must lie in [{low:g}, {high:g}], got {projection.initial}"
    most = max(abs(low), abs(high)) * (n_pre - (not projection.autapses)) ** (1.0 / projection.norm_order)
    if projection.weight_norm > most:
        return (
            f"weight_norm of projection {name!r} must be at most {most:g}, that of {n_pre} weights at their clips, got "
            f"{projection.weight_norm:g}; lower it, or widen w_min and w_max"
        )
    return ""


def _wrong_ends(projection: Projection, by_name: dict[str, Population], order: list[str]) -> str:
    for end in (projection.source, projection.target):
        if end not in by_name:
            return f"projection {projection.name!r} names an unknown population {end!r}; known: {', '.join(by_name)}"
    source, target = by_name[projection.source], by_name[projection.target]
    if target.lif is None:
        return f"projection {projection.name!r} leads into {target.name!r}, an input population"
    if projection.one_to_one and source.size != target.size:
        return (
            f"projection {projection.name!r} is one to one, so its ends must have the same size, got {source.size} and "
            f"{target.size}"
        )
    if not projection.recurrent and order.index(source.name) >= order.index(target.name):
        return (
            f"projection {projection.name!r} leads back from {source.name!r} to {target.name!r}; make it "
            "recurrent=True, or list its source before its target in populations"
        )
    if not projection.autapses and source.size != target.size:
        return f"projection {projection.name!r} without autapses must join a population to one of its own size"
    return ""


def has_factor(task: Task, modulation: str) -> bool:
    """Whether a task has a third factor.

    Raises:
        ConfigError: It has none, but modulation needs one.
    """
    has_factors = bool(task.factors())
    if modulation == "factor" and not has_factors:
        raise ConfigError(
            "modulation factor needs a third_factor, and this environment has none; set third_factor where there is "
            "such a setting, or another modulation"
        )
    return has_factors or "factor" in task.scalars


def check_input(given: Any, task: Task, num_rows: int) -> StepInput:
    """Check the output of `Task.input`: spikes of every input population and currents into others.

    Raises:
        ConfigError: A part is missing or has another shape.
    """
    if not isinstance(given, StepInput):
        raise ConfigError(f"input() of {type(task).__name__} must return a StepInput, got {type(given).__name__}")
    for population in task.populations:
        name, shape = population.name, (num_rows, population.size)
        if population.lif is None:
            _check_shape(given.spikes.get(name), shape, f"input() of {type(task).__name__}: spikes of {name!r}")
        elif name in given.currents:
            _check_shape(given.currents[name], shape, f"input() of {type(task).__name__}: currents into {name!r}")
        if name in given.deaf:
            what = f"input() of {type(task).__name__}: deaf neurons of {name!r}"
            _check_shape(given.deaf[name], shape, what)
            if population.lif is None or population.lif.refractory <= 0:
                raise ConfigError(f"{what} need a refractory period, which does not end for them; there is none")
    names = {population.name for population in task.populations}
    for name in [*given.spikes, *given.currents, *given.deaf]:
        if name not in names:
            raise ConfigError(
                f"input() of {type(task).__name__} names an unknown population {name!r}; known: {', '.join(names)}"
            )
    return given


def check_outcome(outcome: Any, task: Task) -> Outcome:
    """Check the output of `Task.outcome`.

    Raises:
        ConfigError: A part has a wrong type or shape.
    """
    where = f"outcome() of {type(task).__name__}"
    if not isinstance(outcome, Outcome):
        raise ConfigError(f"{where} must return an Outcome or None, got {type(outcome).__name__}")
    shape = outcome.rows.shape
    for name in ("reward", "terminated", "truncated"):
        _check_shape(getattr(outcome, name), shape, f"{where}: {name}")
    for name, values in outcome.terms.items():
        _check_shape(values, shape, f"{where}: term {name!r}")
    return outcome


def _check_shape(values: Any, shape: tuple[int, ...], what: str) -> None:
    if not isinstance(values, Tensor):
        raise ConfigError(f"{what} must be a tensor of shape {tuple(shape)}, got {type(values).__name__}")
    if values.shape != shape:
        raise ConfigError(f"{what} must have shape {tuple(shape)}, got {tuple(values.shape)}")
