"""Session of a training of a plasticity rule, shared by train_a2c, train_ppo and train_es."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from snn_plasticity_gym.config.environments import EnvironmentConfig, Unsup2Config
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.config.training import LearnerConfig, SearchConfig, TrainingConfig
from snn_plasticity_gym.evaluation.reward import JUDGE_SEED, RewardReport, check_images, reward_of
from snn_plasticity_gym.learners.arguments import keyword_settings
from snn_plasticity_gym.learners.environment import plasticity_env
from snn_plasticity_gym.learners.on_policy import EventLearner
from snn_plasticity_gym.policies.rule_description import describe
from snn_plasticity_gym.policies.rule_files import DESCRIPTION, read_description, save_rule
from snn_plasticity_gym.rules.distilled import format_formula
from snn_plasticity_gym.runs.checkpoints import Checkpoints
from snn_plasticity_gym.runs.folder import (
    RunFolder,
    claimed,
    package_versions,
)
from snn_plasticity_gym.runs.metrics import MetricsCSV
from snn_plasticity_gym.tasks.base import Task
from snn_plasticity_gym.tasks.control import ControlTask
from snn_plasticity_gym.tasks.met_observations import RANGES, check_one_process, with_ranges_of
from snn_plasticity_gym.trainers.sessions.callbacks import ProgressBar, ProgressLines, SaveCheckpoints, SigmaSchedule
from snn_plasticity_gym.trainers.sessions.closing import baseline_rules, formula_lines, reward_table
from snn_plasticity_gym.trainers.sessions.interrupts import StopRequest
from snn_plasticity_gym.trainers.sessions.opening import open_log, open_run, prepare
from snn_plasticity_gym.trainers.sessions.report_session import report_at_end
from snn_plasticity_gym.trainers.sessions.starting import begin, imitation_line, read_start
from snn_plasticity_gym.utils.distributed import LostProcessError, World, joined_processes
from snn_plasticity_gym.utils.files import atomic_path
from snn_plasticity_gym.utils.nonfinite import NotFiniteError
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env


def run_training(config: SearchConfig, env_config: EnvironmentConfig, algorithm: type[EventLearner]) -> Path:
    """Train, evaluate before and after, and write everything into a run folder.

    Args:
        config: Settings of the trainer.
        env_config: Settings of the environment.
        algorithm: `EventA2C`, `EventPPO` or `EventES`.

    Returns:
        The run's folder.

    Raises:
        ConfigError: The run folder cannot be made.
        ValueError: The data are damaged, or the device does not exist.
        FileNotFoundError: The data set is not found.
        LostProcessError: Another process of the run has ended.
    """
    with joined_processes(env_config.device) as world, contextlib.ExitStack() as held:
        return _run(world, config, env_config, algorithm, held)


def _run(
    world: World,
    config: SearchConfig,
    env_config: EnvironmentConfig,
    algorithm: type[EventLearner],
    held: contextlib.ExitStack,
) -> Path:
    began = time.perf_counter()
    num_own = world.share(config.num_envs)
    seed = world.broadcast(prepare(config))
    _check(config, env_config)
    if config.resume and not world.rank:
        held.enter_context(claimed(config.resume))
    saved = _checkpoint(config, world) if config.resume else None
    start = None if saved else read_start(config, env_config)
    baselines = baseline_rules(config, env_config, seed)
    check_one_process(env_config, world.size)
    env = make_sb3_env(config.env, num_own, **to_dict(env_config))
    model = algorithm("PlasticityPolicy", env, seed=seed, **_arguments(algorithm, config, env_config))
    settings = {**to_dict(config), **to_dict(env_config), "seed": seed, "resume": ""}
    task = plasticity_env(env).engine.task
    run = None if world.rank else open_run(config, config.env, settings, config.resume, task.manifest())
    imitation = {} if start is None else begin(start, model.policy, world, config.env, env_config, seed)
    if run is None:
        return _train_worker(world, model, config, saved)
    if not config.resume:
        held.enter_context(claimed(run.path))
    world.broadcast(run.path)
    metrics, logger = open_log(config, run, settings, saved["rows"] if saved else 0, bool(config.resume))
    model.set_logger(logger)
    print(_plan(config, task, env_config, seed, world, run, saved["episodes"] if saved else 0), flush=True)
    if imitation:
        print(imitation_line(config.init_rule, imitation), flush=True)
        for name, value in imitation.items():
            model.logger.record(name, value)
    try:
        if saved:
            before = RewardReport(**saved["before"]) if saved["before"] else None
            for name, value, exclude in saved["log"]:
                model.logger.record(name, value, exclude=exclude)
            model.load_state_dict(saved["learner"])
        else:
            before = _judge(model, config, with_ranges_of(env_config, run.path))
        _learn(model, config, run, metrics, before, saved)
    except NotFiniteError as error:
        raise NotFiniteError(f"{error}; the checkpoints in {run.checkpoints} are from before") from error
    except LostProcessError as error:
        raise LostProcessError(f"{error} with --resume={run.path}") from error
    except KeyboardInterrupt:
        print(f"\nstopped; continue with --resume={run.path}", file=sys.stderr)
        raise
    finally:
        model.logger.dump(model.num_timesteps)
        if sys.exc_info()[0] is not None:
            model.logger.close()
    _save_model(model, run)
    if isinstance(task, ControlTask) and task.met is not None:
        run.write(run.path / RANGES, task.met.as_text())
    judged = with_ranges_of(env_config, run.path)
    after = _judge(model, config, judged)
    heads = plasticity_env(env).engine.heads
    _save_rule(model, run, heads, settings, before, after)
    page = report_at_end(run.path, model.logger, model.num_timesteps) if config.report else None
    model.logger.close()
    env.close()
    learned = model.policy.frozen(env_config.history_length)
    print(
        *reward_table(config, judged, learned, before, after, baselines),
        *_rule_lines(model, run, heads, page),
        *_last_lines(time.perf_counter() - began, run, page),
        sep="\n",
    )
    return run.path


def _check(config: SearchConfig, env_config: EnvironmentConfig) -> None:
    """Check that the trainer's settings agree with those of the environment."""
    if config.eval_episodes:
        check_images(env_config, config.num_envs, config.eval_episodes, "eval_episodes")
    if isinstance(env_config, Unsup2Config):
        for name, projection in (("eta_exc", "input -> E"), ("eta_inh", "I -> E")):
            if not getattr(env_config, name):
                raise ConfigError(
                    f"the head for {projection} cannot learn at {name}=0, got {config.env}; "
                    f"raise {name}, or take SNNPlastic-Unsup1-v0, which has one head for all"
                )
    if 0 < env_config.lifetime_length <= config.credit_from:
        raise ConfigError(
            f"credit_from must be less than lifetime_length={env_config.lifetime_length}, or no reward counts, got "
            f"{config.credit_from}"
        )


