"""A training by `train_svpg.py` from its first line on the screen to its last."""

from __future__ import annotations

import contextlib
import functools
import json
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from stable_baselines3.common.logger import Logger

from snn_plasticity_gym.config.schema import to_dict
from snn_plasticity_gym.config.svpg import SVPGConfig
from snn_plasticity_gym.learners.svpg_agents import make_agent
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.runs.folder import RunFolder, claimed, require_tensorboard
from snn_plasticity_gym.tasks.datasets import load_dataset
from snn_plasticity_gym.tasks.image_sets import PARTS
from snn_plasticity_gym.trainers.bptt_learner import generator_of
from snn_plasticity_gym.trainers.bptt_session import newest
from snn_plasticity_gym.trainers.learning_loop import learn, open_log
from snn_plasticity_gym.trainers.report_session import report_at_end
from snn_plasticity_gym.trainers.svpg_learner import ImageLearner, Learner
from snn_plasticity_gym.trainers.svpg_worlds import EPISODES, ActingWorld, WorldLearner
from snn_plasticity_gym.utils.device import torch_device
from snn_plasticity_gym.utils.files import atomic_path


class Training(NamedTuple):
    """What learns, and what it is called."""

    learner: Learner
    task: str
    sizes: str
    dataset: dict[str, Any] | None


def run_svpg(config: SVPGConfig) -> Path:
    """Train, judge the best weights once on what was held out for it, and write everything into a run folder.

    The folder gets metrics.csv, checkpoints, weights.pt (tensors by name) and result.json.

    Returns:
        The run's folder.

    Raises:
        ConfigError: The run folder cannot be made, the run to resume has had its episodes, or the world is not what
            the settings say.
        ValueError: The data are damaged, or the device does not exist.
        FileNotFoundError: The data set cannot be had.
    """
    with contextlib.ExitStack() as held, _without_denormals():
        return _run(config, held)


@contextlib.contextmanager
def _without_denormals() -> Iterator[None]:
    """Let the processor take rates next to zero for zero, which else slow it down; then as it was."""
    flushes = float(torch.tensor(2.0**-130) * 0.5) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushes)


def _run(config: SVPGConfig, held: contextlib.ExitStack) -> Path:
    began = time.perf_counter()
    require_tensorboard(config.tensorboard)
    seed = config.seed if config.seed >= 0 else secrets.randbelow(2**31)
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.resume:
        held.enter_context(claimed(config.resume))
    saved = newest(config.resume) if config.resume else None
    training = make_training(config, seed)
    learner = training.learner
    settings = {**to_dict(config), "seed": seed, "resume": ""}
    if config.resume:
        run = RunFolder.reopen(config.resume, settings)
    else:
        run = RunFolder.create(
            "SVPG", settings, seed=seed, name=config.run_name, root=config.run_dir, dataset=training.dataset
        )
        held.enter_context(claimed(run.path))
    metrics, logger = open_log(config, run, settings, saved["rows"] if saved else 0, bool(config.resume))
    if saved:
        learner.load_state_dict(saved["learner"])
        began -= saved["seconds"]
    print(f"SVPG, {config.rule}, {training.sizes}: {learner.total} episodes of {training.task}")
    print(f"seed {seed}, device {config.device}, {torch.get_num_threads()} threads")
    print(f"run folder {run.path}" + (f", going on at {learner.episodes} episodes" if saved else ""), flush=True)

    try:
        record = functools.partial(_record, config, learner, logger)
        learn(config, learner, record, metrics, Checkpoints(run.checkpoints), began)
        validation, at = learner.take_best()
        with atomic_path(run.path / "weights.pt") as temporary:
            torch.save({name: weight.detach().cpu() for name, weight in learner.agent.weights.items()}, temporary)
        test = learner.judge("test")
        seconds = time.perf_counter() - began
        result = {
            "test": test,
            "validation": validation,
            "best_at": at,
            "episodes": learner.total,
            "seconds": seconds,
            "seed": seed,
        }
        run.write(run.path / "result.json", json.dumps(result, indent=2) + "\n")
        logger.record(f"test/{_measure(config)}", test)
        logger.dump(learner.total)
        page = report_at_end(run.path, logger, learner.total) if config.report else None
    except KeyboardInterrupt:
        print(f"\nstopped; go on with --resume={run.path}", file=sys.stderr)
        raise
    finally:
        logger.close()
    print(f"{_measure(config)} of the best weights, of {at} episodes: validation {validation:.4f}, test {test:.4f}")
    print(f"{seconds:.0f} s, run folder {run.path}")
    if page is not None:
        print(f"report {page}")
    return run.path


def make_training(config: SVPGConfig, seed: int) -> Training:
    """Make the task and the agent of some settings, as a run with this seed begins.

    Raises:
        As `run_svpg`.
    """
    device = torch_device(config.device)
    first = torch.Generator().manual_seed(int(generator_of(seed, 0).integers(2**62)))
    order = generator_of(seed, 1)
    noise = torch.Generator(device).manual_seed(int(generator_of(seed, 2).integers(2**62)))
    if config.world:
        most = max(config.batch_size, config.eval_episodes or EPISODES["validation"],
                   config.test_episodes or EPISODES["test"])  # fmt: skip
        world = ActingWorld(config, most, device)
        agent = make_agent(config, world.num_inputs, world.num_actions, first, noise, device)
        sizes = _sizes(config, world.num_inputs, world.num_actions)
        return Training(WorldLearner(config, agent, world, order, noise), config.world, sizes, None)
    data = load_dataset(config.dataset, config.data_dir)
    pixels = data.train.images[0].numel()
    agent = make_agent(config, pixels, data.num_classes, first, noise, device)
    parts = {name: data.split(name) for name in PARTS}
    learner = ImageLearner(config, agent, parts, order, noise, device)
    return Training(learner, data.name, _sizes(config, pixels, data.num_classes), data.manifest("train"))


def _sizes(config: SVPGConfig, num_inputs: int, num_actions: int) -> str:
    if config.rule in ("mlp", "bptt"):
        return f"{num_inputs}-{config.hidden_size}-{num_actions}"
    hidden = f"{config.hidden_groups}x{config.group_size}-" if config.hidden_groups else ""
    return f"{num_inputs}-{hidden}{num_actions}"


def _measure(config: SVPGConfig) -> str:
    return "return" if config.world else "accuracy"


def _record(config: SVPGConfig, learner: Learner, logger: Logger, seconds: float, line: bool) -> None:
    """Log what was earned since the last row, and what the agent is worth by now; on stderr, too, if `line`."""
    means = learner.take_means()
    value = learner.judge("validation")
    learner.note(value)
    row = {f"train/{name}": mean for name, mean in means.items()}
    row |= {f"eval/{_measure(config)}": value, "time/episodes": learner.episodes, "time/seconds": seconds}
    for key, number in row.items():
        logger.record(key, number)
    logger.dump(learner.episodes)
    if line:
        print(
            f"{learner.episodes:7d} of {learner.total} episodes  reward {means['reward']:.4f}  "
            f"validation {value:.4f}  {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
