"""Record of one network that learns from images by a rule: before, during and after learning.

Axes: I training images, M test images, N readout neurons, H, W pixels, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.environments import EnvironmentConfig, FeedforwardConfig
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.classification import TEST_SEED, examine
from snn_plasticity_gym.evaluation.curves import test_times
from snn_plasticity_gym.evaluation.labels import (
    accuracy,
    all_activity,
    assign_labels,
    class_responses,
    confusion_matrix,
    shared_answers,
)
from snn_plasticity_gym.evaluation.responses import responses
from snn_plasticity_gym.evaluation.task_facts import learning_settings
from snn_plasticity_gym.evaluation.unsupervised import activity_of
from snn_plasticity_gym.rewards.winner import NO_WINNER
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.tasks.datasets import ImageSet
from snn_plasticity_gym.tasks.image_task import image_task

Array = NDArray[np.float64]

SNAPSHOTS = 5  # of the weights, the first before learning and the last after
LABEL_IMAGES = 300  # that unsupervised neurons get their labels from
TEST_IMAGES = 300
PER_CLASS = 3  # images of each class that are shown twice for the stability matrix


class Portrait(NamedTuple):
    """Responses of a network at one time, with frozen weights and thresholds, and no third factor."""

    activity: dict[str, float]  # see `activity_of`, of the test images
    wins: Array  # (N,) share of the test images that each readout neuron wins; ties share an image
    stability: Array  # (M', M') cosine of the responses to image i (rows) and, with other input spikes, to image j
    labels: NDArray[np.int64]  # (M',) their classes, ascending
    confusion: Array  # (C, C) predictions (columns) for each label (rows)
    labelled: bool  # whether neurons were assigned labels; else output neurons are the classes

    @property
    def accuracy(self) -> float:
        """Share of correct predictions."""
        return float(accuracy(torch.from_numpy(self.confusion)))

    @property
    def same_image(self) -> float:
        """Mean cosine of two responses to one image."""
        return float(self.stability.diagonal().mean())

    @property
    def other_images(self) -> float:
        """Mean cosine of responses to different images."""
        count = len(self.stability)
        return float((self.stability.sum() - self.stability.trace()) / (count * (count - 1)))


FACTS: dict[str, Callable[[Portrait], float]] = {
    "accuracy (%)": lambda portrait: 100 * portrait.accuracy,
    "spikes for an image": lambda portrait: portrait.activity["spikes"],
    "neurons active for an image (%)": lambda portrait: 100 * portrait.activity["active"],
    "entropy of winners (1: all win alike)": lambda portrait: portrait.activity["winner_entropy"],
    "neurons that never fire": lambda portrait: portrait.activity["dead"],
    "cosine of answers to one image": lambda portrait: portrait.same_image,
    "cosine of answers to different images": lambda portrait: portrait.other_images,
}
"""Measures of a network at one time, by name."""


class Life(NamedTuple):
    """A network's lifetime of learning by a rule."""

    ages: list[int]  # images seen at each snapshot
    weights: list[dict[str, NDArray[np.float32]]]  # at each snapshot, by plastic projection; see `plastic_weights`
    before: Portrait
    after: Portrait
    rewards: Array  # (I,)
    winners: NDArray[np.int64]  # (I,) neuron that won each image; -1: none
    active: Array  # (I,) share of the readout neurons that fired
    raster: dict[str, NDArray[np.bool_]]  # (T, neurons) spikes of every population for the last image
    label: int  # class of that image
    classes: tuple[str, ...]  # C names
    shape: tuple[int, int]  # H, W
    field_projection: str  # projection drawn as receptive fields
    step_length: float  # ms

    @property
    def facts(self) -> dict[str, tuple[float, float]]:
        """Measures of the network before and after learning."""
        return {name: (value(self.before), value(self.after)) for name, value in FACTS.items()}

    @property
    def wins(self) -> Array | None:
        """Shares of the test images that neurons win after learning, (N,)."""
        return self.after.wins

    def fields(self, snapshot: int) -> NDArray[np.float32]:
        """Return the receptive fields of the neurons that the input projects to, (neurons, H, W)."""
        return self.weights[snapshot][self.field_projection].T.reshape(-1, *self.shape)


