"""Accuracy of unsupervised networks trained by a rule: they learn without labels, are frozen, labelled and tested.

Axes: B networks, L images that labels are taken from, M held-out images, N excitatory neurons, C classes, H, W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.config.environments import UnsupervisedConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.classification import TEST_SEED
from snn_plasticity_gym.evaluation.curves import TOGETHER, Cohort, Watcher
from snn_plasticity_gym.evaluation.labels import (
    accuracy,
    all_activity,
    assign_labels,
    class_responses,
    confusion_matrix,
    linear_probe,
    nearest_centroid,
    proportion_weighting,
    shared_answers,
)
from snn_plasticity_gym.evaluation.responses import responses
from snn_plasticity_gym.evaluation.task_facts import learning_settings
from snn_plasticity_gym.rewards.unsupervised import diversity
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.tasks.datasets import Dataset, ImageSet
from snn_plasticity_gym.tasks.image_task import image_task

ALL_ACTIVITY, PROPORTION_WEIGHTING, LINEAR_PROBE = "all_activity", "proportion_weighting", "linear_probe"
NEAREST_CENTROID = "nearest_centroid"  # on pixels, without a network
GREEDY = 10.0  # fair shares of the images beyond which a neuron that wins them is called greedy


class ImagePlan(NamedTuple):
    """Split of the images into uses. Learning and labels use the training split only."""

    labelling: ImageSet  # L images, the last of the training split
    held_out: ImageSet  # M images, the first of the validation or test split
    held_back: int  # images that labelling keeps from learning: L, or 0 if it takes the whole training split
    num_classes: int  # C

    @property
    def disjoint(self) -> bool:
        """Whether no image is both learned from and labelled with."""
        return self.held_back > 0


class Judgement(NamedTuple):
    """Evaluation of B networks trained by one rule. `confusion` and `activity` are those of the last of K tests."""

    images: list[int]  # training images seen, at each test
    curves: dict[str, Tensor]  # by read-out, (K, B) float64: accuracy at each test
    confusion: dict[str, Tensor]  # by read-out, (B, C, C) float64: predictions (columns) for each label (rows)
    activity: dict[str, Tensor]  # (B,) float64 each; see `activity_of`
    learning: dict[str, Tensor]  # (B,) float64 each: means over the images learned from; NaN where there is no value
    labels: Tensor  # (B, N) int64, class with the highest mean response of each E neuron; NO_LABEL for none
    fields: Tensor  # (N, H, W) input weights of the E neurons of the first network

    @classmethod
    def joined(cls, parts: Sequence[Judgement]) -> Judgement:
        """Concatenate the results of groups of networks, in the order of the networks."""

        def together(named: Sequence[dict[str, Tensor]], dim: int = 0) -> dict[str, Tensor]:
            return {name: torch.cat([one[name] for one in named], dim) for name in named[0]}

        return cls(
            images=parts[0].images,
            curves=together([part.curves for part in parts], dim=1),
            confusion=together([part.confusion for part in parts]),
            activity=together([part.activity for part in parts]),
            learning=together([part.learning for part in parts]),
            labels=torch.cat([part.labels for part in parts]),
            fields=parts[0].fields,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers but labels and weights as Python numbers; see `summary`."""
        return {
            "accuracy": {name: summary(accuracy(matrix)) for name, matrix in self.confusion.items()},
            "activity": {name: summary(values) for name, values in self.activity.items()},
            "learning": {name: summary(values) for name, values in self.learning.items()},
            "confusion": {name: matrix.tolist() for name, matrix in self.confusion.items()},
            "curves": {"images": self.images, **{name: curve.T.tolist() for name, curve in self.curves.items()}},
        }


def summary(values: Tensor) -> dict[str, Any]:
    """Return the values of networks, (B,), with mean and sample standard deviation; None where there is none."""
    present = values[~values.isnan()]
    return {
        "mean": present.mean().item() if len(present) else None,
        "sd": present.std().item() if len(present) > 1 else None,
        "values": [None if math.isnan(value) else value for value in values.tolist()],
    }


