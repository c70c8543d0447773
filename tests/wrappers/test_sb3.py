"""Stock Stable-Baselines3 on our environments."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from toys import SMALL

import snn_plasticity_gym  # noqa: F401
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.wrappers.sb3 import PlasticityVecEnv, make_sb3_env

ID = "SNNPlastic-Unsup1-v0"


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "arguments"), [(A2C, {}), (PPO, {"batch_size": 8, "n_epochs": 2})])
def test_stock_algorithms_learn_without_error(algorithm, arguments, tmp_path):
    env = make_sb3_env(ID, 4, **SMALL)
    model = algorithm(PlasticityPolicy, env, n_steps=8, seed=0, **arguments)
    before = torch.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])
    model.learn(4 * 40)
    after = torch.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])
    assert torch.isfinite(after).all() and not torch.equal(after, before)
    assert model.ep_info_buffer and all(0 <= episode["r"] <= 1 for episode in model.ep_info_buffer)
    model.save(tmp_path / "model.zip")
    observation = env.reset()
    expected, _ = model.predict(observation, deterministic=True)
    again, _ = algorithm.load(tmp_path / "model.zip").predict(observation, deterministic=True)
    assert np.array_equal(again, expected)
    mean, _ = evaluate_policy(model, make_sb3_env(ID, 2, **SMALL), n_eval_episodes=4)
    assert 0 <= mean <= 1


def test_steps_and_terminal_infos_equal_those_of_the_vector_environment():
    wrapped = PlasticityVecEnv(gymnasium.make_vec(ID, num_envs=3, **SMALL))
    plain = gymnasium.make_vec(ID, num_envs=3, **SMALL)
    wrapped.seed(11)
    ours, (theirs, _) = wrapped.reset(), plain.reset(seed=11)
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(30):
        assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
        actions = rng.uniform(-1, 1, plain.action_space.shape).astype(np.float32)
        ours, rewards, dones, infos = wrapped.step(actions)
        theirs, plain_rewards, terminations, truncations, info = plain.step(actions)
        np.testing.assert_allclose(rewards, plain_rewards, rtol=1e-6)
        assert np.array_equal(dones, terminations | truncations)
        for row in range(3):
            if not dones[row]:
                assert infos[row] == {}
                continue
            ended += 1
            assert infos[row]["TimeLimit.truncated"] is False
            assert not infos[row]["terminal_observation"]["mask"].any()
            assert infos[row]["winner"] == info["final_info"]["winner"][row]
            assert infos[row]["reward_terms"]["sparsity"] == info["final_info"]["reward_terms"]["sparsity"][row]
            assert len(infos[row]["returns"]) == infos[row]["num_events"]
    assert ended >= 3


def test_truncation_is_told_to_stable_baselines():
    wrapped = PlasticityVecEnv(gymnasium.make_vec(ID, num_envs=2, max_episode_steps=5, **SMALL))
    wrapped.reset()
    for _ in range(5):
        _, _, dones, infos = wrapped.step(np.zeros((2, SMALL["events_per_step"]), dtype=np.float32))
    assert dones.all()
    assert all(info["TimeLimit.truncated"] for info in infos)
    assert all(set(info["terminal_observation"]) >= {"history", "mask"} for info in infos)


def test_seeds_are_used_at_the_next_reset_only():
    env = PlasticityVecEnv(gymnasium.make_vec(ID, num_envs=2, **SMALL))
    env.seed(3)
    env.reset()
    weights = env.vector_env.engine.network.weights.clone()
    env.reset()  # the next image, the same networks
    assert torch.equal(env.vector_env.engine.network.weights, weights)
    env.seed(3)
    env.reset()
    assert torch.equal(env.vector_env.engine.network.weights, weights)
    env.seed(4)
    env.reset()
    assert not torch.equal(env.vector_env.engine.network.weights, weights)


def test_attributes_and_methods_reach_the_environment():
    env = PlasticityVecEnv(gymnasium.make_vec(ID, num_envs=3, render_mode="rgb_array", **SMALL))
    env.reset()
    assert env.get_attr("num_envs", indices=[0, 2]) == [3, 3]
    assert env.env_is_wrapped(gymnasium.Wrapper) == [False] * 3
    assert [events is not None for events in env.env_method("events")] == [True] * 3
    with pytest.raises(ValueError, match="for all lifetimes at once only"):
        env.set_attr("something", 1, indices=[0])
    assert env.render(mode="rgb_array").ndim == 3  # the lifetimes' pictures tiled into one
    env.close()


def test_another_autoreset_mode_is_refused():
    vector_env = gymnasium.make_vec(ID, num_envs=2, **SMALL)
    vector_env.metadata = {**vector_env.metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}
    with pytest.raises(ValueError, match="autoreset_mode must be SAME_STEP"):
        PlasticityVecEnv(vector_env)