@torch.no_grad()
def record_lifetime(rule: Rule, env_id: str, config: EnvironmentConfig, images: int, seed: int) -> Life:
    """Train one fresh network by a rule, and record it.

    It learns from the training split, any image of it but those that labels are taken from, without being renewed,
    whatever `split`, `image_pool`, `lifetime_length` and `plastic_episodes` are.

    Args:
        rule: Plasticity rule.
        env_id: Environment.
        config: Its settings.
        images: I, at least 1.
        seed: Of the network, its images and their spikes.
    """
    settings = learning_settings(rule, config) | {"image_pool": 0}
    env = PlasticityVectorEnv(env_id, num_envs=1, **settings)
    engine = env.engine
    train = image_task(engine.task).dataset.train
    num_labelling = min(LABEL_IMAGES, len(train.labels) // 2)
    labelling = ImageSet(*(part[len(part) - num_labelling :] for part in train))
    test = ImageSet(*(part[:TEST_IMAGES] for part in image_task(engine.task).dataset.validation))
    image_task(engine.task).reserve_images(num_labelling)
    env.reset(seed=seed)
    times = test_times(images, SNAPSHOTS - 1)
    snapshots = [plastic_weights(engine)]
    before = portrait(engine, config, labelling, test)
    rewards, winners, active = np.zeros(images), np.zeros(images, dtype=np.int64), np.zeros(images)
    for image in range(images):
        while (events := env.events()) is not None:
            env.apply(rule(events))
        raster = {name: spikes[0].clone().cpu().numpy() for name, spikes in engine.raster.items()}
        label = image_task(engine.task).shown(0).label
        result = env.finish()
        rewards[image], winners[image] = float(result.reward[0]), int(result.info["winner"][0])
        active[image] = float((result.rates[0] > 0).float().mean())
        if image + 1 in times:
            snapshots.append(plastic_weights(engine))
    shape = train.images.shape[1:]
    field = next(p.name for p in engine.network.projections if p.source == image_task(engine.task).input_name)
    after = portrait(engine, config, labelling, test)
    env.close()
    return Life(times, snapshots, before, after, rewards, winners, active, raster, label,
                image_task(engine.task).dataset.classes, (int(shape[0]), int(shape[1])), field, config.dt)  # fmt: skip


def portrait(engine: Engine, config: EnvironmentConfig, labelling: ImageSet, test: ImageSet) -> Portrait:
    """Measure the first network of an engine; the engine stays unchanged.

    Args:
        engine: Its networks.
        config: Its settings.
        labelling: Images that unsupervised neurons get their labels from.
        test: Images to classify.
    """
    counts = responses(engine, test.images, np.random.default_rng([TEST_SEED, 1]))[:1]  # (1, M, N)
    labelled = engine.task.judge_by != "classifier"
    if not labelled:
        confusion = examine(engine, cast(FeedforwardConfig, config), test).confusion[0]
    else:
        label_counts = responses(engine, labelling.images, np.random.default_rng([TEST_SEED, 0]))[0].cpu()  # (L, N)
        num_classes = image_task(engine.task).dataset.num_classes
        assigned = assign_labels(class_responses(label_counts, labelling.labels, num_classes))
        confusion = confusion_matrix(test.labels, shared_answers(all_activity(counts[0].cpu(), assigned, num_classes)))
    chosen = _some_of_each(test.labels, PER_CLASS)  # (M',)
    twice = [
        responses(engine, test.images[chosen], np.random.default_rng([TEST_SEED, 2, time]))[0].double()
        for time in (0, 1)
    ]
    return Portrait(
        activity={name: float(values[0]) for name, values in activity_of(counts).items()},
        wins=win_shares(counts[0]).numpy(),
        stability=cosines(*twice).numpy(),
        labels=test.labels[chosen].numpy(),
        confusion=confusion.cpu().numpy(),
        labelled=labelled,
    )


def win_shares(counts: Tensor) -> Tensor:
    """Return the share of the images with spikes that each neuron wins, ties sharing an image: (M, N) -> (N,)."""
    counts = counts[counts.amax(dim=1) > 0].double()
    most = (counts == counts.amax(dim=1, keepdim=True)).double()
    wins = (most / most.sum(dim=1, keepdim=True)).sum(dim=0)
    return wins / max(len(counts), 1)


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosine of every row of one matrix with every row of another, 0 for rows of zeros: (M, N) -> (M, M)."""
    first, second = (torch.nn.functional.normalize(part, dim=1) for part in (first, second))
    return first @ second.T


def winner_entropy(winners: NDArray[np.int64], num_neurons: int, window: int) -> Array:
    """Return the entropy of the last `window` images' winners over log min(window, N), at each image: (I,) -> (I,).

    1 if all possible neurons won equally often; NaN until `window` images were shown.
    """
    entropy = np.full(len(winners), np.nan)
    for end in range(window, len(winners) + 1):
        recent = winners[end - window : end]
        _, counts = np.unique(recent[recent != NO_WINNER], return_counts=True)
        share = counts / max(counts.sum(), 1)
        most = np.log(min(window, num_neurons))
        entropy[end - 1] = -(share * np.log(share)).sum() / most if most > 0 else 1.0
    return entropy


def sign_index(weights: NDArray[np.float32]) -> Array:
    """Return sum w / sum |w| of each pre neuron's synapses: 1 excitatory only, -1 inhibitory only; NaN without weight.

    Args:
        weights: (n_pre, n_post), NaN where there is no synapse.
    """
    total = np.nansum(np.abs(weights), axis=1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, np.nansum(weights, axis=1, dtype=np.float64) / total, np.nan)


def _some_of_each(labels: Tensor, count: int) -> Tensor:
    """Return the indices of the first `count` images of each class, by class."""
    return torch.cat([(labels == label).nonzero().squeeze(1)[:count] for label in labels.unique()])


def plastic_weights(engine: Engine) -> dict[str, NDArray[np.float32]]:
    """Return copies of the first network's plastic weights, (n_pre, n_post); NaN where there is no synapse."""
    found = {name: weights.clone().cpu().numpy() for name, weights in engine.plastic_weights(0).items()}
    for projection in engine.network.projections:
        if projection.name in found and not projection.autapses:
            np.fill_diagonal(found[projection.name], np.nan)
    return found
