"""The classifier's reward against numbers worked out by hand, and against a plain loop."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.config.environments import SemiConfig
from snn_plasticity_gym.rewards.classification import ClassificationReward
from snn_plasticity_gym.rewards.result import RewardResult
from snn_plasticity_gym.rewards.winner import NO_WINNER


def judge(
    counts: list[list[int]], winners: list[int], labels: list[int], num_steps: int, **settings: Any
) -> RewardResult:
    reward = ClassificationReward(SemiConfig(**settings))
    return reward(torch.tensor(counts), torch.tensor(winners), torch.tensor(labels), num_steps)


def outputs(**spikes: int) -> list[int]:
    """Ten counts; `outputs(k3=2)` has two spikes of output 3."""
    return [spikes.get(f"k{k}", 0) for k in range(10)]


# By hand

BY_HAND = [  # counts, winner, label, steps; reward, accuracy, margin, output rate with margin 2.0 and spikes 3.0
    ("right", outputs(k3=4, k7=1), 3, 3, 8, 1 + 2 * 3 / 8 - 3 * 5 / 80, 1.0, 3 / 8, 5 / 80),
    ("wrong", outputs(k3=4, k7=1), 3, 7, 8, -1 - 2 * 3 / 8 - 3 * 5 / 80, 0.0, -3 / 8, 5 / 80),
    ("wrong, the label silent", outputs(k3=4, k7=1), 3, 0, 8, -1 - 2 * 4 / 8 - 3 * 5 / 80, 0.0, -4 / 8, 5 / 80),
    ("silent", outputs(), NO_WINNER, 0, 8, -1.0, 0.0, 0.0, 0.0),
    ("a tie that was won", outputs(k0=2, k9=2), 0, 0, 4, 1 - 3 * 4 / 40, 1.0, 0.0, 4 / 40),
    ("a tie that was lost", outputs(k0=2, k9=2), 0, 9, 4, -1 - 3 * 4 / 40, 0.0, 0.0, 4 / 40),
    ("the best there is", outputs(k9=5), 9, 9, 5, 1 + 2 - 3 / 10, 1.0, 1.0, 1 / 10),
    ("the worst there is", [5] * 9 + [0], 0, 9, 5, -1 - 2 - 3 * 9 / 10, 0.0, -1.0, 9 / 10),
    ("one step", outputs(k5=1), 5, 5, 1, 1 + 2 - 3 / 10, 1.0, 1.0, 1 / 10),
]


@pytest.mark.parametrize(
    ("counts", "winner", "label", "steps", "reward", "accuracy", "margin", "rate"),
    [case[1:] for case in BY_HAND],
    ids=[case[0] for case in BY_HAND],
)
def test_by_hand(counts, winner, label, steps, reward, accuracy, margin, rate) -> None:
    result = judge([counts], [winner], [label], steps, alpha_margin=2.0, alpha_spike=3.0)
    assert result.reward.tolist() == pytest.approx([reward], abs=1e-6)
    assert list(result.terms) == ["accuracy", "margin", "output_rate"]
    assert [float(term) for term in result.terms.values()] == pytest.approx([accuracy, margin, rate], abs=1e-6)
    assert result.event_rewards is None


def test_the_answer_is_the_one_given_not_the_one_with_most_spikes() -> None:
    """Ties are the winner's business: the reward takes its word."""
    result = judge([outputs(k1=3, k2=3)] * 2, [1, 2], [2, 2], 6, alpha_margin=0.0, alpha_spike=0.0)
    assert result.reward.tolist() == [-1.0, 1.0]
    assert result.terms["accuracy"].tolist() == [0.0, 1.0]


def test_more_spikes_of_the_same_margin_cost_what_alpha_spike_says() -> None:
    few, many = outputs(k4=3, k5=1), outputs(k4=5, k5=3)
    result = judge([few, many], [4, 4], [4, 4], 10, alpha_spike=0.7)
    assert float(result.reward[0] - result.reward[1]) == pytest.approx(0.7 * 4 / (10 * 10))


def test_weights_of_nothing_leave_right_or_wrong() -> None:
    result = judge([outputs(k4=3), outputs(k4=3), outputs()], [4, 4, -1], [4, 5, 4], 5, alpha_margin=0, alpha_spike=0)
    assert result.reward.tolist() == [1.0, -1.0, -1.0]
    assert result.terms["margin"].tolist() == pytest.approx([0.6, -0.6, 0.0])  # terms come before their weights
    assert result.terms["output_rate"].tolist() == pytest.approx([0.06, 0.06, 0.0])