def plan_images(dataset: Dataset, label_images: int, test_episodes: int, test_split: str) -> ImagePlan:
    """Assign images to learning, labelling and test.

    Args:
        dataset: All splits.
        label_images: Images of the training split to take labels from; 0, or more than there are: all of them, in
            which case they cannot be kept from learning.
        test_episodes: Held-out images; 0: all.
        test_split: "validation" or "test".

    Raises:
        ConfigError: The images for labels are of fewer than two classes.
    """
    available = len(dataset.train.labels)
    count = min(label_images or available, available)
    labelling = ImageSet(*(part[available - count :] for part in dataset.train))
    if len(labelling.labels.unique()) < 2:
        raise ConfigError(
            f"label_images must hold at least two classes, got {count} of class "
            f"{dataset.classes[int(labelling.labels[0])]}; raise it"
        )
    whole = dataset.split(test_split)
    held_out = ImageSet(*(part[: test_episodes or None] for part in whole))
    return ImagePlan(labelling, held_out, count if count < available else 0, dataset.num_classes)


@torch.no_grad()
def judge(
    rule: Rule,
    env_id: str,
    config: UnsupervisedConfig,
    plan: ImagePlan,
    cohort: Cohort,
    watcher: Watcher | None = None,
) -> Judgement:
    """Train fresh networks with a frozen rule; at each test freeze weights and thresholds, assign labels and classify.

    The networks learn from the whole training split without the images that are held back, whatever `split` and
    `image_pool` of `config` are; a lifetime and its plasticity last all of training.

    Args:
        rule: Plasticity rule.
        env_id: An unsupervised environment.
        config: Its settings.
        plan: Images to take labels from, and to test on.
        cohort: The networks. An episode is an image, drawn with replacement; the input spikes of labelling and test are
            the same whatever the seed and the test. Tests do not change the networks.
        watcher: Progress callback; receives accuracy by all-activity.
    """
    settings = learning_settings(rule, config) | {"image_pool": 0}
    env = PlasticityVectorEnv(env_id, num_envs=cohort.num_networks, **settings)
    image_task(env.engine.task).reserve_images(plan.held_back)
    env.engine.lifetimes.common_seed = cohort.common_seed
    env.reset(seed=cohort.seed)
    watcher, learning = watcher or Watcher(), Means()
    accuracies: dict[str, list[Tensor]] = {ALL_ACTIVITY: [], PROPORTION_WEIGHTING: [], LINEAR_PROBE: []}
    seen = 0
    for images in cohort.times:
        while seen < images:
            for values in _train(env, rule, plan, min(images - seen, TOGETHER)):
                learning.add(values)
                seen += 1
                watcher.shown()
        label_counts = responses(env.engine, plan.labelling.images, np.random.default_rng([TEST_SEED, 0]))  # (B, L, N)
        counts = responses(env.engine, plan.held_out.images, np.random.default_rng([TEST_SEED, 1]))  # (B, M, N)
        confusion = read_out(label_counts, plan.labelling.labels, counts, plan.held_out.labels, plan.num_classes)
        for name, matrix in confusion.items():
            accuracies[name].append(accuracy(matrix))
        watcher.tested(images, accuracies[ALL_ACTIVITY][-1])
    means = [class_responses(own, plan.labelling.labels, plan.num_classes) for own in label_counts.cpu()]  # (C, N)
    fields = _receptive_fields(env.engine, plan.labelling.images.shape[1:])
    env.close()
    return Judgement(
        images=cohort.times,
        curves={name: torch.stack(shares) for name, shares in accuracies.items()},
        confusion=confusion,
        activity=activity_of(counts),
        learning=learning.values(),
        labels=torch.stack([assign_labels(own) for own in means]),
        fields=fields,
    )


class Means:
    """Running means over images, ignoring NaN."""

    def __init__(self) -> None:
        self._totals: dict[str, Tensor] = {}
        self._numbers: dict[str, Tensor] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add an image's values, (B,) each; NaN where there is none."""
        for name, value in values.items():
            value = value.double()
            self._totals[name] = self._totals.get(name, 0.0) + value.nan_to_num(0.0)
            self._numbers[name] = self._numbers.get(name, 0.0) + (~value.isnan()).double()

    def values(self) -> dict[str, Tensor]:
        """Return the means, (B,) each; NaN where there never was a value."""
        return {name: (total / self._numbers[name]).cpu() for name, total in self._totals.items()}


def _train(env: PlasticityVectorEnv, rule: Rule, plan: ImagePlan, count: int) -> list[dict[str, Tensor]]:
    """Train the networks by the rule on some images; return reward, its terms and E spikes, (B,) each, of each image.

    Raises:
        RuntimeError: An image reserved for labels or for the test was shown, which invalidates the evaluation.
    """
    allowed = len(image_task(env.engine.task).dataset.train.labels) - plan.held_back
    results = env.run_episodes(rule, count)
    shown = max(int(result.info["image"].max()) for result in results)
    if image_task(env.engine.task).config.split != "train" or shown >= allowed:
        raise RuntimeError("a network was shown a held-out image; learning must use the training split only")
    return [
        {"reward": result.reward, **result.terms, "spikes": result.spikes[env.engine.task.readout]}
        for result in results
    ]


