"""A training by `train_plastic.py` from its first line on the screen to its last."""

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

from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.config.schema import to_dict
from snn_plasticity_gym.learners.plastic_network import make_network
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.runs.folder import RunFolder, claimed, require_tensorboard
from snn_plasticity_gym.tasks.cue_association import CONDITIONS
from snn_plasticity_gym.trainers.bptt_learner import generator_of
from snn_plasticity_gym.trainers.bptt_session import newest
from snn_plasticity_gym.trainers.learning_loop import learn, open_log
from snn_plasticity_gym.trainers.plastic_learner import CueLearner
from snn_plasticity_gym.trainers.report_session import report_at_end
from snn_plasticity_gym.utils.device import torch_device
from snn_plasticity_gym.utils.files import atomic_path


def run_plastic(config: PlasticConfig) -> Path:
    """Train, judge the best parameters once on trials held out for it, and write everything into a run folder.

    The folder gets metrics.csv, checkpoints, weights.pt (of `PlasticNetwork`) and result.json.

    Returns:
        The run's folder.

    Raises:
        ConfigError: The run folder cannot be made, or the run to resume has had its trials.
        ValueError: The device does not exist.
    """
    with contextlib.ExitStack() as held:
        return _run(config, held)


def _run(config: PlasticConfig, held: contextlib.ExitStack) -> Path:
    began = time.perf_counter()
    require_tensorboard(config.tensorboard)
    seed = config.seed if config.seed >= 0 else secrets.randbelow(2**31)
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.resume:
        held.enter_context(claimed(config.resume))
    saved = newest(config.resume) if config.resume else None
    learner = make_learner(config, seed)
    settings = {**to_dict(config), "seed": seed, "resume": ""}
    if config.resume:
        run = RunFolder.reopen(config.resume, settings)
    else:
        run = RunFolder.create("Plastic", settings, seed=seed, name=config.run_name, root=config.run_dir)
        held.enter_context(claimed(run.path))
    metrics, logger = open_log(config, run, settings, saved["rows"] if saved else 0, bool(config.resume))
    if saved:
        learner.load_state_dict(saved["learner"])
        began -= saved["seconds"]
    sizes = "-".join(map(str, (*learner.network.weights[0].shape, learner.network.weights[1].shape[1])))
    print(f"{config.network} by {config.learner}, {sizes}, {learner.network.num_parameters} parameters: "
          f"{learner.total} trials of cue association")  # fmt: skip
    print(f"seed {seed}, device {config.device}, {torch.get_num_threads()} threads")
    print(f"run folder {run.path}" + (f", going on at {learner.episodes} trials" if saved else ""), flush=True)

    try:
        record = functools.partial(_record, config, learner, logger)
        learn(config, learner, record, metrics, Checkpoints(run.checkpoints), began)
        validation, at = learner.take_best()
        with atomic_path(run.path / "weights.pt") as temporary:
            torch.save({name: value.cpu() for name, value in learner.network.state_dict().items()}, temporary)
        result = _result(config, learner) | {"validation_accuracy": validation, "best_at": at, "seed": seed}
        result["seconds"] = time.perf_counter() - began
        run.write(run.path / "result.json", json.dumps(result, indent=2) + "\n")
        for condition in CONDITIONS:
            logger.record(f"test/{condition}", result["test"][condition]["accuracy"])
        logger.dump(learner.total)
        page = report_at_end(run.path, logger, learner.total) if config.report else None
    except KeyboardInterrupt:
        print(f"\nstopped; go on with --resume={run.path}", file=sys.stderr)
        raise
    finally:
        logger.close()
    told = ", ".join(f"{condition} {result['test'][condition]['accuracy']:.4f}" for condition in CONDITIONS)
    print(f"accuracy of the best parameters, of {at} trials, on {config.test_episodes} test trials: {told}")
    print(f"{learner.not_finite} steps left out as not finite, {result['seconds']:.0f} s, run folder {run.path}")
    if page is not None:
        print(f"report {page}")
    return run.path


def make_learner(config: PlasticConfig, seed: int) -> CueLearner:
    """Make the network and its learner, as a run with this seed begins.

    Raises:
        ValueError: The device does not exist.
    """
    device = torch_device(config.device)
    first, answers = (
        torch.Generator().manual_seed(int(generator_of(seed, stream).integers(2**62))) for stream in (0, 2)
    )
    return CueLearner(config, make_network(config, first).to(device), generator_of(seed, 1), answers)


def _result(config: PlasticConfig, learner: CueLearner) -> dict[str, Any]:
    """Judge the network by test trials as in training, and by longer rests and more cues."""
    as_trained, beyond = learner.judge("test", config.test_episodes), config.eval_episodes
    longer = {rest: learner.judge("test", beyond, rests=(rest,)) for rest in config.test_rests}
    more = {cues: learner.judge("test", beyond, cues=cues) for cues in config.test_cues}
    return {
        "network": config.network,
        "hidden_size": learner.network.weights[0].shape[1],
        "parameters": learner.network.num_parameters,
        "episodes": learner.total,
        "not_finite_steps": learner.not_finite,
        "test": {condition: judgement._asdict() for condition, judgement in as_trained.items()},
        "longer_rests": {
            rest: {condition: one.accuracy for condition, one in by.items()} for rest, by in longer.items()
        },
        "more_cues": {cues: {condition: one.accuracy for condition, one in by.items()} for cues, by in more.items()},
    }


def _record(config: PlasticConfig, learner: CueLearner, logger: Logger, seconds: float, line: bool) -> None:
    """Log what was learned since the last row, and what the network is worth by now; on stderr, too, if `line`."""
    means = learner.take_means()
    judged = learner.judge("validation", config.eval_episodes)
    accuracy = sum(one.accuracy for one in judged.values()) / len(judged)
    learner.note(accuracy)
    row = {f"train/{name}": mean for name, mean in means.items()}
    row |= {f"eval/{condition}": one.accuracy for condition, one in judged.items()}
    row |= {
        "eval/accuracy": accuracy,
        "eval/hidden_rate": sum(one.hidden_rate for one in judged.values()) / len(judged),
        "eval/output_rate": sum(one.output_rate for one in judged.values()) / len(judged),
        "train/not_finite": learner.not_finite,
        "time/episodes": learner.episodes,
        "time/seconds": seconds,
    }
    for key, number in row.items():
        logger.record(key, number)
    logger.dump(learner.episodes)
    if line:
        told = "  ".join(f"{condition} {one.accuracy:.4f}" for condition, one in judged.items())
        print(
            f"{learner.episodes:7d} of {learner.total} trials  loss {means['loss']:.4f}  "
            f"accuracy {means['accuracy']:.4f}  validation {told}  {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
