"""Callbacks of Stable-Baselines3 with every learner of events, and the values that they find."""

import math

import numpy as np
import pytest
import torch
from grids import grid
from stable_baselines3.common import callbacks as stock
from stable_baselines3.common.monitor import Monitor
from toys import QUICK_FRONT, SMALL

from snn_plasticity_gym import EventA2C, EventES, EventPPO, make_sb3_env
from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.learners.environment import plasticity_env

ID = "SNNPlastic-Unsup1-v0"
T, B = SMALL["num_steps"], 2
LEARNERS = [EventA2C, EventPPO, EventES]
WORLD = {"steps_per_action": 3, "history_length": 4, "events_per_step": 4096}
HEADS = QUICK_FRONT | {"hidden_sizes": (4,), "channels": (2, 2)}


def learner(kind, env_id=ID, num_envs=B, n_steps=2, **settings):
    env = make_sb3_env(env_id, num_envs, **({**SMALL, **settings} if env_id == ID else {**WORLD, **settings}))
    return kind("PlasticityPolicy", env, n_steps=n_steps, seed=0, policy_kwargs=HEADS)


class Witness(stock.BaseCallback):
    """Keeps what it finds at each step."""

    NAMES = ("rewards", "dones", "infos", "n_steps", "obs_tensor", "new_obs", "actions", "log_probs", "values")

    def __init__(self):
        super().__init__()
        self.seen = []

    def _on_step(self):
        self.seen.append({name: self.locals[name] for name in self.NAMES} | {"steps": self.num_timesteps})
        return True


@pytest.mark.parametrize("kind", LEARNERS)
@pytest.mark.parametrize("env_id", [ID, "SNNPlastic-CartPole-v0"])
def test_values_of_each_step_are_those_of_the_episodes(kind, env_id):
    """Rewards add up to episodes; an episode of a world may be over long before that of the lifetime beside it."""
    model, witness = learner(kind, env_id, num_envs=3), Witness()
    results, env = [], plasticity_env(model.env)
    finish = env.finish
    env.finish = lambda: results.append(finish()) or results[-1]
    model.learn(1, callback=witness)
    assert len(results) == 2
    starts = np.cumsum([0, *(int(result.length.max()) for result in results)])
    assert len(witness.seen) == starts[-1]
    assert [seen["n_steps"] for seen in witness.seen] == list(range(1, starts[-1] + 1))
    for result, start, end in zip(results, starts[:-1], starts[1:], strict=True):
        steps = witness.seen[start:end]
        rewards = np.stack([seen["rewards"] for seen in steps])
        np.testing.assert_allclose(rewards.sum(axis=0), result.reward, rtol=1e-5)
        for number in result.payment_steps.tolist():
            column = result.payments[:, result.payment_steps == number].squeeze(1)
            np.testing.assert_allclose(rewards[number - 1], column, rtol=1e-5)
        dones = np.stack([seen["dones"] for seen in steps])
        assert (dones.sum(axis=0) == 1).all()
        assert (dones.argmax(axis=0) + 1 == result.length.numpy()).all()
        for seen in steps:
            for row in range(3):
                assert bool(seen["infos"][row]) == seen["dones"][row]
        for row in range(3):
            info = steps[int(result.length[row]) - 1]["infos"][row]
            assert info["episode"]["r"] == pytest.approx(float(result.reward[row]), rel=1e-5)
            assert info["episode"]["l"] == int(result.length[row])
            assert info["TimeLimit.truncated"] == bool(result.truncated[row])
        assert [seen["new_obs"] for seen in steps].index(None) == len(steps) - 1
    for seen, then in zip(witness.seen, witness.seen[1:], strict=False):
        assert len(seen["actions"]) == len(seen["obs_tensor"].weight)
        if seen["new_obs"] is not None:
            assert then["obs_tensor"] is seen["new_obs"]
    assert all((seen["log_probs"] is None) == (kind is EventES) for seen in witness.seen)


def test_lifetimes_that_are_no_longer_plastic_tell_the_same():
    model, witness = learner(EventA2C, n_steps=3, plastic_episodes=1), Witness()
    model.learn(1, callback=witness)
    dones = np.stack([seen["dones"] for seen in witness.seen])
    assert np.flatnonzero(dones.all(axis=1)).tolist() == [T - 1, 2 * T - 1, 3 * T - 1] and dones.sum() == 3 * B
    episodes = [info["episode"] for seen in witness.seen for info in seen["infos"] if info]
    assert [one["r"] for one in episodes] == pytest.approx([one["r"] for one in model.ep_info_buffer])
    paid = sum(seen["rewards"].sum() for seen in witness.seen)
    assert paid == pytest.approx(sum(one["r"] for one in episodes), rel=1e-5)
    assert witness.seen[-1]["obs_tensor"] is None and witness.seen[0]["obs_tensor"] is not None