def _train_worker(world: World, model: EventLearner, config: SearchConfig, saved: dict[str, Any] | None) -> Path:
    """Learn in parallel to the first process, which logs and saves; return the folder of its run."""
    path = world.broadcast(None)
    model.set_logger(Logger(None, []))
    if saved:
        model.load_state_dict(saved["other_learners"][world.rank - 1])
    _learn(model, config, None, None, None, saved)
    return path


def _checkpoint(config: SearchConfig, world: World) -> dict[str, Any] | None:
    """Return the checkpoint of the run to resume; None: a new run. The first process reads it for all.

    Raises:
        ConfigError: It was made by another number of processes, or the run is complete.
    """
    saved = world.broadcast(None if world.rank else _newest(config))
    if saved:
        number = 1 + len(saved.get("other_learners", ()))
        if number != world.size:
            how = f"with torchrun --nproc-per-node {number}" if number > 1 else "without torchrun"
            raise ConfigError(f"the number of processes must be the run's, {number}, got {world.size}; start it {how}")
    return saved


def _newest(config: SearchConfig) -> dict[str, Any] | None:
    run = RunFolder(config.resume)
    saved = Checkpoints(run.checkpoints).take_up()
    if (run.path / DESCRIPTION).exists():
        done = read_description(run.path).images
        if done >= config.episodes:
            raise ConfigError(f"{run.path} has had its {done} episodes; continue with larger --episodes")
        if saved is None:
            raise ConfigError(
                f"{run.path} has learned a rule in {done} episodes and has no checkpoint to go on from; to begin anew "
                f"would overwrite it: start another run, with --init_policy={run.path} to go on from its rule"
            )
    return saved


