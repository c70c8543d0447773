"""Test accuracy of classifiers trained by a plasticity rule: fresh networks learn by it, then are tested frozen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from snn_plasticity_gym.config.environments import FeedforwardConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.curves import TOGETHER, Cohort, Watcher
from snn_plasticity_gym.evaluation.labels import accuracy, confusion_matrix, shared_answers
from snn_plasticity_gym.evaluation.responses import responses
from snn_plasticity_gym.evaluation.task_facts import learning_settings
from snn_plasticity_gym.networks.differentiable import forward
from snn_plasticity_gym.networks.encoders import poisson_encode
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.tasks.base import Task
from snn_plasticity_gym.tasks.datasets import ImageSet
from snn_plasticity_gym.tasks.image_task import image_task

TEST_SEED = 1_000_000_007  # of the input spikes of every test; far from the seeds that runs draw
TEST_BATCH = 500  # images at a time


class Examination(NamedTuple):
    """Test result of B networks on N images, with frozen weights and no third factor."""

    confusion: Tensor  # (B, C, C) float64: predictions (columns) for each label (rows); ties share a prediction
    loss: Tensor  # (B,) float64, mean cross-entropy of softmax(alpha_softmax * rate)

    @property
    def accuracy(self) -> Tensor:
        """Share of images classified correctly, (B,)."""
        return accuracy(self.confusion)


class LearningCurve(NamedTuple):
    """Test results of B networks during learning."""

    images: list[int]  # training images seen, at each of K tests
    tests: list[Examination]  # K of them

    @property
    def accuracy(self) -> Tensor:
        """Accuracy on held-out images, (K, B)."""
        return torch.stack([test.accuracy for test in self.tests])

    @property
    def loss(self) -> Tensor:
        """Mean cross-entropy on held-out images, (K, B)."""
        return torch.stack([test.loss for test in self.tests])

    @classmethod
    def joined(cls, parts: Sequence[LearningCurve]) -> LearningCurve:
        """Concatenate the curves of groups of networks, in the order of the networks."""
        tests = zip(*(part.tests for part in parts), strict=True)
        return cls(parts[0].images, [Examination(*map(torch.cat, zip(*same, strict=True))) for same in tests])

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers as Python numbers; standard deviation over networks, None for a single one."""
        last = self.accuracy[-1]
        return {
            "accuracy_mean": last.mean().item(),
            "accuracy_sd": last.std().item() if len(last) > 1 else None,
            "images": self.images,
            "accuracy": self.accuracy.T.tolist(),
            "loss": self.loss.T.tolist(),
            "confusion": self.tests[-1].confusion.tolist(),
        }


@torch.no_grad()
def learning_curve(
    rule: Rule,
    env_id: str,
    config: FeedforwardConfig,
    cohort: Cohort,
    test_episodes: int,
    test_split: str,
    watcher: Watcher | None = None,
) -> LearningCurve:
    """Train fresh networks with a frozen rule, one image after the other, and test them at intervals.

    They learn from the training split, whatever `config.split` is; a lifetime and its plasticity last all of training.

    Args:
        rule: Plasticity rule; maps events to weight changes.
        env_id: An environment with a feed-forward classifier.
        config: Its settings.
        cohort: The networks; an episode is an image.
        test_episodes: Images of each test, the first of the split; 0: all.
        test_split: "validation" or "test".
        watcher: Progress callback.
    """
    settings = learning_settings(rule, config)
    env = PlasticityVectorEnv(env_id, num_envs=cohort.num_networks, **settings)
    held_out = image_task(env.engine.task).dataset.split(test_split)
    env.engine.lifetimes.common_seed = cohort.common_seed
    env.reset(seed=cohort.seed)
    watcher = watcher or Watcher()
    examinations = []
    seen = 0
    for images in cohort.times:
        while seen < images:
            for _ in env.run_episodes(rule, min(images - seen, TOGETHER)):
                seen += 1
                watcher.shown()
        examinations.append(examine(env.engine, config, held_out, test_episodes))
        watcher.tested(images, examinations[-1].accuracy)
    env.close()
    return LearningCurve(cohort.times, examinations)


