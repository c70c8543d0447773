"""Evaluation methods ("judges") by name; a task names its method as `judge_by`.

returns     any task: return of fresh episodes with frozen weights, before and after learning
classifier  output neuron k is class k: accuracy on held-out images
labels      neurons get labels from images excluded from learning, and classify held-out images by them
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.schema import ConfigError, setting_fields, unknown
from snn_plasticity_gym.evaluation.task_facts import judge_of
from snn_plasticity_gym.trainers.sessions.evaluation_session import run_evaluation
from snn_plasticity_gym.trainers.sessions.returns_session import run_returns
from snn_plasticity_gym.trainers.sessions.unsupervised_session import run_unsupervised
from snn_plasticity_gym.utils.distributed import World


class Judge(NamedTuple):
    """One evaluation method for rules."""

    run: Callable[[EvaluateConfig, Any, World], dict[str, Any]]  # evaluates, prints, writes; returns results by rule
    settings: tuple[str, ...] = ()  # of `EvaluateConfig` that apply to this judge, though not to all
    needs: tuple[str, ...] = ()  # settings that the environment must have


JUDGES = {
    "returns": Judge(run_returns),
    "classifier": Judge(run_evaluation, ("bptt", "test_split"), ("alpha_softmax", "num_steps", "max_rate", "dataset")),
    "labels": Judge(run_unsupervised, ("label_images", "test_split"), ("num_steps", "max_rate", "dataset")),
}
OWN = {name for judge in JUDGES.values() for name in judge.settings}


def run_judge(config: EvaluateConfig, env_config: EnvironmentConfig, world: World) -> dict[str, Any]:
    """Evaluate rules by the judge of the environment's task; print and write the requested results.

    Args:
        config: Settings of the evaluation.
        env_config: Settings of the environment.
        world: The processes that share the networks; the first prints, writes and returns the results of all.

    Raises:
        ConfigError: A rule is unknown or does not fit, or a setting does not apply to the judge.
        FileNotFoundError: A data set is not found.
    """
    kind = judge_of(config.env, env_config)
    if kind not in JUDGES:
        raise ConfigError(f"{unknown('judge', kind, JUDGES)}; the task of {config.env} names it as judge_by")
    judge = JUDGES[kind]
    offered = {info.name for info in setting_fields(type(env_config))}
    missing = [needed for needed in judge.needs if needed not in offered]
    if missing:
        raise ConfigError(
            f"the judge {kind} needs an environment with the settings {', '.join(missing)}, {config.env} has none; let "
            "its task say judge_by = 'returns'"
        )
    applicable = {*judge.settings, *(("test_split",) if env_config.held_out(config.test_split) else ())}
    for info in setting_fields(type(config)):
        if info.name in OWN - applicable and getattr(config, info.name) != info.default:
            owners = [one for one, other in JUDGES.items() if info.name in other.settings]
            raise ConfigError(
                f"{info.name} is a setting for what is judged by {' or '.join(owners)}, not for {config.env}, which is "
                f"judged by {kind}; leave it out"
            )
    world.share(config.networks, "networks")  # refused before anything is read or made
    if config.threads:
        torch.set_num_threads(config.threads)
    return judge.run(config, env_config, world)
