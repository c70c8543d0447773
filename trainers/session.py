"""A training from its first line on the screen to its last: what all training programs have in common."""

from __future__ import annotations

import resource
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback

from snn_plasticity_gym.agents.on_policy import EventLearner, flat_face
from snn_plasticity_gym.agents.saved import load_policy, transfer
from snn_plasticity_gym.config.environments import EnvironmentConfig
from snn_plasticity_gym.config.schema import to_dict
from snn_plasticity_gym.config.training import LearnerConfig, TrainingConfig
from snn_plasticity_gym.evaluation.reward import JUDGE_SEED, RewardReport, reward_of
from snn_plasticity_gym.tracking import RunFolder, atomic_path, make_logger
from snn_plasticity_gym.trainers.callbacks import CheckpointEveryImages, ProgressLines
from snn_plasticity_gym.wandb_writer import start_wandb
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env


def run_training(
    config: LearnerConfig, env_config: EnvironmentConfig, algorithm: Callable[..., EventLearner], **arguments: Any
) -> Path:
    """Train, judge before and after, and write everything into a run folder.

    Args:
        config: Settings of the trainer.
        env_config: Settings of the environment.
        algorithm: `EventA2C` or `EventPPO`.
        arguments: What this algorithm needs beyond the settings that all have.

    Returns:
        The run's folder.

    Raises:
        ConfigError: The run folder cannot be made.
        ValueError: The data are damaged, or the device does not exist.
        FileNotFoundError: The data set cannot be had.
    """
    began = time.perf_counter()
    seed = config.seed if config.seed >= 0 else secrets.randbelow(2**31)
    if config.threads:
        torch.set_num_threads(config.threads)
    start = load_policy(config.init_policy, env_config.device) if config.init_policy else None
    env = make_sb3_env(config.env, config.num_envs, **to_dict(env_config))
    engine = flat_face(env).engine
    model = algorithm("PlasticityPolicy", env, seed=seed, **_learner_arguments(config, env_config), **arguments)
    if start is not None:
        transfer(start, model.policy)
    settings = {**to_dict(config), **to_dict(env_config), "seed": seed}
    dataset = engine.dataset.manifest(env_config.split)
    run = RunFolder.create(config.env, settings, seed=seed, name=config.run_name, root=config.run_dir, dataset=dataset)
    writer = start_wandb(config.wandb, run, settings, config.wandb_project)
    model.set_logger(make_logger(run, writer))
    print(_plan(config, engine.dataset.name, env_config, seed, run))

    before = _judge(model, config, env_config)
    images_per_rollout = model.n_steps * config.num_envs
    images = -(-config.images // images_per_rollout) * images_per_rollout
    bar = config.progress and sys.stderr.isatty()
    try:
        model.learn(
            images * env_config.num_steps,
            callback=_callbacks(config, run, images, bar),
            log_interval=1,
            progress_bar=bar,
        )
    except KeyboardInterrupt:
        run.checkpoints.mkdir(exist_ok=True)
        with atomic_path(run.checkpoints / "interrupted.zip") as path:
            model.save(path)
        print(f"\nInterrupted; the policy so far is in {run.checkpoints / 'interrupted.zip'}", file=sys.stderr)
        raise
    finally:
        model.logger.dump(model.num_timesteps)
        if sys.exc_info()[0] is not None:
            model.logger.close()
    with atomic_path(run.final) as path:
        model.save(path)
    after = _judge(model, config, env_config)
    for name, report in (("before", before), ("after", after)):
        for key, value in report.as_dict().items() if report else ():
            model.logger.record(f"eval_{name}/{key}", value)
    model.logger.dump(model.num_timesteps)
    model.logger.close()
    print(_outcome(before, after, time.perf_counter() - began, run))
    return run.path


def _learner_arguments(config: LearnerConfig, env_config: EnvironmentConfig) -> dict[str, Any]:
    """Translate the settings that all learners have into their arguments."""
    same: tuple[str, ...] = ("learning_rate", "gamma", "events_per_image", "normalize_advantage", "ent_coef", "vf_coef")
    same += ("max_grad_norm", "loss_weighting", "normalize_returns")
    same += ("exploration", "perturb", "advantage", "mirrored", "rule_learning_rate", "baseline")
    same += ("credit_horizon", "gamma_lifetime", "credit_from")
    return {
        **{name: getattr(config, name) for name in same},
        "n_steps": config.images_per_update,
        "device": env_config.device,
        "policy_kwargs": {
            "sigma": config.sigma,
            "hidden_sizes": config.head_sizes,
            "use_kind": env_config.event_kinds == "feature",
            "critic_lr_scale": config.critic_learning_rate / config.learning_rate,
        },
    }


def _callbacks(config: TrainingConfig, run: RunFolder, images: int, bar: bool) -> list[BaseCallback]:
    callbacks: list[BaseCallback] = []
    if config.checkpoint_every:
        callbacks.append(CheckpointEveryImages(run, config.checkpoint_every))
    if config.progress and not bar:
        callbacks.append(ProgressLines(images))
    return callbacks


def _judge(model: EventLearner, config: TrainingConfig, env_config: EnvironmentConfig) -> RewardReport | None:
    if not config.eval_images:
        return None
    rule = model.policy.frozen(env_config.history_length)
    return reward_of(rule, config.env, env_config, config.num_envs, config.eval_images, JUDGE_SEED)


def _plan(config: TrainingConfig, dataset: str, env_config: EnvironmentConfig, seed: int, run: RunFolder) -> str:
    return (
        f"{config.env}: {config.images} images of {dataset}, {config.num_envs} lifetimes side by side, "
        f"{env_config.num_steps} steps an image\n"
        f"seed {seed}, device {env_config.device}, {torch.get_num_threads()} threads\n"
        f"run folder {run.path}"
    )


def _outcome(before: RewardReport | None, after: RewardReport | None, seconds: float, run: RunFolder) -> str:
    lines = []
    if before and after:
        names = list(dict.fromkeys([*before.terms, *after.terms]))
        lines.append(f"reward on {after.num_images} held-out images, fresh networks, no exploration:")
        lines.append(f"  {'':20}{'before':>12}{'after':>12}")
        lines.append(f"  {'reward':20}{before.reward:12.4g}{after.reward:12.4g}")
        for name in names:
            values = (report.terms.get(name, float("nan")) for report in (before, after))
            lines.append(f"  {name:20}" + "".join(f"{value:12.4g}" for value in values))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # KiB on Linux
    lines.append(f"{seconds:.0f} s, peak memory {peak:.1f} GiB")
    lines.append(f"run folder {run.path}")
    return "\n".join(lines)
