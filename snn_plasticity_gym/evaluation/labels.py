"""Classification from spike counts: neuron labels, read-outs by them, a linear probe, accuracy.

Pure functions. Axes: M images, N neurons, C classes. Neurons get their labels from the responses to labelled images
after learning, with frozen weights; a read-out then classifies other images.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

NO_LABEL = -1  # of a neuron silent for all labelled images


def class_responses(counts: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Return the mean spikes of each neuron for an image of each class, float64 (C, N); 0 for classes without images.

    Args:
        counts: Spikes of each neuron for each labelled image, (M, N).
        labels: Classes, int64 (M,).
        num_classes: C.
    """
    total = torch.zeros(num_classes, counts.shape[1], dtype=torch.float64, device=counts.device)
    total.index_add_(0, labels, counts.to(torch.float64))
    return total / labels.bincount(minlength=num_classes).clamp(min=1).unsqueeze(1)


def assign_labels(responses: Tensor) -> Tensor:
    """Return the class with the highest mean response of each neuron, int64 (N,); NO_LABEL for a silent neuron.

    Diehl & Cook (2015), section 2.5. Ties go to the lowest class, as in the authors' code.

    Args:
        responses: From `class_responses`, (C, N).
    """
    return torch.where(responses.amax(dim=0) > 0, responses.argmax(dim=0), NO_LABEL)


def all_activity(counts: Tensor, assigned: Tensor, num_classes: int) -> Tensor:
    """Score each class by the mean spikes of the neurons that have its label: float64 (M, C).

    Diehl & Cook (2015), section 2.5: the highest score is the prediction. A class without neurons scores 0.

    Args:
        counts: Spikes for the images to classify, (M, N).
        assigned: From `assign_labels`, (N,).
        num_classes: C.
    """
    return counts.to(torch.float64) @ _mean_over_own(assigned, num_classes)


def proportion_weighting(counts: Tensor, responses: Tensor, assigned: Tensor) -> Tensor:
    """Score as `all_activity`, each neuron's spikes weighted by its selectivity for the class: float64 (M, C).

    The weight is the share of the class in the neuron's responses, responses[c, n] / sum over c. Name and formula are
    BindsNET's (Hazan et al. 2018), where as here a class is scored by the mean over the neurons that have its label.

    Args:
        counts: Spikes for the images to classify, (M, N).
        responses: From `class_responses`, (C, N).
        assigned: From `assign_labels`, (N,).
    """
    share = responses / responses.sum(dim=0, keepdim=True).clamp(min=1e-12)  # (C, N)
    return counts.to(torch.float64) @ (share.T * _mean_over_own(assigned, len(responses)))


def _mean_over_own(assigned: Tensor, num_classes: int) -> Tensor:
    """Return the matrix that averages over the neurons of each class, float64 (N, C)."""
    own = (assigned.unsqueeze(1) == torch.arange(num_classes, device=assigned.device)).to(torch.float64)  # (N, C)
    return own / own.sum(dim=0, keepdim=True).clamp(min=1)


def shared_answers(scores: Tensor) -> Tensor:
    """Return predictions as shares of the classes, float64 (M, C), from scores (M, C): ties share equally.

    That is the expectation of a random choice among ties; an image without spikes favours no class.
    """
    most = (scores == scores.amax(dim=1, keepdim=True)).to(torch.float64)
    return most / most.sum(dim=1, keepdim=True)


def linear_probe(counts: Tensor, labels: Tensor, test_counts: Tensor, num_classes: int) -> Tensor:
    """Classify images by a logistic regression fitted on labelled ones: one-hot predictions, float64 (M, C).

    scikit-learn's `LogisticRegression` with its defaults (L2, C = 1) on features scaled to mean 0 and variance 1: how
    much of the class is linearly readable, whatever label a neuron has.

    Args:
        counts: Features of the labelled images, (L, N).
        labels: Their classes, at least two different ones, int64 (L,).
        test_counts: Features of the images to classify, (M, N).
        num_classes: C.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    # One thread: where other programs run, those of matrix products this small wait for each other, 15 times as long.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # with few neurons it can end just short of its tolerance
        probe.fit(counts.cpu().numpy().astype(np.float64), labels.cpu().numpy())
    return _one_hot(probe.predict(test_counts.cpu().numpy().astype(np.float64)), num_classes)


def nearest_centroid(features: Tensor, labels: Tensor, test_features: Tensor, num_classes: int) -> Tensor:
    """Classify images by the nearest class mean (Euclidean); arguments and predictions as in `linear_probe`."""
    from sklearn.neighbors import NearestCentroid

    with warnings.catch_warnings():  # of pixels that are the same in all images, which does no harm
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        judge = NearestCentroid().fit(features.cpu().numpy().astype(np.float64), labels.cpu().numpy())
    return _one_hot(judge.predict(test_features.cpu().numpy().astype(np.float64)), num_classes)


def _one_hot(answers: np.ndarray, num_classes: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.as_tensor(answers, dtype=torch.int64), num_classes).to(torch.float64)


def confusion_matrix(labels: Tensor, answers: Tensor) -> Tensor:
    """Count predictions (columns) for each label (rows): float64 (C, C), rows sum to the images of the label.

    Args:
        labels: True classes, int64 (M,).
        answers: Predictions as shares of the classes, float64 (M, C).
    """
    confusion = answers.new_zeros(answers.shape[1], answers.shape[1])
    return confusion.index_add_(0, labels.to(answers.device), answers)


def accuracy(confusion: Tensor) -> Tensor:
    """Return the share of correct predictions: (..., C, C) -> (...)."""
    return confusion.diagonal(dim1=-2, dim2=-1).sum(dim=-1) / confusion.sum(dim=(-2, -1))
