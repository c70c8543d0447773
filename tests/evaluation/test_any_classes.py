"""The judges, with other numbers of classes than ten: what is counted, and how its pictures name it."""

import numpy as np
import pytest
import torch

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.evaluation.classification import learning_curve
from snn_plasticity_gym.evaluation.curves import Cohort
from snn_plasticity_gym.evaluation.network_life import record_lifetime
from snn_plasticity_gym.evaluation.unsupervised import judge, judge_pixels, plan_images
from snn_plasticity_gym.report.network_figures import network_pictures
from snn_plasticity_gym.rules.registry import make_rule
from snn_plasticity_gym.tasks.datasets import load_dataset, register_dataset

UNSUP, SEMI = "SNNPlastic-Unsup1-v0", "SNNPlastic-Semi-v0"
SIZES = {"num_steps": 12, "history_length": 8, "n_exc": 12, "gain_input_exc": 40.0}


def register(num_classes, each=12):
    """Register images that a linear classifier tells apart: class k has its own bright pixels; labels begin at 1."""
    labels = np.tile(np.arange(num_classes), each)
    images = np.full((len(labels), 8, 10), 20)
    images[np.arange(len(labels)), labels // 10, labels % 10] += 200
    register_dataset("own", images.astype(np.uint8), labels + 1)
    return load_dataset("own")


@pytest.mark.parametrize("num_classes", [2, 26])
def test_a_classifier_is_tested_in_all_its_classes(num_classes):
    dataset = register(num_classes)
    config = environment_config(SEMI, dataset="own", hidden_sizes=(6,))
    curve = learning_curve(make_rule("zero"), SEMI, config, Cohort(2, 3, 0, tests=1), 0, "validation")
    confusion = curve.tests[-1].confusion
    assert confusion.shape == (2, num_classes, num_classes)
    expected = torch.bincount(dataset.validation.labels, minlength=num_classes).double()
    torch.testing.assert_close(confusion.sum(dim=2), expected.expand(2, -1))
    right = confusion.diagonal(dim1=1, dim2=2).sum(dim=1) / len(dataset.validation.labels)
    torch.testing.assert_close(curve.accuracy[-1], right)


@pytest.mark.parametrize("num_classes", [2, 26])
def test_an_unsupervised_network_is_read_in_all_its_classes(num_classes):
    dataset = register(num_classes)
    plan = plan_images(dataset, 4 * num_classes, 0, "test")
    config = environment_config(UNSUP, dataset="own", **SIZES)
    judged = judge(make_rule("stdp"), UNSUP, config, plan, Cohort(2, 3, 0))
    for matrix in judged.confusion.values():
        assert matrix.shape == (2, num_classes, num_classes)
        torch.testing.assert_close(matrix.sum(dim=(1, 2)), torch.full((2,), len(dataset.test.labels)).double())
    assert int(judged.labels.max()) < num_classes
    for name, matrix in judge_pixels(plan).items():
        assert matrix[0].diagonal().sum() == matrix.sum() == len(dataset.test.labels), name  # a clear code


@pytest.mark.parametrize("num_classes", [26, 62])
@pytest.mark.parametrize("env_id", [UNSUP, SEMI])
def test_pictures_name_the_classes_as_their_author_did(env_id, num_classes):
    dataset = register(num_classes)
    config = environment_config(env_id, dataset="own", **(SIZES if env_id == UNSUP else {"hidden_sizes": (6,)}))
    life = record_lifetime(make_rule("zero"), env_id, config, 2, seed=0)
    assert life.classes == dataset.classes and life.after.confusion.shape == (num_classes, num_classes)
    pictures = {picture.name: picture for picture in network_pictures(life, "")}
    axes = pictures["network_confusion"].figure.axes[0]
    places, names = axes.get_xticks(), [label.get_text() for label in axes.get_xticklabels()]
    assert names == [str(int(place) + 1) for place in places] and 20 < len(names) <= 32
    assert ("Numbers" in pictures["network_confusion"].caption) == bool(num_classes <= 26)
    assert f", a {life.label + 1}, the" in pictures["network_raster"].caption
    shown = [label.get_text() for label in pictures["network_stability"].figure.axes[0].get_yticklabels()]
    assert shown[0] == "1" and set(shown) <= set(dataset.classes)
