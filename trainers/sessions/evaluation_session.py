"""Session of an evaluation of classifiers; loading of rules by name; evaluation of rules in turn."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from snn_plasticity_gym.config.environments import EnvironmentConfig, FeedforwardConfig
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.plugins import import_plugins_of
from snn_plasticity_gym.config.schema import ConfigError, setting_fields, to_dict
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.classification import LearningCurve, learning_curve
from snn_plasticity_gym.evaluation.curves import Cohort
from snn_plasticity_gym.evaluation.figures import Curve, bptt_curve, curve_table, draw_learning_curves
from snn_plasticity_gym.evaluation.task_facts import learning_rate, temporary_task
from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.rules import Rule
from snn_plasticity_gym.rules.distilled import load_distilled
from snn_plasticity_gym.rules.own_rules import is_own_rule, own_rule
from snn_plasticity_gym.rules.registry import RULES, read_rule
from snn_plasticity_gym.tasks.datasets import load_dataset
from snn_plasticity_gym.trainers.sessions.watching import ScreenWatcher
from snn_plasticity_gym.utils.distributed import World
from snn_plasticity_gym.utils.files import make_output

RESULTS = (
    "results.*",
    "learning_curves.*",
    "comparison.png",
    "returns.png",
    "receptive_fields_*.png",
)  # files of an evaluation
TESTS = 4  # default number for a classifier, after one before learning
DISTILLED = "distilled:"  # before a run's folder: the formula of its report in the place of its policy


def run_evaluation(config: EvaluateConfig, env_config: FeedforwardConfig, world: World) -> dict[str, Any]:
    """Evaluate every rule, print a table or a line of JSON, and write the requested files.

    Args:
        config: Settings of the evaluation.
        env_config: Settings of the environment.
        world: The processes that share the networks; the first prints, writes and returns the results of all.

    Raises:
        ConfigError: A rule is unknown, or a policy does not fit the environment.
        FileNotFoundError: The data set is not found.
    """
    rules = rules_of(config.rules, config.env, env_config, config.seed)
    baselines = {"BPTT": bptt_curve(config.bptt)} if config.bptt else {}
    folder = output_folder(config, world)
    labels = legend(config.rules)
    results: dict[str, Any] = {}
    curves: dict[str, Curve] = {}

    def judge_one(rule: Rule, turn: Turn) -> LearningCurve:
        cohort = turn.cohort._replace(tests=config.tests or TESTS)
        return learning_curve(
            rule, config.env, env_config, cohort, config.test_episodes, config.test_split, turn.watcher
        )

    for name, parts, seconds in turns(rules, labels, judge_one, config, world):
        curve = LearningCurve.joined(parts)
        results[name] = {**curve.as_dict(), "seconds": seconds}
        curves[labels[name]] = Curve(
            curve.images, {"accuracy": curve.accuracy.cpu().numpy(), "loss": curve.loss.cpu().numpy()}
        )
        if not config.json:
            print(_lines(name, curve, results[name]["seconds"]), flush=True)
    if world.rank > 0:
        return {}
    if config.json:
        print(json.dumps({"env": config.env, "networks": config.networks, "rules": results}))
    if folder is not None:
        classes = load_dataset(env_config.dataset, env_config.data_dir, env_config.image_size).classes
        write_record(folder, config, env_config, classes=list(classes), rules=results)
        write_curves(curves, config.seed, folder, len(classes), baselines)
        print(f"results in {folder}", file=sys.stderr)
    return results


def output_folder(config: EvaluateConfig, world: World) -> Path | None:
    """Make the folder of an evaluation's results in advance; None: none requested, or another process writes.

    Raises:
        ConfigError: It cannot be made, or holds the results of another evaluation.
    """
    if not config.out or world.rank > 0:
        return None
    return make_output(config.out, RESULTS)


class Turn(NamedTuple):
    """Cohort and progress callback for the evaluation of one rule."""

    cohort: Cohort  # networks of this process
    watcher: ScreenWatcher  # shows progress


def turns(
    rules: Mapping[str, Rule],
    labels: Mapping[str, str],
    judge_one: Callable[[Rule, Turn], Any],
    config: EvaluateConfig,
    world: World,
    **watched: Any,
) -> Iterator[tuple[str, list[Any], float]]:
    """Evaluate one rule after the other, each on networks divided among all processes.

    Args:
        rules: By name.
        labels: Their display names.
        judge_one: Evaluates a rule on the networks of this process.
        config: Of the evaluation.
        world: The processes.
        watched: Options of the progress display; see `ScreenWatcher`.

    Yields:
        Name, results of `judge_one` in every process, in the order of the networks, and seconds; in the first process
        only.
    """
    num_own = world.share(config.networks, "networks")
    first_seed = config.seed + world.rank * num_own
    cohort = Cohort(num_own, config.train_episodes, first_seed, config.tests, common_seed=config.seed)
    for name, rule in rules.items():
        began = time.perf_counter()
        with ScreenWatcher(labels[name], config.train_episodes, silent=world.rank > 0, **watched) as watcher:
            own = judge_one(rule, Turn(cohort, watcher))
        parts = world.collect(own)
        if parts:
            yield name, parts, time.perf_counter() - began


def write_record(folder: Path, config: EvaluateConfig, env_config: EnvironmentConfig, **found: Any) -> None:
    """Write settings and results as results.json."""
    record = {"settings": {**to_dict(config), **to_dict(env_config)}, **found}
    (folder / "results.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def write_curves(
    curves: Mapping[str, Curve],
    first_seed: int,
    folder: Path,
    num_classes: int,
    baselines: Mapping[str, Curve] = MappingProxyType({}),
) -> None:
    """Write learning curves as a table, and as a figure together with those of baselines."""
    draw_learning_curves({**curves, **baselines}, folder / "learning_curves.png", num_classes)
    (folder / "learning_curves.csv").write_text(curve_table(curves, first_seed), encoding="utf-8")


def rules_of(names: Iterable[str], env_id: str, env_config: EnvironmentConfig, seed: int) -> dict[str, Rule]:
    """Return rules by the names that a user gives; errors as in `rule_of`."""
    return {name: rule_of(name, env_id, env_config, seed) for name in names}


def rule_of(name: str, env_id: str, env_config: EnvironmentConfig, seed: int) -> Rule:
    """Return the rule of a name, a name with parameters, a run's folder, or a Python object.

    Raises:
        ConfigError: There is no such rule, a parameter is wrong, or a policy does not fit the environment.
    """
    arguments = {"dt": env_config.dt, "seed": seed}
    kind = RULES.get(name.partition(":")[0])
    if kind is not None:
        if "scale" in {info.name for info in setting_fields(kind)}:
            arguments["scale"] = scale_of(env_id, env_config)
        return read_rule(name, **arguments)
    if is_own_rule(name):
        return own_rule(name, **arguments, scale=scale_of(env_id, env_config))
    if name.startswith(DISTILLED):
        rule = load_distilled(os.path.expanduser(name.removeprefix(DISTILLED)))
        _check_fit(name, rule.extra_names, len(rule.heads), _offer(env_id, env_config))
        if rule.dt != env_config.dt:
            raise ConfigError(f"the formula of {name} is for time steps of {rule.dt:g} ms, got dt={env_config.dt:g}")
        return rule
    path = os.path.expanduser(name)
    if not Path(path).exists():
        raise ConfigError(
            f"unknown rule {name!r}; valid: {', '.join(RULES)}, the folder of a training run, or {DISTILLED}FOLDER for "
            "the formula that the run's report has found, or module:name or file.py:name of your own"
        )
    import_plugins_of(path)
    policy = load_rule(path, env_config.device, trust=True)
    interface = _offer(env_id, env_config)
    if policy.num_groups == 1 < len(interface.heads):
        policy = policy.for_groups(interface.heads)
    _check_fit(name, tuple(policy.extra_keys), policy.num_groups, interface)
    return policy.frozen(env_config.history_length)


def scale_of(env_id: str, env_config: EnvironmentConfig) -> float:
    """Return the weight change of delta_d = 1 in an environment; see `learning_rate`."""
    with temporary_task(env_id, env_config) as task:
        return learning_rate(task)


class _RuleInterface(NamedTuple):
    """Heads and scalars that an environment provides to rules."""

    scalars: tuple[str, ...]
    heads: list[str]  # names of the synapse groups


def _offer(env_id: str, env_config: EnvironmentConfig) -> _RuleInterface:
    env = PlasticityVectorEnv(env_id, num_envs=1, **to_dict(env_config))
    interface = _RuleInterface(env.engine.scalars.names, env.engine.heads)
    env.close()
    return interface


def _check_fit(name: str, scalars: tuple[str, ...], heads: int, interface: _RuleInterface) -> None:
    """Check that a rule was trained on the scalars and heads that the environment has."""
    available, needed = interface.scalars, len(interface.heads)
    if scalars != available:
        folder = name.removeprefix(DISTILLED)
        raise ConfigError(
            f"the rule of {name} has local scalars {_listed(scalars)}, the environment "
            f"{_listed(available)}; start from the run's settings with --preset={folder}/config.yaml"
        )
    if heads != needed:
        raise ConfigError(f"the rule of {name} has {heads} heads, the environment needs {needed}")


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(names) if names else "none"


def legend(names: Sequence[str]) -> dict[str, str]:
    """Return each rule's legend label: of a run, its folder's name, or the full path if others share it."""
    runs = [name for name in names if name.partition(":")[0] not in RULES and not is_own_rule(name)]
    short = {}
    for name in runs:
        path = Path(name.removeprefix(DISTILLED)).resolve()
        folder = (path.parent if path.suffix == ".zip" else path).name
        short[name] = f"{DISTILLED}{folder}" if name.startswith(DISTILLED) else folder
    counts = Counter(short.get(name, name) for name in names)
    return {name: short[name] if name in short and counts[short[name]] == 1 else name for name in names}


def _lines(name: str, curve: LearningCurve, seconds: float) -> str:
    lines = [f"{name} ({seconds:.0f} s)", f"  {'images':>8}{'accuracy':>12}{'sd':>8}{'loss':>9}"]
    for images, accuracy, loss in zip(curve.images, curve.accuracy, curve.loss, strict=True):
        spread = f"{accuracy.std().item():8.4f}" if len(accuracy) > 1 else f"{'':8}"
        lines.append(f"  {images:8d}{accuracy.mean().item():12.4f}{spread}{loss.mean().item():9.3f}")
    return "\n".join(lines)
