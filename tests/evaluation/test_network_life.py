"""A network's life by a rule: what is written down is what happened."""

import numpy as np
import pytest
import torch

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.network_life import cosines, record_lifetime, sign_index, win_shares, winner_entropy
from snn_plasticity_gym.rules.registry import make_rule
from snn_plasticity_gym.tasks.image_task import image_task

UNSUP = {"dataset": "digits", "n_exc": 6, "num_steps": 12, "history_length": 8, "max_rate": 0.05, "gain_input_exc": 8.0}
SEMI = {"dataset": "digits", "hidden_sizes": (6,), "third_factor": "feedback", "w_init": 6.0, "eta": 0.05,
        "lifetime_length": 1}  # fmt: skip
CASES = {
    "SNNPlastic-Unsup1-v0": (UNSUP, "stdp:learning_rate=0.3"),
    "SNNPlastic-Semi-v0": (SEMI, "delta"),
    "SNNPlastic-Grad-v0": (
        {"dataset": "digits", "hidden_sizes": (6,), "layer_scalars": (0.5, 1.0), "w_init": 6.0},
        "stdp",
    ),
}


def rule_of(text: str):
    name, *parameters = text.split(":")
    return make_rule(name, **dict(part.split("=") for part in parameters))


@pytest.mark.parametrize("env_id", CASES)
def test_a_life_is_that_of_the_environment(env_id):
    settings, name = CASES[env_id]
    life = record_lifetime(rule_of(name), env_id, environment_config(env_id, **settings), 5, seed=3)
    env = PlasticityVectorEnv(env_id, num_envs=1, **(settings | {"image_pool": 0, "lifetime_length": 0}))
    image_task(env.engine.task).reserve_images(min(300, len(image_task(env.engine.task).dataset.train.labels) // 2))
    env.reset(seed=3)
    start = {key: value.clone() for key, value in env.engine.plastic_weights(0).items()}
    results = []
    for _ in range(5):
        results.append(env.run_episode(rule_of(name)))
    assert life.ages == [0, 1, 2, 4, 5] and len(life.weights) == 5
    np.testing.assert_allclose(life.rewards, [float(result.reward) for result in results], rtol=1e-5)
    np.testing.assert_array_equal(life.winners, [int(result.info["winner"]) for result in results])
    for key, end in env.engine.plastic_weights(0).items():
        for weights, expected in ((life.weights[0], start[key]), (life.weights[-1], end)):
            there = np.isfinite(weights[key])
            np.testing.assert_allclose(weights[key][there], expected.numpy()[there], atol=1e-6)
            assert there.mean() == 1.0 or key == "inh_to_exc"
    assert any(
        (life.weights[0][key] != life.weights[-1][key])[np.isfinite(life.weights[0][key])].any() for key in start
    )
    assert life.label == int(results[-1].info["label"])
    assert {key: int(spikes.sum()) for key, spikes in life.raster.items()} == {
        key: int(value) for key, value in results[-1].spikes.items()
    }
    field = life.weights[-1][life.field_projection]
    np.testing.assert_array_equal(life.fields(-1)[2], field[:, 2].reshape(28, 28))


def test_portraits_change_when_and_only_when_the_network_does():
    config = environment_config("SNNPlastic-Unsup1-v0", **UNSUP)
    still, moved = (
        record_lifetime(rule_of(name), "SNNPlastic-Unsup1-v0", config, 4, seed=0)
        for name in ("zero", "stdp:learning_rate=0.3")
    )
    for name in ("wins", "stability", "confusion"):
        np.testing.assert_array_equal(getattr(still.before, name), getattr(still.after, name))
        np.testing.assert_array_equal(getattr(still.before, name), getattr(moved.before, name))
    assert not np.array_equal(moved.before.stability, moved.after.stability)
    one = moved.after
    assert one.same_image < 0.999  # the second showing has other input spikes
    assert one.wins.sum() == pytest.approx(1) and one.labels.tolist() == sorted(one.labels)
    assert one.accuracy == pytest.approx(one.confusion.trace() / one.confusion.sum())
    off = one.stability[~np.eye(len(one.stability), dtype=bool)]
    assert one.other_images == pytest.approx(off.mean()) and one.same_image == pytest.approx(one.stability.trace() / 30)


def test_shares_of_wins_are_counted_by_hand():
    counts = torch.tensor([[2, 0, 0], [1, 1, 0], [0, 0, 0], [0, 3, 1]])  # the third is answered by nobody
    torch.testing.assert_close(win_shares(counts), torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64))
    assert win_shares(torch.zeros(2, 3)).tolist() == [0, 0, 0]


def test_cosines_are_those_of_rows():
    first, second = torch.tensor([[1.0, 0], [1, 1], [0, 0]]), torch.tensor([[3.0, 0], [0, 2], [1, 1]])
    root = 0.5**0.5
    torch.testing.assert_close(cosines(first, second), torch.tensor([[1.0, 0, root], [root, root, 1], [0, 0, 0]]))


def test_entropy_of_winners_in_a_window():
    winners = np.array([0, 0, 1, -1, 2, 2, 2])
    entropy = winner_entropy(winners, num_neurons=9, window=3)
    two = (np.log(3) - 2 / 3 * np.log(2)) / np.log(3)  # two of three images to one neuron
    half = np.log(2) / np.log(3)  # two images, two neurons; one image had no winner
    assert np.isnan(entropy[:2]).all()
    np.testing.assert_allclose(entropy[2:], [two, half, half, 0.0, 0.0], atol=1e-12)
    assert winner_entropy(np.array([0, 1]), 2, 2)[1] == pytest.approx(1.0)
    assert winner_entropy(np.array([-1, -1]), 2, 2)[1] == 0 and winner_entropy(np.array([0]), 1, 1)[0] == 1.0


def test_the_sign_index_of_known_weights():
    weights = np.array([[1.0, 2.0], [-1.0, 3.0], [-0.5, -0.5], [0.0, 0.0], [np.nan, -2.0]], dtype=np.float32)
    np.testing.assert_allclose(sign_index(weights), [1.0, 0.5, -1.0, np.nan, -1.0])
