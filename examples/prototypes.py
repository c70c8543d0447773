"""Baseline of winner-take-all learning: k-means in place of a network in which one neuron wins each image.

    python examples/prototypes.py                       400 prototypes, three of Lloyd's searches
    python examples/prototypes.py --prototypes 100

Prototypes are learned without labels from the training images of networks, labelled by the images that label neurons
in an evaluation, and classify the test images by the label of the nearest one.
"""

import argparse

import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

from snn_plasticity_gym.evaluation.labels import (
    accuracy,
    all_activity,
    assign_labels,
    class_responses,
    confusion_matrix,
    shared_answers,
)
from snn_plasticity_gym.evaluation.unsupervised import plan_images
from snn_plasticity_gym.tasks.datasets import load_dataset


def main(
    prototypes: int = 400, searches: int = 3, label_images: int = 5000, dataset: str = "auto", split: str = "test"
) -> list[float]:
    """Print and return the test accuracy of prototypes, one of each search.

    Args:
        prototypes: N.
        searches: Runs of Lloyd's algorithm from different starts (k-means++).
        label_images: Images for labelling prototypes, excluded from learning.
        dataset: As in the programs.
        split: "validation" or "test".
    """
    data = load_dataset(dataset)
    plan = plan_images(data, label_images, 0, split)
    learned = _pixels(data.train.images[: len(data.train.images) - plan.held_back])
    found = []
    for seed in range(searches):
        with threadpool_limits(limits=1):  # as elsewhere: threads on busy cores wait for each other
            means = KMeans(prototypes, n_init=1, max_iter=100, random_state=seed).fit(learned)
        winners = (
            torch.nn.functional.one_hot(torch.from_numpy(means.predict(_pixels(images))).long(), prototypes)  # (M, N)
            for images in (plan.labelling.images, plan.held_out.images)
        )
        assigned = assign_labels(class_responses(next(winners), plan.labelling.labels, plan.num_classes))  # (N,)
        answers = shared_answers(all_activity(next(winners), assigned, plan.num_classes))
        found.append(float(accuracy(confusion_matrix(plan.held_out.labels, answers))))
        print(f"search {seed}: {found[-1]:.1%} of {len(answers):,} images of the {split} split")
    print(f"{prototypes} prototypes: {np.mean(found):.1%}")
    return found


def _pixels(images: Tensor) -> np.ndarray:
    return images.flatten(1).numpy().astype(np.float32)  # (images, pixels)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Accuracy of classification by the nearest of N prototypes.")
    parser.add_argument("--prototypes", type=int, default=400, help="N (%(default)s)")
    parser.add_argument("--searches", type=int, default=3, help="each from another start (%(default)s)")
    parser.add_argument("--dataset", default="auto", help="as in the programs (%(default)s)")
    main(**vars(parser.parse_args()))
