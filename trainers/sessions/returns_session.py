"""Session of an evaluation by episode returns, for any task."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.evaluation.figures import Curve, curve_table
from snn_plasticity_gym.evaluation.return_figures import draw_returns
from snn_plasticity_gym.evaluation.returns import LENGTH, RETURN, TERM, ReturnCurve, return_curve
from snn_plasticity_gym.evaluation.tables import Column, csv_table, markdown_table, screen_table
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.tasks.met_observations import with_ranges_of
from snn_plasticity_gym.trainers.sessions.evaluation_session import (
    DISTILLED,
    Turn,
    legend,
    output_folder,
    rules_of,
    turns,
    write_record,
)
from snn_plasticity_gym.utils.distributed import World

MOMENTS = {"before": "before learning", "after": "after learning", "gain": "gain", "learning": "while learning"}


def run_returns(config: EvaluateConfig, env_config: EnvironmentConfig, world: World) -> dict[str, Any]:
    """Evaluate every rule by returns, print a table or a line of JSON, and write the requested files.

    Args:
        config: Settings of the evaluation.
        env_config: Settings of the environment.
        world: The processes that share the networks; the first prints, writes and returns the results of all.

    Returns:
        Results by rule; see `ReturnCurve.as_dict`.

    Raises:
        ConfigError: A rule is unknown, a policy does not fit the environment, or there are no test episodes.
    """
    if not config.test_episodes:
        raise ConfigError(f"test_episodes must be at least 1 for {config.env}, whose fresh episodes have no end, got 0")
    rules = rules_of(config.rules, config.env, env_config, config.seed)
    # A rule is run with the observation ranges of its training.
    own = {id(rule): with_ranges_of(env_config, name.removeprefix(DISTILLED)) for name, rule in rules.items()}
    folder = output_folder(config, world)
    labels = legend(config.rules)
    results: dict[str, Any] = {}
    found: dict[str, ReturnCurve] = {}

    def judge_one(rule: Rule, turn: Turn) -> ReturnCurve:
        return return_curve(
            rule, config.env, own[id(rule)], turn.cohort, config.test_episodes, config.test_split, turn.watcher
        )

    turned = turns(rules, labels, judge_one, config, world, unit="episodes", format_score="return {:.4g}".format)
    for name, parts, seconds in turned:
        found[name] = ReturnCurve.joined(parts)
        results[name] = {**found[name].as_dict(), "seconds": seconds}
    if world.rank > 0:
        return {}
    rows = {labels[name]: one for name, one in results.items()}
    columns = columns_of(rows)
    notes = _notes(config, env_config)
    if config.json:
        print(json.dumps({"env": config.env, "networks": config.networks, "rules": results}))
    else:
        print(screen_table(rows, columns), *notes, sep="\n")
    if folder is not None:
        write_record(folder, config, env_config, rules=results)
        _write(folder, rows, columns, notes, {labels[name]: curve for name, curve in found.items()}, config)
        print(f"results in {folder}", file=sys.stderr)
    return results


def columns_of(rows: Mapping[str, Mapping[str, Any]]) -> list[Column]:
    """Return the columns of the table: returns at each test, length and reward terms after learning."""
    columns = [Column(moment, RETURN, f"return {title}", moment, digits=2) for moment, title in MOMENTS.items()]
    columns.append(Column("after", LENGTH, "time steps of an episode after learning", LENGTH, digits=0))
    terms = dict.fromkeys(name for one in rows.values() for name in one["after"] if name.startswith(TERM))
    for name in terms:
        short = name.removeprefix(TERM)
        columns.append(Column("after", name, f"{short} after learning", short, digits=3))
    return columns


def _write(
    folder: Path,
    rows: Mapping[str, Mapping[str, Any]],
    columns: Sequence[Column],
    notes: list[str],
    found: Mapping[str, ReturnCurve],
    config: EvaluateConfig,
) -> None:
    """Write results as tables and figures."""
    (folder / "results.csv").write_text(csv_table(rows, columns), encoding="utf-8")
    (folder / "results.md").write_text(markdown_table(rows, notes, columns), encoding="utf-8")
    curves = {
        name: Curve(curve.episodes, {key: values.numpy() for key, values in curve.tests.items()})
        for name, curve in found.items()
    }
    (folder / "learning_curves.csv").write_text(curve_table(curves, config.seed, "episodes"), encoding="utf-8")
    draw_returns(found, notes[0], folder / "returns.png")


def _notes(config: EvaluateConfig, env_config: EnvironmentConfig) -> list[str]:
    """Return the notes on how a table was measured."""
    last = config.seed + config.networks - 1
    shown = f" of the {config.test_split} split" if env_config.held_out(config.test_split) else ""
    return [
        f"{config.env}: mean ± standard deviation of {config.networks} networks, seeds {config.seed} to {last}, that "
        f"learned in {config.train_episodes:,} episodes each; the same networks, episodes and input spikes for every "
        "rule.",
        f"Before and after learning: mean return of {config.test_episodes:,} fresh episodes{shown} for each network, "
        "weights and thresholds frozen, the same before and after. Gain: after less before, network by network.",
    ]