@pytest.mark.parametrize("env_id", [ID, "SNNPlastic-CartPole-v0"])
def test_whole_episodes_tell_what_they_were_step_by_step(env_id, monkeypatch):
    """Rules of lifetimes' own live whole episodes in loops, and with `lives_whole` denied by events: same values."""

    def told(whole):
        model, witness = learner(EventES, env_id, num_envs=3), Witness()
        with monkeypatch.context() as patch:
            if not whole:
                patch.setattr(type(plasticity_env(model.env)), "lives_whole", lambda env, rule: False)
            model.learn(10**6, callback=witness, episodes=12)  # the first rollout measures, by events
        return witness.seen

    loops, events = told(True), told(False)
    assert loops[-1]["obs_tensor"] is None and events[-1]["obs_tensor"] is not None
    assert len(loops) == len(events)
    for one, other in zip(loops, events, strict=True):
        np.testing.assert_allclose(one["rewards"], other["rewards"], rtol=1e-5)
        assert one["dones"].tolist() == other["dones"].tolist()
        assert one["n_steps"] == other["n_steps"] and one["steps"] == other["steps"]
        for ours, theirs in zip(one["infos"], other["infos"], strict=True):
            assert ours.keys() == theirs.keys()
            if ours:
                assert ours["episode"]["l"] == theirs["episode"]["l"]
                assert ours["episode"]["r"] == pytest.approx(theirs["episode"]["r"], rel=1e-5)
                assert ours["TimeLimit.truncated"] == theirs["TimeLimit.truncated"]


def test_what_most_steps_share_cannot_be_written_to():
    model, witness = learner(EventA2C), Witness()
    model.learn(1, callback=witness)
    with pytest.raises(ValueError, match="read-only"):
        witness.seen[0]["rewards"][0] = 1.0


@pytest.mark.parametrize("kind", LEARNERS)
def test_learning_stops_after_so_many_episodes(kind):
    model = learner(kind)
    model.learn(100 * B * T, callback=stock.StopTrainingOnMaxEpisodes(max_episodes=3))
    assert model.num_timesteps == 3 * B * T  # 3 of each lifetime


@pytest.mark.parametrize("kind", LEARNERS)
def test_checkpoints_conversions_intervals_bars_and_logs(kind, tmp_path, capfd):
    model, called, counted = learner(kind), [], []

    def convert(names, _globals):
        called.append(int(names["dones"].sum()))
        return True

    every = stock.EveryNTimesteps(n_steps=B * T, callback=stock.ConvertCallback(lambda *_: counted.append(1) or True))
    model.learn(
        4 * B * T,
        callback=stock.CallbackList(
            [
                stock.CheckpointCallback(save_freq=T, save_path=str(tmp_path), name_prefix="rule"),
                stock.ConvertCallback(convert),
                every,
                stock.LogEveryNTimesteps(n_steps=B * T),
                stock.ProgressBarCallback(),
            ]
        ),
    )
    assert sum(called) == 4 * B and len(called) == 4 * T and len(counted) == 4
    saved = sorted(tmp_path.glob("rule_*_steps.zip"))
    assert len(saved) == 4
    kind.load(saved[0])


@pytest.mark.filterwarnings("ignore:Training and eval env are not of the same type")
@pytest.mark.parametrize(
    ("kind", "single"),
    grid(LEARNERS, [True, False], ids=[[kind.__name__ for kind in LEARNERS], ["single", "vector"]]),
)
def test_evaluation_and_what_stops_by_it(kind, single, tmp_path):
    def fresh():
        return Monitor(PlasticityEnv(ID, **SMALL)) if single else make_sb3_env(ID, 2, **SMALL)

    model = learner(kind)
    evaluation = stock.EvalCallback(
        fresh(), n_eval_episodes=2, eval_freq=T, best_model_save_path=str(tmp_path), log_path=str(tmp_path), verbose=0
    )
    model.learn(4 * B * T, callback=evaluation)
    assert len(evaluation.evaluations_results) == 4 and math.isfinite(evaluation.best_mean_reward)
    assert all(0 <= reward <= 1 for rewards in evaluation.evaluations_results for reward in rewards)
    kind.load(tmp_path / "best_model.zip")

    reached = stock.StopTrainingOnRewardThreshold(reward_threshold=-1.0)
    stops = stock.EvalCallback(fresh(), callback_on_new_best=reached, n_eval_episodes=1, eval_freq=T, verbose=0)
    model.learn(100 * B * T, callback=stops)
    assert model.num_timesteps == B * T

    patience = stock.StopTrainingOnNoModelImprovement(max_no_improvement_evals=1)
    stops = stock.EvalCallback(fresh(), callback_after_eval=patience, n_eval_episodes=1, eval_freq=T, verbose=0)
    stops.best_mean_reward = patience.last_best_mean_reward = 2.0  # which nothing reaches
    model.learn(100 * B * T, callback=stops)
    assert model.num_timesteps == 2 * B * T
    assert all(values.isfinite().all() for values in torch.nn.Module.state_dict(model.policy).values())
