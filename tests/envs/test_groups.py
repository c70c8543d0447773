"""Networks of winner-take-all groups in the engine: every way of living gives the same, and lifetimes are their own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from grids import grid
from lives import assert_same_lives, formula

from snn_plasticity_gym import make_rule
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.tasks.base import Seed

SEMI, POLE = "SNNPlastic-Semi-v0", "SNNPlastic-CartPole-v0"
IMAGES = {
    "dataset": "digits",
    "num_steps": 12,
    "history_length": 8,
    "network": "rwta",
    "hidden_sizes": [10, 5],
    "wta_size": 5,
    "wta_width": 0.3,
    "input_to_output": True,
    "max_rate": 0.2,
    "tau_mem": 4.0,
    "resistance": 4.0,
    "eta": 0.1,
}
WORLD = {
    "network": "rwta",
    "steps_per_action": 8,
    "history_length": 8,
    "hidden_sizes": [9],
    "wta_size": 3,
    "max_actions": 12,
    "decoder_kwargs": {"group_size": 4},
}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("zero", {}),
        ("stdp", {}),
        ("stdp", {"modulation": "reward", "local_state": ["potential"]}),
        ("delta", {"third_factor": "teaching", "factor_steps": 5}),
        ("delta", {"third_factor": "feedback"}),
        ("feedback-surrogate", {"third_factor": "reward", "local_state": ["surrogate"]}),
    ],
)
def test_whole_images_are_the_same_as_event_by_event(name, options):
    lived = assert_same_lives(SEMI, {**IMAGES, **options}, lambda env: make_rule(name), images=4, rounding=5e-6)
    assert (lived.moved > 0) is (name != "zero")
    assert lived.spikes["hidden_1"] == 2 * lived.spikes["output"] == 2 * lived.spikes["hidden_2"] > 0


def test_formulas_see_what_the_others_of_a_group_ask_for():
    config = {**IMAGES, "local_state": ["potential", "theta"]}
    terms = ["x1", "y1", "pre*potential", "post*theta"]
    lived = assert_same_lives(SEMI, config, lambda env: formula(env, terms, bold=0.1), images=3, rounding=1e-5)
    assert lived.moved > 0


@pytest.mark.parametrize(
    ("name", "options"),
    grid(["zero", "stdp"], [{}, {"carry_state": False, "noise": 0.3}], ids=[["zero", "stdp"], ["plain", "noise"]]),
)
def test_whole_worlds_are_the_same_as_event_by_event(name, options):
    lived = assert_same_lives(POLE, {**WORLD, **options}, lambda env: make_rule(name), images=3, rounding=1e-6)
    assert lived.spikes["hidden_1"] == 3 * lived.spikes["motor"] > 0


def dense(env: PlasticityVectorEnv) -> PlasticityVectorEnv:
    """An environment that takes the way of a GPU."""
    env.engine.whole.loops = False
    return env


def test_all_synapses_at_once_are_the_same_as_event_by_event():
    config = {**IMAGES, "third_factor": "feedback"}
    rule = make_rule("delta")
    lived = assert_same_lives(SEMI, config, lambda env: (dense(env), rule)[1], images=3, rounding=1e-5)
    assert lived.moved > 0 and lived.spikes["hidden_1"] == 2 * lived.spikes["output"] > 0


def raster(num_envs: int, seed: int, row: int, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all spikes of a lifetime's third image, and its weights then."""
    env = PlasticityVectorEnv(SEMI, num_envs=num_envs, **{**IMAGES, **options})
    env.reset(seed=seed - row)  # lifetime k has seed + k
    for _ in range(3):
        env.run_episode(make_rule("stdp"))
    engine = env.engine
    whole = engine.recorder.whole[row].clone()
    weights = torch.cat([weights.flatten() for weights in engine.plastic_weights(row).values()])
    env.close()
    return whole, weights


def test_a_lifetime_does_not_depend_on_the_others():
    alone, among = raster(1, 7, 0), raster(4, 7, 2)
    assert all(torch.equal(one, other) for one, other in zip(alone, among, strict=True))
    assert not torch.equal(alone[0], raster(1, 8, 0)[0])


def test_lifetimes_that_share_their_noise_draw_the_same():
    env = PlasticityVectorEnv(SEMI, num_envs=2, **IMAGES, common_noise=True, common_network=True)
    env.reset(seed=0)
    env.run_episode(make_rule("zero"))
    first, second = env.engine.recorder.whole
    assert torch.equal(first, second)


def test_each_image_draws_anew():
    env = PlasticityVectorEnv(SEMI, num_envs=1, **IMAGES)
    env.reset(seed=0)
    drawn = []
    for _ in range(2):
        env.run_episode(make_rule("zero"))
        drawn.append(env.engine.raster["hidden_1"][0].clone())
    assert not torch.equal(*drawn)


# A toy whose answer is known


def toy(folder: Path) -> str:
    """Two pictures: the upper or the lower half is lit; an answer is right by chance in one of two cases."""
    images = np.zeros((2, 4, 4), dtype=np.uint8)
    images[0, :2] = images[1, 2:] = 255
    path = folder / "halves.npz"
    np.savez(path, images=np.tile(images, (12, 1, 1)), labels=np.arange(24) % 2)
    return str(path)


def learned(folder: Path, sign: float, **options: object) -> float:
    """Mean reward of the last 40 of 180 images: 1 if all answers are right, -1 if none is; 8 lifetimes."""
    config = {
        **IMAGES,
        "dataset": toy(folder),
        "event_kinds": "pre",
        "hidden_sizes": [4],
        "wta_size": 2,
        "wta_width": 1.0,
        "tau_mem": 1.0,  # the score of a step is then that of its potentials
        "resistance": 1.0,
        "w_init": 0.4,
        "eta": 0.03,
        "modulation": "reward",
        "reward_window": 10.0,
        "local_state": ["potential"],
        "alpha_margin": 0.0,
        "alpha_spike": 0.0,
        **options,
    }
    rule = make_rule("svpg", width=1.0)
    env = PlasticityVectorEnv(SEMI, num_envs=8, **config)
    env.reset(seed=0)
    paid = torch.stack([env.run_episode(lambda events: sign * rule(events)).reward for _ in range(180)])  # (T, B)
    env.close()
    return float(paid[-40:].mean())


def test_the_score_learns_by_reward_and_unlearns_with_the_other_sign(tmp_path):
    assert learned(tmp_path, 1.0) > 0.7
    assert learned(tmp_path, -1.0) < -0.6


def test_hidden_groups_alone_can_carry_the_answer(tmp_path):
    assert learned(tmp_path, 1.0, input_to_output=False, tau_mem=4.0, resistance=4.0, w_init=1.0) > 0.4


def test_every_episode_draws_by_a_key_of_its_own():
    first = Seed(own=3, shown=3, generation=0)
    others = [first._replace(**{name: 1}) for name in ("shown", "generation", "episode", "attempt")]
    assert len({seed.draws_key() for seed in (first, *others)}) == 5
    assert first._replace(own=4).draws_key() == first.draws_key()
