"""Final output of a training: the rule's formula, and its rewards compared with baseline rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from snn_plasticity_gym.config.environments import EnvironmentConfig, UnsupervisedConfig
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.config.training import SearchConfig
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.curves import Cohort
from snn_plasticity_gym.evaluation.labels import accuracy
from snn_plasticity_gym.evaluation.reward import JUDGE_SEED, RewardReport, reward_of
from snn_plasticity_gym.evaluation.unsupervised import ALL_ACTIVITY, judge, plan_images
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.distilled import load_distilled, written_out
from snn_plasticity_gym.tasks.datasets import load_dataset
from snn_plasticity_gym.trainers.sessions.evaluation_session import legend, rules_of
from snn_plasticity_gym.trainers.sessions.starting import check_modulation

NETWORKS = 8  # fresh ones, for measuring accuracy
LEARNED = 200  # images to learn from, where plasticity does not end
LABELLED, TESTED = 1000, 500  # images

NO_VALUE = float("nan")


def baseline_rules(config: SearchConfig, env_config: EnvironmentConfig, seed: int) -> dict[str, Rule]:
    """Return the baseline rules of an evaluation, by their names in its table.

    Raises:
        ConfigError: There is no such rule, or it does not fit the environment.
    """
    if config.compare_with and not config.eval_episodes:
        raise ConfigError("compare_with needs eval_episodes, on which rules are evaluated, got eval_episodes=0")
    rules = rules_of(config.compare_with, config.env, env_config, seed) if config.compare_with else {}
    if rules:
        _check_rules(rules, config, env_config)
    full_names = legend(config.compare_with)
    labels = {name: name.partition(":")[0] if full == name else full for name, full in full_names.items()}
    twice = [name for name, count in Counter(labels.values()).items() if count > 1]
    return {full_names[name] if labels[name] in twice else labels[name]: rule for name, rule in rules.items()}


def _check_rules(rules: dict[str, Rule], config: SearchConfig, env_config: EnvironmentConfig) -> None:
    """Call each rule on a network's first events, to refuse an unfit rule before the training."""
    env = PlasticityVectorEnv(config.env, num_envs=1, **to_dict(env_config))
    env.reset(seed=JUDGE_SEED)
    events = env.events()
    if events is not None:
        for name, rule in rules.items():
            check_modulation("compare_with", name, rule, env_config)
            rule(events)
    env.close()


def formula_lines(run: Path, heads: Sequence[str]) -> list[str]:
    """Return the formula fitted by the run's report, a line for each head; no lines without one."""
    try:
        formula = load_distilled(run)
    except ConfigError:  # too few events, or no report
        return []
    lines = zip(heads, formula.heads, strict=True)
    return [f"{head}, in short: \u0394d = {written_out(terms)}" for head, terms in lines if terms]


def reward_table(
    config: SearchConfig,
    env_config: EnvironmentConfig,
    learned: Rule,
    before: RewardReport | None,
    after: RewardReport | None,
    others: dict[str, Rule],
) -> list[str]:
    """Return a table of rewards, their terms, and accuracy: before and after learning, and of baselines."""
    if before is None or after is None:
        return []
    reports = {"before": before, "after": after}
    for name, rule in others.items():
        reports[name] = reward_of(rule, config.env, env_config, config.num_envs, config.eval_episodes, JUDGE_SEED)
    judged_by = "held-out images" if env_config.held_out("validation") else "fresh episodes"
    widths = [max(12, len(name) + 2) for name in reports]
    terms = list(dict.fromkeys(term for report in reports.values() for term in report.terms))
    rows = {"reward": [report.reward for report in reports.values()]}
    rows |= {term: [report.terms.get(term, NO_VALUE) for report in reports.values()] for term in terms}
    lines = [
        f"reward on {after.num_images} {judged_by}, fresh networks, no exploration:",
        _row("", list(reports), widths),
    ]
    lines += [_row(name, [f"{value:.4g}" for value in values], widths) for name, values in rows.items()]
    if others and isinstance(env_config, UnsupervisedConfig):
        shares = _accuracies(config, env_config, {"after": learned, **others})
        cells = [f"{shares[name]:.1%}" if name in shares else "" for name in reports]
        lines.append(_row("accuracy", cells, widths))
        lines.append(
            f"  accuracy: of {NETWORKS} fresh networks, which learned without labels; {LABELLED} labelled images then "
            "named their neurons"
        )
    return lines


def _row(name: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    return f"  {name:20}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def _accuracies(config: SearchConfig, env_config: UnsupervisedConfig, rules: dict[str, Rule]) -> dict[str, float]:
    """Return the validation accuracy of networks trained by each rule."""
    dataset = load_dataset(env_config.dataset, env_config.data_dir, env_config.image_size)
    plan = plan_images(dataset, LABELLED, TESTED, "validation")
    images = env_config.plastic_episodes or LEARNED
    found = {}
    for name, rule in rules.items():
        judged = judge(rule, config.env, env_config, plan, Cohort(NETWORKS, images, JUDGE_SEED))
        found[name] = accuracy(judged.confusion[ALL_ACTIVITY]).mean().item()
    return found
