"""Session of an evolution of weights."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from stable_baselines3.common.logger import Logger

from snn_plasticity_gym.config.control import ControlConfig
from snn_plasticity_gym.config.evolve import EvolveConfig
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.learners.weight_evolution import WeightEvolution
from snn_plasticity_gym.networks.given_weights import WEIGHTS
from snn_plasticity_gym.report.champion_section import FAME, RESULT
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.runs.folder import RunFolder, claimed
from snn_plasticity_gym.runs.metrics import MetricsCSV
from snn_plasticity_gym.tasks.met_observations import RANGES
from snn_plasticity_gym.trainers.sessions.callbacks import next_multiple
from snn_plasticity_gym.trainers.sessions.interrupts import StopRequest
from snn_plasticity_gym.trainers.sessions.opening import open_log, open_run, prepare
from snn_plasticity_gym.trainers.sessions.progress import TrainingBar
from snn_plasticity_gym.trainers.sessions.report_session import report_at_end
from snn_plasticity_gym.utils.distributed import World, joined_processes
from snn_plasticity_gym.utils.files import atomic_path


def run_evolution(config: EvolveConfig, env_config: ControlConfig) -> Path:
    """Evolve, test, and write everything into a run folder.

    The folder gets metrics.csv, checkpoints, weights.safetensors (of the champion, by projection), hall_of_fame.json
    and result.json.

    Returns:
        The run's folder.

    Raises:
        ConfigError: The run folder cannot be made, or settings conflict.
        LostProcessError: Another process of the run has ended.
    """
    with joined_processes(env_config.device) as world, contextlib.ExitStack() as held:
        return _run(config, env_config, world, held)


def _run(config: EvolveConfig, env_config: ControlConfig, world: World, held: contextlib.ExitStack) -> Path:
    began = time.perf_counter()
    seed = world.broadcast(prepare(config))
    if config.resume and not world.rank:
        held.enter_context(claimed(config.resume))
    saved = world.broadcast(None if world.rank or not config.resume else _newest(config))
    evolution = WeightEvolution(config, env_config, seed, world)
    if saved:
        evolution.load_state_dict(saved["evolution"])
        began -= saved["seconds"]
    if world.rank:
        path: Path = world.broadcast(None)
        with StopRequest(silent=True) as stop:
            for _ in evolution.generations():
                if world.any(stop.requested):
                    raise KeyboardInterrupt
        return path
    settings = {**to_dict(config), **to_dict(env_config), "seed": seed, "resume": ""}
    run = open_run(config, config.env, settings, config.resume, evolution.evaluator.task.manifest())
    if not config.resume:
        held.enter_context(claimed(run.path))
    world.broadcast(run.path)
    metrics, logger = open_log(config, run, settings, saved["rows"] if saved else 0, bool(config.resume))
    print(_plan(config, evolution, seed, world, run), flush=True)
    try:
        _evolve(config, evolution, world, logger, metrics, Checkpoints(run.checkpoints), began)
        result = _finish(run, evolution, time.perf_counter() - began, seed)
        for name, value in result["last_test"].items():
            logger.record(f"last_test/{name}", value)
        logger.dump(evolution.steps)
        page = report_at_end(run.path, logger, evolution.steps) if config.report else None
    except KeyboardInterrupt:
        print(f"\nstopped; continue with --resume={run.path}", file=sys.stderr)
        raise
    finally:
        logger.close()
        evolution.close()
    print(*_last_lines(result, config, run, page), sep="\n")
    return run.path


def _newest(config: EvolveConfig) -> dict[str, Any] | None:
    """Return the newest checkpoint of the run to resume; None: a new run.

    Raises:
        ConfigError: The run is complete.
    """
    run = RunFolder(config.resume)
    if (run.path / RESULT).exists():
        done = json.loads((run.path / RESULT).read_text(encoding="utf-8"))["episodes"]
        if done >= config.episodes:
            raise ConfigError(f"{run.path} has had its {done} episodes; continue with larger --episodes")
    return Checkpoints(run.checkpoints).take_up()


def _plan(config: EvolveConfig, evolution: WeightEvolution, seed: int, world: World, run: RunFolder) -> str:
    task = evolution.evaluator.task
    sizes = "-".join(str(population.size) for population in task.populations)
    spread = f"{world.size} processes, " if world.size > 1 else ""
    resumed = f", resumed at {evolution.episodes} episodes" if evolution.generation else ""
    return (
        f"{config.env}: {config.strategy} over {evolution.size} weights of {sizes} neurons that act in {task.source}, "
        f"{config.episodes} episodes\n"
        f"{spread}seed {seed}, {config.population} individuals a generation, {torch.get_num_threads()} threads\n"
        f"run folder {run.path}{resumed}"
    )


def _evolve(
    config: EvolveConfig,
    evolution: WeightEvolution,
    world: World,
    logger: Logger,
    metrics: MetricsCSV,
    checkpoints: Checkpoints,
    began: float,
) -> None:
    """Evolve until all episodes are done; log a row and, where due, a checkpoint each generation."""
    next_checkpoint = next_multiple(evolution.episodes, config.checkpoint_every)
    bar_shown = config.progress and sys.stderr.isatty()
    last_print = time.perf_counter()
    with StopRequest() as stop, TrainingBar(config.episodes, evolution.episodes, shown=bar_shown) as bar:
        for row in evolution.generations():
            last = evolution.finished
            if last or (config.test_every and evolution.generation % config.test_every == 0):
                row |= {f"test/{name}": value for name, value in evolution.test().items()}
            seconds = time.perf_counter() - began
            row |= {"time/episodes": evolution.episodes, "time/seconds": seconds, "time/steps": evolution.steps}
            for name, value in row.items():
                logger.record(name, value)
            logger.dump(evolution.steps)
            best = "" if evolution.champion is None else f", best test {evolution.champion.value:.1f}"
            bar.show(evolution.episodes, f"return {row['train/return']:.1f}{best}")
            if config.progress and not bar_shown and (last or time.perf_counter() - last_print > 5.0):
                last_print = time.perf_counter()
                print(
                    f"{evolution.episodes:7d} of {config.episodes} episodes  return {row['train/return']:.1f}{best}  "
                    f"{seconds:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
            stop_requested = world.any(stop.requested)
            if stop_requested or last or (config.checkpoint_every and evolution.episodes >= next_checkpoint):
                state = {"evolution": evolution.state_dict(), "rows": metrics.rows, "seconds": seconds}
                if checkpoints.attempt(evolution.episodes, state):
                    next_checkpoint = next_multiple(evolution.episodes, config.checkpoint_every)
            if stop_requested:
                raise KeyboardInterrupt


def _finish(run: RunFolder, evolution: WeightEvolution, seconds: float, seed: int) -> dict[str, Any]:
    """Test the champion and write the results; return them."""
    assert evolution.champion is not None
    with atomic_path(run.path / WEIGHTS) as path:
        save_file(evolution.weights(evolution.champion.coordinates), path)
    if evolution.champion.ranges is not None:
        run.write(run.path / RANGES, json.dumps(evolution.champion.ranges) + "\n")
    fame = [one._asdict() for one in evolution.fame]
    run.write(run.path / FAME, json.dumps(fame) + "\n")
    result = {
        "champion": {"generation": evolution.champion.generation, "test_return": evolution.champion.value},
        "last_test": evolution.last_test(),
        "episodes": evolution.episodes,
        "steps": evolution.steps,
        "generations": evolution.generation,
        "seconds": seconds,
        "seed": seed,
    }
    run.write(run.path / RESULT, json.dumps(result, indent=2) + "\n")
    return result


def _last_lines(result: dict[str, Any], config: EvolveConfig, run: RunFolder, page: Path | None) -> list[str]:
    test, champion = result["last_test"], result["champion"]
    return [
        f"best: the centre after generation {champion['generation']}; return in {config.test_episodes} test episodes "
        f"{test['return']:.1f} (min {test['return_least']:.1f}, SD {test['return_spread']:.1f}) in "
        f"{test['steps']:.1f} steps; {100 * test['terminated']:.0f} % of them terminated",
        f"{result['seconds']:.0f} s, {result['steps']:,} environment steps",
        f"run folder {run.path}",
        *([] if page is None else [f"report {page}"]),
    ]
