"""Labels and read-outs, computed by hand; toys that must be read perfectly, and not at all."""

import numpy as np
import pytest
import torch

from snn_plasticity_gym.evaluation.labels import (
    NO_LABEL,
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

# Three classes, the last without images; four neurons, the last silent.
COUNTS = torch.tensor([[4, 0, 1, 0], [2, 0, 1, 0], [0, 3, 1, 0], [3, 3, 1, 0]])
LABELS = torch.tensor([0, 0, 1, 0])
MEANS = torch.tensor([[3.0, 1.0, 1.0, 0.0], [0.0, 3.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
ASSIGNED = torch.tensor([0, 1, 0, NO_LABEL])  # the third neuron answers classes 0 and 1 alike: the lowest
ASKED = torch.tensor([[1, 2, 0, 9], [0, 0, 4, 0], [0, 0, 0, 0]])


def test_neurons_get_the_class_of_their_highest_mean_response():
    assert torch.equal(class_responses(COUNTS, LABELS, 3), MEANS)
    assert torch.equal(assign_labels(MEANS), ASSIGNED)


def test_means_and_not_sums_decide_where_classes_have_different_numbers_of_images():
    counts, labels = torch.tensor([[2], [2], [2], [3]]), torch.tensor([4, 4, 4, 7])
    assert assign_labels(class_responses(counts, labels, 8)).tolist() == [7]


def test_all_activity_is_the_mean_over_the_neurons_of_a_class():
    expected = torch.tensor([[0.5, 2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    assert torch.equal(all_activity(ASKED, ASSIGNED, 3), expected)


def test_proportion_weighting_weighs_spikes_by_the_share_of_the_class():
    # Shares of the own class: 3 of 3, 3 of 4, 1 of 2. Class 0: mean of neurons 0 and 2; class 1: neuron 1.
    expected = torch.tensor([[(1 + 0) / 2, 2 * 0.75, 0.0], [4 * 0.5 / 2, 0.0, 0.0], [0.0] * 3], dtype=torch.float64)
    torch.testing.assert_close(proportion_weighting(ASKED, MEANS, ASSIGNED), expected)


def test_equals_share_an_answer():
    counts = torch.tensor([[0.0] * 10, [1.0] + [0.0] * 9, [3.0, 0.0, 3.0] + [1.0] * 7, [2.0] * 10])
    expected = torch.zeros(4, 10, dtype=torch.float64)
    expected[0] = expected[3] = 0.1
    expected[1, 0] = 1.0
    expected[2, [0, 2]] = 0.5
    assert torch.equal(shared_answers(counts), expected)


def test_rows_of_a_confusion_matrix_are_labels():
    answers = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    confusion = confusion_matrix(torch.tensor([0, 1, 1, 2]), answers)
    assert confusion.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.5, 1.5], [0.0, 0.0, 1.0]]
    assert accuracy(confusion).item() == pytest.approx(2.5 / 4)
    assert accuracy(torch.stack([confusion, confusion.T])).tolist() == pytest.approx([2.5 / 4] * 2)


def toy(num_images: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Twenty neurons, two for each class, that fire for it and a little for anything."""
    rng = np.random.default_rng(seed)
    labels = torch.from_numpy(rng.integers(10, size=num_images))
    counts = torch.from_numpy(rng.integers(2, size=(num_images, 20)))
    for image, label in enumerate(labels):
        counts[image, [int(label), int(label) + 10]] += 5
    return counts, labels


def shares_right(labels: torch.Tensor) -> dict[str, float]:
    """Share of right answers by each read-out when the label images are said to have these labels."""
    (known, _), (asked, truth) = toy(400, 0), toy(300, 1)
    means = class_responses(known, labels, 10)
    assigned = assign_labels(means)
    answers = {
        "all-activity": shared_answers(all_activity(asked, assigned, 10)),
        "proportion weighting": shared_answers(proportion_weighting(asked, means, assigned)),
        "linear probe": linear_probe(known, labels, asked, 10),
        "nearest centroid": nearest_centroid(known, labels, asked, 10),
    }
    return {name: accuracy(confusion_matrix(truth, answer)).item() for name, answer in answers.items()}


def test_every_read_out_reads_a_clear_code_perfectly():
    assert shares_right(toy(400, 0)[1]) == dict.fromkeys(shares_right(toy(400, 0)[1]), 1.0)


def test_shuffled_labels_leave_every_read_out_at_chance():
    labels = toy(400, 0)[1]
    found: dict[str, list[float]] = {}
    for seed in range(6):
        order = torch.from_numpy(np.random.default_rng(100 + seed).permutation(len(labels)))
        for name, share in shares_right(labels[order]).items():
            found.setdefault(name, []).append(share)
    for name, shares in found.items():
        assert abs(np.mean(shares) - 0.1) < 3.5 * np.std(shares, ddof=1) / 6**0.5 + 0.01, name
        assert np.mean(shares) < 0.25, name


def test_the_probe_scales_its_features():
    counts, labels = toy(200, 0)
    scales = torch.logspace(-4, 4, 20)
    assert torch.equal(
        linear_probe(counts * scales, labels, counts * scales, 10), linear_probe(counts, labels, counts, 10)
    )


def test_the_nearest_centroid_of_hand_made_points():
    points, labels = torch.tensor([[0.0, 0.0], [2.0, 0.0], [9.0, 9.0]]), torch.tensor([3, 3, 5])
    answers = nearest_centroid(points, labels, torch.tensor([[1.0, 1.0], [8.0, 8.0]]), 6)
    assert answers.argmax(dim=1).tolist() == [3, 5] and answers.sum(dim=1).tolist() == [1.0, 1.0]