def test_the_defaults_of_the_design() -> None:
    result = judge([outputs(k4=3, k5=1)], [4], [4], 16)
    assert float(result.reward) == pytest.approx(1 + 1.0 * 2 / 16 - 0.1 * 4 / 160)


def test_counts_are_left_as_they_were() -> None:
    counts = torch.tensor([outputs(k4=3, k5=1)])
    before = counts.clone()
    ClassificationReward(SemiConfig())(counts, torch.tensor([4]), torch.tensor([4]), 16)
    assert torch.equal(counts, before)


# Against a loop


def slow(
    counts: list[int], winner: int, label: int, num_steps: int, alpha_margin: float, alpha_spike: float
) -> list[float]:
    """Reward, accuracy, margin and output rate of one lifetime."""
    best_other = -math.inf
    total = 0
    for output, count in enumerate(counts):
        total += count
        if output != label and count > best_other:
            best_other = count
    accuracy = 1.0 if winner == label else 0.0
    margin = (counts[label] - best_other) / num_steps
    rate = total / (10 * num_steps)
    right = 1.0 if winner == label else -1.0
    return [right + alpha_margin * margin - alpha_spike * rate, accuracy, margin, rate]


@st.composite
def episodes(draw: st.DrawFn) -> tuple[int, list[list[int]], list[int], list[int]]:
    """Steps, and for a few lifetimes counts within them, a winner among those with most spikes, a label."""
    num_steps = draw(st.integers(1, 40))
    rows = draw(st.integers(1, 6))
    highest = draw(st.sampled_from([0, 1, 2, num_steps]))  # low ones for ties and silence
    count = st.integers(0, min(highest, num_steps))
    counts = [draw(st.lists(count, min_size=10, max_size=10)) for _ in range(rows)]
    labels = [draw(st.integers(0, 9)) for _ in range(rows)]
    winners = []
    for row in counts:
        best = [k for k in range(10) if row[k] == max(row)]
        winners.append(draw(st.sampled_from(best)) if any(row) else NO_WINNER)
    return num_steps, counts, winners, labels


@given(episode=episodes(), alpha_margin=st.floats(0, 5), alpha_spike=st.floats(0, 5))
def test_against_a_loop(episode, alpha_margin: float, alpha_spike: float) -> None:
    num_steps, counts, winners, labels = episode
    result = judge(counts, winners, labels, num_steps, alpha_margin=alpha_margin, alpha_spike=alpha_spike)
    assert result.reward.shape == (len(counts),)
    for row in range(len(counts)):
        expected = slow(counts[row], winners[row], labels[row], num_steps, alpha_margin, alpha_spike)
        got = [float(result.reward[row]), *(float(term[row]) for term in result.terms.values())]
        assert got == pytest.approx(expected, abs=1e-5)


@settings(max_examples=30)
@given(episode=episodes(), shift=st.integers(1, 9))
def test_names_of_outputs_do_not_matter(episode, shift: int) -> None:
    """Renaming outputs and labels alike changes nothing."""
    num_steps, counts, winners, labels = episode
    renamed = judge(
        [row[-shift:] + row[:-shift] for row in counts],
        [w if w == NO_WINNER else (w + shift) % 10 for w in winners],
        [(y + shift) % 10 for y in labels],
        num_steps,
    )
    torch.testing.assert_close(judge(counts, winners, labels, num_steps).reward, renamed.reward)


@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(0, 4),
    classes=st.integers(1, 6),
    steps=st.integers(1, 20),
    alphas=st.tuples(st.floats(0.1, 3.0), st.floats(0.0, 3.0)),
)
def test_the_loop_judges_as_torch_does(seed, rows, classes, steps, alphas) -> None:
    rng = np.random.default_rng(seed)
    reward = ClassificationReward(SemiConfig(alpha_margin=alphas[0], alpha_spike=alphas[1]))
    counts = torch.from_numpy(rng.integers(0, steps + 1, (rows, classes)))
    winners, labels = (
        torch.from_numpy(rng.integers(-1, classes, rows)),
        torch.from_numpy(rng.integers(0, classes, rows)),
    )
    result, expected = (judge(counts, winners, labels, steps) for judge in (reward, reward.by_operations))
    torch.testing.assert_close(result.reward, expected.reward)
    torch.testing.assert_close(result.terms, expected.terms)
