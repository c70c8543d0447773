"""Trials of cue association: chances, answers, rests."""

import numpy as np
import pytest

from snn_plasticity_gym.tasks.cue_association import CONDITIONS, draw_trials, show_cues, spike_chances


@pytest.mark.parametrize("condition", CONDITIONS)
def test_spikes_fall_with_the_chances_of_the_supplement(condition):
    cue, rest, noise = {"normal": (0.75, 0.05, 0.2), "noisy": (0.65, 0.25, 0.4)}[condition]
    trials = show_cues(np.random.default_rng(0), [[0, 1, 0]] * 400, 45, condition)
    assert trials.spikes.shape == (3 * 25 + 45 + 25, 400, 40) and trials.answers.tolist() == [0] * 400
    share = trials.spikes.mean(axis=1).reshape(-1, 4, 10).mean(axis=2)  # (T, groups)
    expected = np.full((145, 4), rest)
    expected[:, 3] = noise
    for first, group in ((0, 0), (25, 1), (50, 0), (120, 2)):
        expected[first : first + 25, group] = cue
    assert np.abs(share - expected).max() < 0.04
    assert np.abs((share - expected).mean(axis=0)).max() < 0.005


def test_trials_end_together_and_shorter_ones_begin_with_silence():
    trials = draw_trials(np.random.default_rng(1), 60, "noisy", (45, 75, 105))
    assert trials.spikes.shape == (175 + 105 + 25, 60, 40) and set(trials.rests) == {45, 75, 105}
    for b, rest in enumerate(trials.rests):
        assert not trials.spikes[: 105 - rest, b].any() and trials.spikes[105 - rest :, b].any(axis=1).all()


def test_the_answer_is_the_cue_that_came_more_often():
    trials = draw_trials(np.random.default_rng(2), 300, "normal", (45,))
    counts = trials.spikes[:175].reshape(7, 25, 300, 4, 10).sum(axis=(1, 4))  # (cues, B, groups)
    right = counts[:, :, 1] > counts[:, :, 0]  # (cues, B)
    assert (trials.answers == (right.sum(axis=0) > 3)).all() and 0.4 < trials.answers.mean() < 0.6
    with pytest.raises(ValueError, match="must be odd"):
        draw_trials(np.random.default_rng(0), 2, "normal", num_cues=4)
    with pytest.raises(ValueError, match="unknown condition 'nosy'"):
        draw_trials(np.random.default_rng(0), 2, "nosy")


def test_trials_follow_from_the_generator_and_no_cue_is_no_answer():
    first, second = (draw_trials(np.random.default_rng(3), 5, "normal") for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert np.allclose(spike_chances([-1, -1], 10, CONDITIONS["normal"])[:60, :3], 0.05)