def read_out(
    label_counts: Tensor, labels: Tensor, counts: Tensor, test_labels: Tensor, num_classes: int
) -> dict[str, Tensor]:
    """Classify held-out images by every read-out, and return its confusion matrices, (B, C, C) each.

    Args:
        label_counts: Spikes for the images to take labels from, (B, L, N).
        labels: Their classes, (L,).
        counts: Spikes for the images to classify, (B, M, N).
        test_labels: Their classes, (M,).
        num_classes: C.
    """
    label_counts, counts = label_counts.cpu(), counts.cpu()
    confusion: dict[str, list[Tensor]] = {ALL_ACTIVITY: [], PROPORTION_WEIGHTING: [], LINEAR_PROBE: []}
    for train_counts, test_counts in zip(label_counts, counts, strict=True):
        means = class_responses(train_counts, labels, num_classes)
        assigned = assign_labels(means)
        predictions = {
            ALL_ACTIVITY: shared_answers(all_activity(test_counts, assigned, num_classes)),
            PROPORTION_WEIGHTING: shared_answers(proportion_weighting(test_counts, means, assigned)),
            LINEAR_PROBE: linear_probe(train_counts, labels, test_counts, num_classes),
        }
        for name, prediction in predictions.items():
            confusion[name].append(confusion_matrix(test_labels, prediction))
    return {name: torch.stack(matrices) for name, matrices in confusion.items()}


def activity_of(counts: Tensor) -> dict[str, Tensor]:
    """Return statistics of responses, (B,) float64 each.

    - `spikes`: E spikes for an image, on average.
    - `active`: share of the E neurons that fire for an image, on average.
    - `winner_entropy`: entropy of the winners (most spikes; ties share an image) over log N; 1 if all win alike.
      With fewer images than neurons it cannot reach 1.
    - `dead`: neurons that fire for none of the images.
    - `greedy`: neurons that win more than `GREEDY` times their fair share, which is 1 / N of the images with a
      winner. There can be none among ten neurons or fewer.

    Args:
        counts: Spikes, int64 (B, M, N).
    """
    num_networks, _, num_neurons = counts.shape
    wins = torch.zeros(num_networks, num_neurons, dtype=torch.float64)
    for row, own in enumerate(counts.cpu()):
        wins[row] = shared_answers(own[own.amax(dim=1) > 0]).sum(dim=0)
    fair = wins.sum(dim=1, keepdim=True) / num_neurons  # (B, 1) images
    return {
        "spikes": counts.sum(dim=2).double().mean(dim=1).cpu(),
        "active": (counts > 0).double().mean(dim=(1, 2)).cpu(),
        "winner_entropy": diversity(wins),
        "dead": (counts.sum(dim=1) == 0).sum(dim=1).double().cpu(),
        "greedy": (wins > GREEDY * fair + 1e-9).sum(dim=1).double(),
    }


def _receptive_fields(engine: Engine, shape: torch.Size) -> Tensor:
    """Return the receptive fields of the first network's readout neurons, (N, H, W).

    Raises:
        ConfigError: No projection leads from the input to them.
    """
    task = image_task(engine.task)
    ends = [(p.source, p.target) for p in engine.network.projections]
    if (task.input_name, task.readout) not in ends:
        raise ConfigError(
            f"the judge labels shows weights from {task.input_name!r} to {task.readout!r}, and {type(task).__name__} "
            "has no such projection; let the task say judge_by = 'returns'"
        )
    field = engine.network.projections[ends.index((task.input_name, task.readout))]
    return engine.network.weights_of(field.name)[0].T.reshape(-1, *shape).clone().cpu()


def judge_pixels(plan: ImagePlan) -> dict[str, Tensor]:
    """Classify the held-out images from pixels, without a network, by the same labels: (1, C, C) by read-out.

    Nearest centroid is the baseline of a network's read-outs; the linear probe is that of its linear probe.
    """
    train, test = (part.images.flatten(1) / 255.0 for part in (plan.labelling, plan.held_out))
    predictions = {
        LINEAR_PROBE: linear_probe(train, plan.labelling.labels, test, plan.num_classes),
        NEAREST_CENTROID: nearest_centroid(train, plan.labelling.labels, test, plan.num_classes),
    }
    return {name: confusion_matrix(plan.held_out.labels, prediction)[None] for name, prediction in predictions.items()}
