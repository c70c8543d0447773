"""Ablation study of an unsupervised network: `python trainers/ablation.py --preset fast-wta --out FOLDER`.

Every combination of adaptive threshold, weight normalisation, inhibition and plasticity in the network that the flags,
which are those of evaluate.py, describe: each part as given, weakened, or off. All combinations get the same seeds,
images and input spikes. No plasticity is the rule `zero`. Each result is printed at once.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any

from snn_plasticity_gym.config.cli import parse_configs
from snn_plasticity_gym.config.environments import ENVIRONMENTS, UnsupervisedConfig
from snn_plasticity_gym.config.evaluate import AblationConfig
from snn_plasticity_gym.config.training import TRAINERS
from snn_plasticity_gym.trainers.sessions.program import run_program
from snn_plasticity_gym.utils.files import make_output

GRID: MappingProxyType[str, dict[str, dict[str, Any]]] = MappingProxyType(
    {
        "threshold": {"adaptive": {}, "fixed": {"exc_theta_plus": 0.0}},
        "normalisation": {
            "L1": {},
            "L2": {"exc_norm": "l2", "w_exc_sum": 5.0},  # of neurons that learned with a sum of 78.4: 5.1 on average
            "none": {"w_exc_sum": 0.0},
        },
        "inhibition": {
            "strong": {},
            "weak": {"gain_inh_exc": 17.5},
            "off": {"gain_inh_exc": 0.0, "exc_one_spike": False},
        },
    }
)
COLUMNS = ("all_activity", "linear_probe", "spikes", "winner_entropy", "dead")  # mean over networks, and spread


def ablate(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Evaluate all combinations; print a line for each and return them all."""
    environments = {name: kind for name, kind in ENVIRONMENTS.items() if issubclass(kind, UnsupervisedConfig)}
    config, env_config = parse_configs(AblationConfig, environments, argv, foreign=TRAINERS)
    rows: list[dict[str, Any]] = []
    folder = make_output(config.out, ("ablation.csv",)) if config.out else None
    names = [*GRID, "rule", *(title for column in COLUMNS for title in (column, f"{column}_sd")), "cpu_seconds"]
    file = None
    if folder is not None:
        file = (folder / "ablation.csv").open("w", newline="", encoding="utf-8")
    writers = [csv.DictWriter(place, names) for place in (sys.stdout, file) if place is not None]
    for writer in writers:
        writer.writeheader()
    for row in _rows(config, env_config):
        rows.append(row)
        for writer in writers:
            writer.writerow(
                {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in row.items()}
            )
        for place in (sys.stdout, file):
            if place is not None:
                place.flush()
    if file is not None:
        file.close()
    return rows


def _rows(config: AblationConfig, env_config: UnsupervisedConfig) -> Iterator[dict[str, Any]]:
    import torch

    from snn_plasticity_gym.evaluation.curves import Cohort
    from snn_plasticity_gym.evaluation.unsupervised import judge, plan_images
    from snn_plasticity_gym.tasks.datasets import load_dataset
    from snn_plasticity_gym.trainers.sessions.evaluation_session import legend, rules_of

    if config.threads:
        torch.set_num_threads(config.threads)
    rules = rules_of(dict.fromkeys(["zero", *config.rules]), config.env, env_config, config.seed)
    shown = legend(list(rules))
    dataset = load_dataset(env_config.dataset, env_config.data_dir, env_config.image_size)
    plan = plan_images(dataset, config.label_images, config.test_episodes, config.test_split)
    cohort = Cohort(config.networks, config.train_episodes, config.seed)
    for parts in itertools.product(*(choices.items() for choices in GRID.values())):
        changes = {key: value for _, settings in parts for key, value in settings.items()}
        network = dataclasses.replace(env_config, **changes)
        for name, rule in rules.items():
            began = time.process_time()
            judged = judge(rule, config.env, network, plan, cohort).as_dict()
            figures = judged["accuracy"] | judged["activity"]
            row: dict[str, Any] = dict(zip(GRID, (choice for choice, _ in parts), strict=True)) | {"rule": shown[name]}
            for column in COLUMNS:
                row |= {column: figures[column]["mean"], f"{column}_sd": figures[column]["sd"]}
            yield row | {"cpu_seconds": time.process_time() - began}


def main() -> int:
    """Run the program."""
    return run_program(ablate)


if __name__ == "__main__":
    sys.exit(main())
