"""A BPTT training from its first line on the screen to its last."""

from __future__ import annotations

import contextlib
import functools
import json
import secrets
import sys
import time
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.logger import Logger

from snn_plasticity_gym.config.bptt import BPTTConfig
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.runs.folder import RunFolder, claimed, require_tensorboard
from snn_plasticity_gym.tasks.datasets import ImageSet, load_dataset
from snn_plasticity_gym.trainers.bptt_learner import Learner, SpikingClassifier, generator_of
from snn_plasticity_gym.trainers.learning_loop import learn, open_log
from snn_plasticity_gym.trainers.report_session import report_at_end
from snn_plasticity_gym.utils.device import torch_device


def run_bptt(config: BPTTConfig) -> Path:
    """Train, evaluate on the test images, and write everything into a run folder.

    The folder gets metrics.csv, checkpoints, weights.pt (`SpikingClassifier.save`) and result.json.

    Returns:
        The run's folder.

    Raises:
        ConfigError: The run folder cannot be made, or the run to resume has had its episodes.
        ValueError: The data are damaged, or the device does not exist.
        FileNotFoundError: The data set cannot be had.
    """
    with contextlib.ExitStack() as held:
        return _run(config, held)


def _run(config: BPTTConfig, held: contextlib.ExitStack) -> Path:
    began = time.perf_counter()
    require_tensorboard(config.tensorboard)
    seed = config.seed if config.seed >= 0 else secrets.randbelow(2**31)
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.resume:
        held.enter_context(claimed(config.resume))
    saved = newest(config.resume) if config.resume else None
    device = torch_device(config.device)
    data = load_dataset(config.dataset, config.data_dir)
    settings = {**to_dict(config), "seed": seed, "resume": ""}
    if config.resume:
        run = RunFolder.reopen(config.resume, settings)
    else:
        run = RunFolder.create(
            "BPTT", settings, seed=seed, name=config.run_name, root=config.run_dir, dataset=data.manifest("train")
        )
        held.enter_context(claimed(run.path))
    metrics, logger = open_log(config, run, settings, saved["rows"] if saved else 0, bool(config.resume))
    model = SpikingClassifier(config, data.train.images[0].numel(), data.num_classes, generator_of(seed, 0), device)
    learner = Learner(config, model, data.train, seed)
    if saved:
        learner.load_state_dict(saved["learner"])
        began -= saved["seconds"]
    total = learner.total
    sizes = "-".join(str(size) for size in (data.train.images[0].numel(), *config.hidden_sizes, data.num_classes))
    print(f"BPTT, {sizes}: {total} episodes of {data.name}, {config.num_steps} steps an episode")
    print(f"seed {seed}, device {config.device}, {torch.get_num_threads()} threads")
    print(f"run folder {run.path}" + (f", going on at {learner.episodes} episodes" if saved else ""), flush=True)

    try:
        record = functools.partial(_record, config, learner, data.validation, logger)
        learn(config, learner, record, metrics, Checkpoints(run.checkpoints), began)
        model.save(run.path / "weights.pt")
        validation, test = (model.judge(part, config.eval_episodes) for part in (data.validation, data.test))
        seconds = time.perf_counter() - began
        result = {
            "test_accuracy": test.accuracy,
            "test_loss": test.loss,
            "validation_accuracy": validation.accuracy,
            "validation_loss": validation.loss,
            "test_episodes": min(config.eval_episodes or len(data.test.labels), len(data.test.labels)),
            "episodes": total,
            "seconds": seconds,
            "seed": seed,
        }
        run.write(run.path / "result.json", json.dumps(result, indent=2) + "\n")
        logger.record("test/accuracy", test.accuracy)
        logger.record("test/loss", test.loss)
        logger.dump(total * config.num_steps)
        page = report_at_end(run.path, logger, total * config.num_steps) if config.report else None
    except KeyboardInterrupt:
        print(f"\nstopped; go on with --resume={run.path}", file=sys.stderr)
        raise
    finally:
        logger.close()
    print(f"accuracy on {result['test_episodes']} test images {test.accuracy:.4f}, loss {test.loss:.4f}")
    print(f"{seconds:.0f} s, run folder {run.path}")
    if page is not None:
        print(f"report {page}")
    return run.path


def newest(folder: str) -> dict[str, Any] | None:
    """Return the newest checkpoint of a run that is not finished; None: it begins anew."""
    run = RunFolder(folder)
    if (run.path / "result.json").exists():
        raise ConfigError(f"{run.path} has had its episodes; start another run")
    return Checkpoints(run.checkpoints).take_up()


def _record(
    config: BPTTConfig, learner: Learner, validation: ImageSet, logger: Logger, seconds: float, line: bool
) -> None:
    """Log what was learned since the last row, and what the network is worth by now; on stderr, too, if `line`."""
    loss, accuracy = learner.take_means()
    judgement = learner.model.judge(validation, config.eval_episodes)
    row = {
        "train/loss": loss,
        "train/accuracy": accuracy,
        "eval/loss": judgement.loss,
        "eval/accuracy": judgement.accuracy,
        "time/episodes": learner.episodes,
        "time/seconds": seconds,
        **{f"eval/rate_{layer}": rate for layer, rate in enumerate(judgement.rates, start=1)},
    }
    for key, value in row.items():
        logger.record(key, value)
    logger.dump(learner.episodes * config.num_steps)
    if line:
        print(
            f"{learner.episodes:7d} of {learner.total} episodes  loss {loss:.4f}  accuracy {accuracy:.4f}  "
            f"validation {judgement.accuracy:.4f}  {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
