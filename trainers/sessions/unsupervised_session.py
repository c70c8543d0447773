"""Session of an evaluation of unsupervised networks."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snn_plasticity_gym.config.environments import UnsupervisedConfig
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.evaluation.comparison_figures import draw_comparison, draw_receptive_fields
from snn_plasticity_gym.evaluation.figures import Curve
from snn_plasticity_gym.evaluation.labels import accuracy
from snn_plasticity_gym.evaluation.reward import rewards_of_networks
from snn_plasticity_gym.evaluation.tables import csv_table, markdown_table, screen_table
from snn_plasticity_gym.evaluation.unsupervised import (
    GREEDY,
    ImagePlan,
    Judgement,
    judge,
    judge_pixels,
    plan_images,
    summary,
)
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.tasks.datasets import Dataset, load_dataset
from snn_plasticity_gym.trainers.sessions.evaluation_session import (
    Turn,
    legend,
    output_folder,
    rules_of,
    turns,
    write_curves,
    write_record,
)
from snn_plasticity_gym.utils.distributed import World

CONTROL = "zero"  # fresh networks without plasticity: the baseline of the structure alone
PIXELS = "pixels (no network)"  # row of the classifiers of pixels


def run_unsupervised(config: EvaluateConfig, env_config: UnsupervisedConfig, world: World) -> dict[str, Any]:
    """Evaluate every rule and the controls, print a table or a line of JSON, and write the requested files.

    Args:
        config: Settings of the evaluation.
        env_config: Settings of the environment.
        world: The processes that share the networks; the first prints, writes and returns the results of all.

    Returns:
        Results by rule, and those of pixels under `PIXELS`.

    Raises:
        ConfigError: A rule is unknown, or a policy does not fit the environment.
        FileNotFoundError: The data set is not found.
    """
    names = tuple(dict.fromkeys(config.rules if CONTROL in config.rules else (CONTROL, *config.rules)))
    rules = rules_of(names, config.env, env_config, config.seed)
    dataset = load_dataset(env_config.dataset, env_config.data_dir, env_config.image_size)
    plan = plan_images(dataset, config.label_images, config.test_episodes, config.test_split)
    if not plan.disjoint and world.rank == 0:
        print(
            "labels are taken from the whole training split, so from images that are learned from, too", file=sys.stderr
        )
    folder = output_folder(config, world)
    shown = legend(names)
    facts = _facts(config, env_config, dataset, plan)
    results: dict[str, Any] = {}
    judged: dict[str, Judgement] = {}

    def judge_one(rule: Rule, turn: Turn) -> tuple[Judgement, dict[str, Tensor]]:
        judgement = judge(rule, config.env, env_config, plan, turn.cohort, turn.watcher)
        if not facts["held_out_images"]:
            return judgement, {}
        return judgement, rewards_of_networks(rule, config.env, env_config, turn.cohort.num_networks, turn.cohort.seed)

    for name, parts, seconds in turns(rules, shown, judge_one, config, world):
        judged[name] = Judgement.joined([own for own, _ in parts])
        results[name] = judged[name].as_dict()
        if parts[0][1]:
            results[name]["held_out"] = {
                term: summary(torch.cat([own[term] for _, own in parts])) for term in parts[0][1]
            }
        results[name]["seconds"] = seconds
    if world.rank > 0:
        return {}
    controls = judge_pixels(plan)
    pixels = {
        "accuracy": {name: summary(accuracy(matrix)) for name, matrix in controls.items()},
        "confusion": {name: matrix.tolist() for name, matrix in controls.items()},
    }
    if config.json:
        print(json.dumps({"env": config.env, "networks": config.networks, **facts, "rules": results, "pixels": pixels}))
    rows = {shown[name]: results[name] for name in names} | {PIXELS: pixels}
    if not config.json:
        print(screen_table(rows), *_notes(config, facts), sep="\n")
    if folder is not None:
        write_record(folder, config, env_config, images=facts, rules=results, pixels=pixels)
        (folder / "results.csv").write_text(csv_table(rows), encoding="utf-8")
        (folder / "results.md").write_text(markdown_table(rows, _notes(config, facts)), encoding="utf-8")
        of_rules = {shown[name]: results[name] for name in names}
        draw_comparison(of_rules, pixels, _caption(config, facts), folder / "comparison.png")
        if config.tests:
            curves = {shown[name]: _curve(judged[name]) for name in names}
            write_curves(curves, config.seed, folder, plan.num_classes)
        _draw_fields({shown[name]: judged[name] for name in names}, config, dataset.classes, folder)
        print(f"results in {folder}", file=sys.stderr)
    return results | {PIXELS: pixels}


def _draw_fields(judged: Mapping[str, Judgement], config: EvaluateConfig, classes: Sequence[str], folder: Path) -> None:
    """Draw the receptive fields of each rule's first network, with the labels assigned to its neurons."""
    for place, (name, judgement) in enumerate(judged.items()):
        title = f"{name}, the first network after {config.train_episodes:,} images; in corners, neurons' labels"
        labels = [classes[label] if label >= 0 else "" for label in judgement.labels[0].tolist()]
        file = folder / f"receptive_fields_{place}_{_slug(name)}.png"
        draw_receptive_fields(judgement.fields.numpy(), title, file, labels)


def _curve(judgement: Judgement) -> Curve:
    return Curve(judgement.images, {name: shares.numpy() for name, shares in judgement.curves.items()})


def _facts(config: EvaluateConfig, env_config: UnsupervisedConfig, dataset: Dataset, plan: ImagePlan) -> dict[str, Any]:
    """Return the uses of the images."""
    return {
        "dataset": dataset.name,
        "classes": list(dataset.classes),
        "train_episodes": config.train_episodes,
        "label_images": len(plan.labelling.labels),
        "test_episodes": len(plan.held_out.labels),
        "test_split": config.test_split,
        "label_images_not_learned_from": plan.disjoint,
        "held_out_images": max(env_config.lifetime_length - env_config.plastic_episodes, 0)
        * (env_config.plastic_episodes > 0),
    }


def _notes(config: EvaluateConfig, facts: dict[str, Any]) -> list[str]:
    """Return the notes on how a table was measured."""
    first, last = config.seed, config.seed + config.networks - 1
    learned = "none of which was learned from" if facts["label_images_not_learned_from"] else "all that is learned from"
    notes = [
        f"{config.env}, {facts['dataset']}: mean ± standard deviation of {config.networks} networks, seeds {first} to "
        f"{last}, that learned from {config.train_episodes:,} images each; the same networks, images and input spikes "
        "for every rule.",
        f"Labels from {facts['label_images']:,} images of the training split, {learned}; tested on "
        f"{facts['test_episodes']:,} images of the {config.test_split} split, weights and thresholds frozen.",
        f"Dead: fires for no test image. Greedy: wins more than {GREEDY:g} times 1/N of the test images.",
        f"{CONTROL}: no plasticity. {PIXELS}: classifiers of the pixels of the very same label images.",
    ]
    if facts["held_out_images"]:
        notes.append(
            f"Held-out: mean reward of the {facts['held_out_images']} validation images that follow when plasticity "
            "has ended, in separate lifetimes."
        )
    return notes


def _caption(config: EvaluateConfig, facts: dict[str, Any]) -> str:
    return (
        f"{config.env}, {facts['dataset']}; {config.networks} networks (dots), mean (bar); learned from "
        f"{config.train_episodes:,} images,\nlabels from {facts['label_images']:,}, tested on "
        f"{facts['test_episodes']:,} of the {config.test_split} split"
    )


def _slug(name: str) -> str:
    """Return a name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.=]+", "-", name).strip("-")