@torch.no_grad()
def examine(engine: Engine, config: FeedforwardConfig, part: ImageSet, num_images: int = 0) -> Examination:
    """Test all networks of an engine with plasticity and third factor off, on input spikes of a fixed seed.

    The prediction is the output neuron with most spikes. Ties share it, and so do all outputs if none spikes: that is
    the expectation of a random choice among them, and it favours no label.

    Args:
        engine: Of an environment with a feed-forward classifier.
        config: Its settings.
        part: Images.
        num_images: The first so many of them; 0: all.
    """
    rng = np.random.default_rng(TEST_SEED)
    num_images = min(num_images or len(part.labels), len(part.labels))
    if engine.network.has_groups:
        labels = part.labels[:num_images].to(engine.device)
        results = [
            _confusion_and_loss(counts, labels, config) for counts in responses(engine, part.images[:num_images], rng)
        ]
        confusions, losses = (torch.stack(parts).double() for parts in zip(*results, strict=True))
        return Examination(confusions, losses / num_images)
    projections, params = engine.task.projections, _layer_params(engine.task)
    layers = [engine.network.weights_of(projection.name) for projection in projections]  # (B, n_pre, n_post) each
    gains = [projection.gain for projection in projections]
    num_classes = engine.network.populations[engine.task.readout].size
    confusion = torch.zeros(engine.num_lifetimes, num_classes, num_classes, dtype=torch.float64, device=engine.device)
    loss = torch.zeros(engine.num_lifetimes, dtype=torch.float64, device=engine.device)
    for start in range(0, num_images, TEST_BATCH):
        here = slice(start, min(start + TEST_BATCH, num_images))
        labels = part.labels[here].to(engine.device)
        intensity = part.images[here].reshape(-1) / 255.0
        spikes = poisson_encode(intensity, config.num_steps, config.spike_chance, rng)  # (T, images * pixels)
        inputs = spikes.view(config.num_steps, len(labels), -1).to(engine.device, torch.float32)
        for row in range(engine.num_lifetimes):
            weights = [layer[row] for layer in layers]
            activity = forward(weights, inputs, params, config.dt, gains, _step_function)
            batch_confusion, batch_loss = _confusion_and_loss(activity.spikes[-1].sum(dim=0), labels, config)
            confusion[row] += batch_confusion
            loss[row] += batch_loss / num_images
    return Examination(confusion, loss)


def _confusion_and_loss(counts: Tensor, labels: Tensor, config: FeedforwardConfig) -> tuple[Tensor, Tensor]:
    """Return the confusion matrix (C, C) and the summed cross-entropy of output spike counts (images, C)."""
    logits = config.alpha_softmax / config.duration * counts  # (images, C)
    return confusion_matrix(labels, shared_answers(counts)), F.cross_entropy(logits, labels, reduction="sum")


def _layer_params(task: Task) -> LIFParams:
    """Return the constants that all layers of a feed-forward classifier share.

    Raises:
        ConfigError: The network is no feed-forward classifier, or its layers differ.
    """
    sizes = {population.name: population.size for population in task.populations}
    params = [population.lif for population in task.populations if population.lif is not None]
    names = [population.name for population in task.populations]
    ends = [(p.source, p.target) for p in task.projections]
    plain = not any(p.one_to_one or p.recurrent or not p.autapses for p in task.projections)
    if not plain or ends != list(pairwise(names)) or len(set(params)) != 1 or names[-1] != task.readout:
        raise ConfigError(
            f"the judge classifier tests layers of equal neurons, all to all from each to the next, "
            f"{type(task).__name__} has {', '.join(f'{name} ({size})' for name, size in sizes.items())} joined by "
            f"{', '.join(p.name for p in task.projections)}; let it say judge_by = 'returns'"
        )
    return params[0]


def _step_function(x: Tensor) -> Tensor:
    return (x > 0).to(x.dtype)
