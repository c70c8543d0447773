"""Session of a report: from run folders to the page."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from stable_baselines3.common.logger import Image, Logger

from snn_plasticity_gym.config.environments import EnvironmentConfig
from snn_plasticity_gym.config.report import ReportConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.evaluation.event_sample import sample_events
from snn_plasticity_gym.evaluation.explain import NETWORKS, distilled, explain
from snn_plasticity_gym.evaluation.reward import JUDGE_SEED, reward_of
from snn_plasticity_gym.evaluation.task_facts import learning_rate, temporary_task
from snn_plasticity_gym.policies.loading import load_rule
from snn_plasticity_gym.report.champion_section import champion_section, has_champion
from snn_plasticity_gym.report.curves import learning_curves
from snn_plasticity_gym.report.gradient_section import gradient_section, is_bptt, is_gradient, read_ceiling
from snn_plasticity_gym.report.page import PICTURES, Section, picture_file, write_report
from snn_plasticity_gym.report.plastic_section import is_plastic, plastic_section
from snn_plasticity_gym.report.portraits import portray
from snn_plasticity_gym.report.rule_section import explanation_section, formula_section, kernel_section
from snn_plasticity_gym.report.runs import Group, Run, differing, flat, group_runs, outcome_rows, read_runs
from snn_plasticity_gym.report.side_section import Study, side_sections
from snn_plasticity_gym.rules.constant import ZeroRule
from snn_plasticity_gym.runs.tables import Table
from snn_plasticity_gym.trainers.sessions.evaluation_session import DISTILLED
from snn_plasticity_gym.utils.files import make_output

MOST_STEPS = 40_000  # most time steps of a network in the comparison of rules by reward
COMPARED_NETWORKS = 16  # networks to average rewards over where plasticity ends

_logger = logging.getLogger("snn_plasticity_gym")


def run_report(config: ReportConfig) -> Path:
    """Write the report on some runs, and print its path.

    Returns:
        The page.

    Raises:
        ConfigError: A folder is no run folder, or holds no rule of this project.
        FileNotFoundError: A data set is not found.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    runs = read_runs(config.runs)
    folder = make_output(config.out or (config.runs[0] if len(runs) == 1 else "report"))
    page = folder / "report.html"
    if page.exists() and folder.resolve() not in [run.path.resolve() for run in runs]:
        print(f"replacing {page}", file=sys.stderr)
    elif not page.exists() and any((folder / PICTURES).glob("*.png")):
        raise ConfigError(f"{folder / PICTURES} holds pictures of something else; choose another folder for out")
    title = runs[0].label if len(runs) == 1 else f"{len(runs)} runs: {', '.join(run.label for run in runs)}"
    page = write_report(folder, title, list(sections(runs, config)))
    print(f"report {page}", file=sys.stderr)
    return page


def report_at_end(run: Path, logger: Logger, step: int) -> Path | None:
    """Write the report at the end of a run, and log its figures and tables to W&B and TensorBoard.

    Errors cause a warning and do not stop the run.

    Args:
        run: The run's folder.
        logger: Of the run.
        step: Step of the logger's last values.

    Returns:
        The page; None if there is none.
    """
    try:
        runs = read_runs([run])
        parts = list(sections(runs, ReportConfig()))
        page = write_report(run, runs[0].label, parts)
        for part in parts:
            for picture in part.pictures:
                pixels = np.asarray(PIL.Image.open(picture_file(run, picture)).convert("RGB"))  # (height, width, 3)
                logger.record(f"report/{picture.name}", Image(pixels, "HWC"), exclude=("stdout", "log", "json"))
            for table in part.tables:
                logger.record(f"report/{table.name}", table, exclude=("stdout", "log", "json"))
        logger.dump(step)
        return page
    except Exception as error:
        _logger.warning("no report was written, the run is whole: %s: %s", type(error).__name__, error)
        return None


def sections(runs: Sequence[Run], config: ReportConfig) -> Iterator[Section]:
    """Yield the sections of a report, in order."""
    ceiling = read_ceiling(config.ceiling) if config.ceiling else None
    yield _facts(runs)
    groups = group_runs(runs)
    yield Section(
        "Learning", "", learning_curves(groups), [_outcome(run, len(runs) > 1) for run in runs if outcome_rows(run)]
    )
    following = [group for group in groups if is_gradient(group.runs[0])]
    if following:
        yield gradient_section(following, [run for run in runs if is_bptt(run)], ceiling)
    studies = []
    for group in groups:
        run = next((run for run in group.runs if run.rule_file is not None), None)
        if run is not None:
            study, parts = _study(run, config, several=len(groups) > 1)
            studies.append(study)
            yield from parts
    for group in groups:
        champion = next((run for run in group.runs if has_champion(run)), None)
        if champion is not None:
            part = champion_section(champion, config.life_images, config.seed, _prefix(champion, groups))
            yield part._replace(title=f"{part.title}: {champion.label}") if len(groups) > 1 else part
        plastic = next((run for run in group.runs if is_plastic(run)), None)
        if plastic is not None:
            part = plastic_section(plastic, config.seed, _prefix(plastic, groups))
            yield part._replace(title=f"{part.title}: {plastic.label}") if len(groups) > 1 else part
    yield from side_sections(studies)