def _learn(
    model: EventLearner,
    config: SearchConfig,
    run: RunFolder | None,
    metrics: MetricsCSV | None,
    before: RewardReport | None,
    saved: dict[str, Any] | None,
) -> None:
    """Learn until all episodes are done; without folder and log where another process logs."""
    num_steps = plasticity_env(cast(VecEnv, model.env)).engine.num_steps
    episodes_per_rollout = model.n_steps * config.num_envs
    episodes = -(-config.episodes // episodes_per_rollout) * episodes_per_rollout
    with StopRequest(silent=run is None) as stop, contextlib.ExitStack() as closing:
        extra = {"before": before._asdict() if before else None}
        seconds = saved["seconds"] if saved else 0.0
        checkpoints = None if run is None else Checkpoints(run.checkpoints)
        callbacks: list[BaseCallback] = [
            SaveCheckpoints(checkpoints, config.checkpoint_every, metrics, stop, seconds, extra)
        ]
        if isinstance(config, LearnerConfig) and config.sigma_end is not None:
            callbacks.append(SigmaSchedule(config.sigma, config.sigma_end))
        if run is not None and config.progress:
            if sys.stderr.isatty():
                bar = ProgressBar(episodes, config.num_envs)
                closing.callback(bar.close)
                callbacks.append(bar)
            else:
                callbacks.append(ProgressLines(episodes))
        model.learn(
            episodes * num_steps - (model.num_timesteps if saved else 0),
            callback=callbacks,
            log_interval=1,
            reset_num_timesteps=saved is None,
            episodes=episodes,
        )


def _arguments(algorithm: type[EventLearner], config: SearchConfig, env_config: EnvironmentConfig) -> dict[str, Any]:
    """Translate settings into the arguments of an algorithm."""
    policy = {
        "sigma": config.sigma,
        "hidden_sizes": config.head_sizes,
        "use_kind": env_config.event_kinds == "feature",
        "formula_terms": config.formula_terms if config.rule_form == "formula" else None,
        "dt": env_config.dt,
    }
    schedules: dict[str, LinearSchedule] = {}
    if isinstance(config, LearnerConfig):
        last = config.learning_rate if config.learning_rate_end is None else config.learning_rate_end
        schedules["learning_rate"] = LinearSchedule(config.learning_rate, last, end_fraction=1.0)
        policy["critic_lr_scale"] = config.critic_learning_rate / config.learning_rate
    return {
        **{name: getattr(config, name) for name in keyword_settings(algorithm)},
        **schedules,
        "n_steps": config.episodes_per_update,
        "device": env_config.device,
        "policy_kwargs": policy,
    }


def _save_model(model: EventLearner, run: RunFolder) -> None:
    try:
        with atomic_path(run.final) as path:
            model.save(path)
    except OSError as error:
        raise OSError(
            f"cannot write {run.final}: {error.strerror or error}; continue with --resume={run.path}"
        ) from error


def _save_rule(
    model: EventLearner,
    run: RunFolder,
    heads: Sequence[str],
    settings: dict[str, Any],
    before: RewardReport | None,
    after: RewardReport | None,
) -> None:
    """Save the rule with its rewards, and log these."""
    reports = {name: report.as_dict() for name, report in (("before", before), ("after", after)) if report}
    description = describe(
        model.policy.architecture,
        groups=heads,
        history_length=settings["history_length"],
        images=model.num_episodes,
        config=settings,
        metrics=reports,
        versions=package_versions(),
    )
    save_rule(run.path, model.policy.rule, description)
    for name, numbers in reports.items():
        for key, number in numbers.items():
            model.logger.record(f"eval_{name}/{key}", number)
    model.logger.dump(model.num_timesteps)


def _rule_lines(model: EventLearner, run: RunFolder, heads: Sequence[str], page: Path | None) -> list[str]:
    """Return the rule as formulas, a line for each head: its own, or the one fitted by the report."""
    if model.policy.architecture.is_formula:
        formulas = model.policy.rule.formulas()
        return [f"{head}: {format_formula(terms)}" for head, terms in zip(heads, formulas, strict=True)]
    return formula_lines(run.path, heads) if page else []


def _judge(model: EventLearner, config: TrainingConfig, env_config: EnvironmentConfig) -> RewardReport | None:
    if not config.eval_episodes:
        return None
    rule = model.policy.frozen(env_config.history_length)
    return reward_of(rule, config.env, env_config, config.num_envs, config.eval_episodes, JUDGE_SEED)


def _plan(
    config: TrainingConfig,
    task: Task,
    env_config: EnvironmentConfig,
    seed: int,
    world: World,
    run: RunFolder,
    done: int,
) -> str:
    spread = f"{world.size} processes, " if world.size > 1 else ""
    return (
        f"{config.env}: {config.episodes} episodes of {task.source}, {config.num_envs} lifetimes side by side, "
        f"{task.num_steps} steps an episode{'' if task.open_loop else ' at most'}\n"
        f"{spread}seed {seed}, device {env_config.device}, {torch.get_num_threads()} threads\n"
        f"run folder {run.path}" + (f", resumed at {done} episodes" if done else "") + "\n"
        "below: reward of the rules tried; at the end, reward of the learned rule in fresh networks"
    )


def _last_lines(seconds: float, run: RunFolder, page: Path | None) -> list[str]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # KiB on Linux
    lines = [f"{seconds:.0f} s, peak memory {peak:.1f} GiB", f"run folder {run.path}"]
    return lines if page is None else [*lines, f"report {page}"]
