"""Tasks with other numbers of classes than ten: outputs, rewards and third factors against sums by hand."""

import math

import numpy as np
import pytest
import torch

from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.tasks.datasets import register_dataset

CLASSES = [2, 9, 26]
SMALL = {"hidden_sizes": (5,), "num_steps": 6, "history_length": 4, "image_pool": 0, "max_rate": 1.0}


def register(num_classes):
    """Register images of so many classes, whose labels are even numbers from 4 on."""
    labels = np.tile(4 + 2 * np.arange(num_classes), 6)
    images = np.random.default_rng(0).integers(0, 256, size=(len(labels), 6, 4)).astype(np.uint8)
    register_dataset(f"classes-{num_classes}", images, labels)
    return f"classes-{num_classes}"


def shown_images(env_id, num_classes, **settings):
    """Yield the environment at the end of some images, with the counts of its outputs (B, C), labels and result."""
    env = PlasticityVectorEnv(env_id, 3, dataset=register(num_classes), **(SMALL | settings))
    env.reset(seed=1)
    for _ in range(4):
        labels = [env.engine.task.shown(row).label for row in range(3)]
        while (events := env.events()) is not None:
            env.apply(torch.full_like(events.weight, 0.5))
        result = env.finish()
        counts = (result.rates * env.config.num_steps).round().int().tolist()
        assert np.shape(counts) == (3, num_classes) and max(labels) < num_classes
        yield env, counts, labels, result


@pytest.mark.parametrize("num_classes", CLASSES)
def test_semi_rewards_the_margin_over_all_other_classes(num_classes):
    seen = 0
    for env, counts, labels, result in shown_images("SNNPlastic-Semi-v0", num_classes):
        for row in range(3):
            rates = [count / 6 for count in counts[row]]
            right = rates.pop(labels[row])
            answer = 1 if int(result.info["winner"][row]) == labels[row] else -1
            expected = answer + (right - max(rates)) - 0.1 * (right + sum(rates)) / num_classes
            assert float(result.reward[row]) == pytest.approx(expected, abs=1e-6)
            seen += sum(counts[row])
        assert env.engine.plastic_weights(0)["hidden_1_to_output"].shape == (5, num_classes)
    assert seen  # outputs have fired


@pytest.mark.parametrize("num_classes", CLASSES)
def test_grad_has_the_cross_entropy_of_all_classes(num_classes):
    for env, counts, labels, result in shown_images("SNNPlastic-Grad-v0", num_classes, layer_scalars=(0.5, 1.0)):
        for row in range(3):
            powers = [math.exp(env.config.alpha_softmax * count / 6) for count in counts[row]]
            expected = -math.log(powers[labels[row]] / sum(powers))
            assert float(result.terms["loss"][row]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("num_classes", CLASSES)
def test_the_teaching_current_sums_to_nothing(num_classes):
    for env, _, labels, _ in shown_images("SNNPlastic-Semi-v0", num_classes, third_factor="teaching"):
        factors = env.engine.task.factors()["output"]
        for row in range(3):
            expected = [float(k == labels[row]) - 1 / num_classes for k in range(num_classes)]
            assert factors[row].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("num_classes", CLASSES)
def test_feedback_is_the_error_of_all_classes(num_classes):
    for env, counts, labels, _ in shown_images("SNNPlastic-Semi-v0", num_classes, third_factor="feedback"):
        factors = env.engine.task.factors()["output"]
        for row in range(3):
            powers = [math.exp(env.config.alpha_softmax * count / 6) for count in counts[row]]
            expected = [float(k == labels[row]) - power / sum(powers) for k, power in enumerate(powers)]
            assert factors[row].tolist() == pytest.approx(expected, abs=1e-5)