def _prefix(run: Run, groups: Sequence[Group]) -> str:
    """Return the prefix that makes a run's figure names unique."""
    return f"{run.label.replace('/', '_')}_" if len(groups) > 1 else ""


def _facts(runs: Sequence[Run]) -> Section:
    """Return the section on the runs: their differences, their conditions, and, folded, all settings."""
    tables = []
    if len(runs) > 1:
        differences = differing(runs)
        rows = [[name, *map(str, values)] for name, values in differences.items() if name != "run_name"]
        tables.append(Table("differences", ["setting", *(run.label for run in runs)], rows, "Settings that differ."))
    suffix = {run.label: f"_{run.label}" if len(runs) > 1 else "" for run in runs}
    for run in runs:
        head = [f"{run.label}: {run.env or run.path.resolve().parent.name}" if len(runs) > 1 else "run", ""]
        tables.append(Table(f"conditions{suffix[run.label]}", head, _conditions(run)))
    for run in runs:
        caption = f"All settings of {run.label}" if len(runs) > 1 else "All settings"
        tables.append(
            Table(f"settings{suffix[run.label]}", ["setting", "value"], flat(run.config), caption, folded=True)
        )
    return Section("Runs and settings", "", (), tables)


def _conditions(run: Run) -> list[tuple[str, str]]:
    manifest = run.manifest
    git: dict[str, Any] = manifest.get("git") or {}
    commit = str(git.get("commit", "unknown")) + (" with local changes" if git.get("dirty") else "")
    data = manifest.get("dataset") or {}
    details = {
        name: value
        for name, value in data.items()
        if name not in ("name", "directory") and value not in (None, "", "{}")
    }
    if "checksum" in details:
        details["checksum"] = str(details["checksum"])[:12]
    packages = manifest.get("packages") or {}
    return [
        ("environment", run.env or "none"),
        ("seed", str(manifest.get("seed"))),
        ("episodes", str(run.config.get("episodes"))),
        ("data", ", ".join([str(data.get("name")), *(f"{name} {value}" for name, value in details.items())])),
        ("begun", str(manifest.get("created"))),
        ("commit", commit),
        ("command", " ".join(map(str, manifest.get("command", ())))),
        ("versions", ", ".join(f"{name} {version}" for name, version in packages.items())),
    ]


def _outcome(run: Run, several: bool) -> Table:
    rows = [
        [name, *("–" if value is None else f"{value:.4g}" for value in values)] for name, *values in outcome_rows(run)
    ]
    caption = "Held-out images or fresh episodes, fresh networks, plasticity on, no exploration."
    return Table(
        f"outcome_{run.label}" if several else "outcome",
        [run.label if several else "judged", "before", "after"],
        rows,
        caption,
    )


def _study(run: Run, config: ReportConfig, several: bool) -> tuple[Study, list[Section]]:
    """Analyse one run's rule; return the results, and the sections on them."""
    env_config = run.environment()
    assert run.env is not None and run.rule_file is not None
    rule = load_rule(run.path, trust=True).frozen(env_config.history_length)
    with temporary_task(run.env, env_config) as task:
        scale, portrait, num_steps = learning_rate(task), task.portrait, task.num_steps
    images = -(-config.sample_images // NETWORKS)
    sample = sample_events(rule, run.env, env_config, NETWORKS, images, config.sample_events, config.seed)
    prefix = f"{run.label.replace('/', '_')}_" if several else ""
    suffix = f": {run.label}" if several else ""
    parts = [kernel_section(rule, env_config, sample, prefix)]
    if rule.network.architecture.is_formula:
        parts.insert(0, formula_section(sample.heads, rule.network.formulas(), prefix))
    explanations = explain(sample, scale)
    if explanations:
        formula = distilled(explanations, sample)
        formula.save(run.path)
        networks, shown = _lifetimes(env_config, config.reward_images, num_steps)
        rewards = {
            label: reward_of(one, run.env, env_config, networks, shown, JUDGE_SEED).reward
            for label, one in (("the rule", rule), ("its formula", formula), ("no plasticity", ZeroRule()))
        }
        parts.append(explanation_section(explanations, rewards, prefix, f"{DISTILLED}{run.path}"))
    life, section = portray(portrait, rule, run.env, env_config, config.life_images, config.seed, prefix)
    parts.append(section)
    return Study(run.label, rule, sample, life), [part._replace(title=part.title + suffix) for part in parts]


def _lifetimes(config: EnvironmentConfig, episodes: int, num_steps: int) -> tuple[int, int]:
    """Return the number of networks, and of episodes in all, for comparing rules on `episodes` that count.

    Where plasticity ends, the episodes after it count, to the end of the lifetime: some rewards have a value only
    there. Otherwise, fewer episodes are run if they are long.

    Args:
        config: Settings of the environment.
        episodes: Minimum number that count.
        num_steps: Most time steps of one of them.
    """
    if not config.plastic_episodes:
        return NETWORKS, min(episodes, NETWORKS * max(1, MOST_STEPS // num_steps))
    after = config.lifetime_length - config.plastic_episodes if config.lifetime_length else episodes
    networks = max(COMPARED_NETWORKS, -(-episodes // after))
    return networks, networks * (config.plastic_episodes + after)
