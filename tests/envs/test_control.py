"""Environments of networks that act: rows are single environments, both interfaces agree, states are whole."""

from __future__ import annotations

import io
import pickle
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from grids import grid
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3
from states import assert_same
from toys_worlds import CORRIDOR

import snn_plasticity_gym  # noqa: F401 - registers the environments
from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

CARTPOLE = "SNNPlastic-CartPole-v0"
SMALL = {  # a lively network of little work; several presentations a time step
    "steps_per_action": 4,
    "history_length": 6,
    "max_actions": 12,
    "hidden_sizes": (4,),
    "encoder_kwargs": {"fields": 3, "mean": [0.0] * 4, "std": [0.05, 0.5, 0.05, 0.8], "period": 2},
    "decoder_kwargs": {"group_size": 2},
    "w_init_min": -0.3,
    "w_init_max": 0.9,
    "events_per_step": 16,
    "eta": 0.1,
    "third_factor": "targeted",
    "local_state": ("potential", "reward"),
    "noise": 0.2,
}
VARIANTS = {
    "plain": {},
    "fresh membranes": {"carry_state": False, "recurrent": True},
    "split": {"event_kinds": "split", "decoder": "softmax", "decoder_kwargs": {"group_size": 2}},
    "eligibility": {"modulation": "factor", "tau_eligibility": 8.0, "decoder_kwargs": {"group_size": 2, "tie": "last"}},
    "reward": {"modulation": "reward", "max_actions": 9, "eta_decay": 2.0, "inhibition": 0.3},
    "lifetimes": {"lifetime_length": 2, "plastic_episodes": 1},
}
BY_CHANCE = {"encoder": "gaussian", "encoder_kwargs": {"fields": 3, "low": [-0.2] * 4, "high": [0.2] * 4}}


def make(num_envs: int = 3, **settings) -> PlasticityVectorEnv:
    return PlasticityVectorEnv(CARTPOLE, num_envs, **{**SMALL, **settings})


def answer(pre_spikes, post_spikes, weight, factor):
    """Weight changes that depend on what a synapse shows, whatever the batch."""
    code = (pre_spikes.astype(np.int64) * 37 + post_spikes.astype(np.int64) * 911) + (weight * 1e6).astype(np.int64)
    return ((code % 2001 - 1000).astype(np.float32) / 1000 + 0.2 * factor / (1 + abs(factor))).clip(-1, 1)


def by_slots(observation) -> np.ndarray:
    spikes = observation["history"].sum(axis=-1)
    return answer(spikes[..., 0], spikes[..., 1], observation["weight"], observation["factor"])


def by_events(events) -> torch.Tensor:
    spikes = events.history().sum(dim=2).numpy()
    given = (spikes[:, 0], spikes[:, 1], events.weight.numpy(), events.scalar("factor").numpy())
    return torch.from_numpy(answer(*given))


def live(env) -> object:
    """Go through an episode by the flat interface."""
    while (events := env.events()) is not None:
        env.apply(by_events(events))
    return env.finish()


def weights(env) -> torch.Tensor:
    return env.engine.network.weights_of("hidden_1_to_motor").clone()


def told(result, row: int) -> dict:
    """What an episode's result tells of a lifetime."""
    length = int(result.length[row])
    paid = result.payment_steps <= length
    return {
        "reward": float(result.reward[row]),
        "length": length,
        "truncated": bool(result.truncated[row]),
        "events": int(result.num_events[row]),
        "spikes": {name: int(spikes[row]) for name, spikes in result.spikes.items()},
        "rates": result.rates[row].tolist(),
        "actions": int(result.info["num_actions"][row]),
        "payments": result.payments[row][paid].tolist(),
        "after": float(result.payments[row][~paid].abs().sum()),
    }


# Rows and interfaces


@pytest.mark.parametrize("variant", grid(VARIANTS))
def test_rows_are_single_environments(variant):
    """Slot by slot, over episodes that end at different times, with autoreset."""
    settings = {**SMALL, **VARIANTS[variant]}
    vector = make(3, **VARIANTS[variant])
    singles = [PlasticityEnv(CARTPOLE, **settings) for _ in range(3)]
    observations, _ = vector.reset(seed=7)
    expected = [single.reset(seed=7 + row)[0] for row, single in enumerate(singles)]
    ended: list[list[int]] = [[], [], []]
    step = 0
    while min(map(len, ended)) < 2:
        for row in range(3):
            assert all(np.array_equal(observations[name][row], expected[row][name]) for name in observations)
        actions = by_slots(observations)
        observations, rewards, terminated, truncated, infos = vector.step(actions)
        for row, single in enumerate(singles):
            expected[row], reward, over, cut, info = single.step(actions[row])
            assert (rewards[row], terminated[row], truncated[row]) == (reward, over, cut)
            if over or cut:
                ended[row].append(step)
                for name in ("num_actions", "num_events", "num_steps", "rates"):
                    assert np.array_equal(infos["final_info"][name][row], info[name])
                expected[row], _ = single.reset()
        step += 1
    assert len({steps[0] for steps in ended}) > 1
    for row, single in enumerate(singles):
        assert torch.equal(weights(vector)[row], weights(single)[0])


@pytest.mark.parametrize("variant", grid(list(VARIANTS)[::-1]))  # those that are slow above
def test_flat_batches_and_slots_agree(variant):
    """The same rule by either interface: the same weights, spikes and payments, episode by episode and row by row."""
    flat, single_flat = make(3, **VARIANTS[variant]), make(1, **VARIANTS[variant])
    flat.reset(seed=5)
    single_flat.reset(seed=7)
    results = [live(flat) for _ in range(2)]
    alone = [live(single_flat) for _ in range(2)]
    assert len({int(result.length.min()) - int(result.length.max()) for result in results}) > 0
    assert [told(one, 0) for one in alone] == [told(one, 2) for one in results]
    assert all(told(one, row)["after"] == 0 for one in results for row in range(3))
    for row in range(3):
        slots = PlasticityEnv(CARTPOLE, **{**SMALL, **VARIANTS[variant]})
        observation, _ = slots.reset(seed=5 + row)
        for result in results:
            over = cut = False
            earned, num_steps = [], 0
            while not (over or cut):
                observation, reward, over, cut, info = slots.step(by_slots(observation))
                earned += [reward] if reward else []
            expected = told(result, row)
            assert (info["num_steps"], cut) == (expected["length"], expected["truncated"])
            assert (info["num_actions"], info["num_events"]) == (expected["actions"], expected["events"])
            assert info["spikes"] == expected["spikes"] and info["rates"].tolist() == expected["rates"]
            assert earned == expected["payments"] and num_steps == 0
            observation, _ = slots.reset()
        if variant != "lifetimes":  # whose next lifetime has begun
            assert torch.equal(weights(slots)[0], weights(flat)[row])
    assert not torch.equal(weights(flat), weights(make(3, **VARIANTS[variant])))


def test_a_lifetime_does_not_depend_on_how_many_there_are():
    few, many = make(2, **BY_CHANCE), make(5, **BY_CHANCE)
    for env in (few, many):
        env.reset(seed=3)
    for _ in range(3):
        one, other = live(few), live(many)
        assert [told(one, row) for row in range(2)] == [told(other, row) for row in range(2)]
    assert torch.equal(weights(few), weights(many)[:2])


def test_lifetimes_that_are_over_wait_for_the_others():
    env = make(4)
    env.reset(seed=1)
    stopped = {}
    while (events := env.events()) is not None:
        for row in np.flatnonzero(env.engine.ended):
            now = weights(env)[row]
            assert torch.equal(stopped.setdefault(row, now), now) and events.lengths[row] == 0
        env.apply(by_events(events))
    result = env.finish()
    assert len(set(result.length.tolist())) > 1 and len(stopped) >= 1


def test_everything_is_a_function_of_the_seed():
    one, other, different = make(2, **BY_CHANCE), make(2, **BY_CHANCE), make(2, **BY_CHANCE)
    one.reset(seed=3)
    other.reset(seed=9)
    for _ in range(2):
        live(other)
    other.reset(seed=3)
    different.reset(seed=4)
    for _ in range(3):
        results = [live(env) for env in (one, other, different)]
        assert [told(results[0], row) for row in range(2)] == [told(results[1], row) for row in range(2)]
        assert results[0].rates.tolist() != results[2].rates.tolist()


# Checkers


ALLOWED = (  # what the checkers may warn about, and why that is no fault here
    "observation space history is an image",  # (E, 2, K) has three axes as an image has, but bits are no pixels
    "Treating image space as channels-last",  # follows from the one above
    "minimal resolution for an image is 36x36",  # the same; our policies have a front of their own
    "A Box observation space (minimum|maximum) value is -?infinity",  # a third factor has no bounds
)
IDS = {
    "SNNPlastic-Control-v0": {"world": CORRIDOR, "encoder": "rate", "encoder_kwargs": {}, "max_actions": 5},
    CARTPOLE: {},
    "SNNPlastic-MountainCar-v0": {"max_actions": 5},
}


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("checker", [check_env, check_env_of_sb3])
def test_checkers_find_nothing(env_id, checker):
    """Warnings are errors, but for what is written at `ALLOWED`."""
    env = gymnasium.make(env_id, render_mode="rgb_array", events_per_step=64, third_factor="reward", **IDS[env_id])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for message in ALLOWED:
            warnings.filterwarnings("ignore", message=f".*{message}")
        checker(env.unwrapped, skip_render_check=False)
    env.close()


def test_stable_baselines_sees_ends_and_cuts():
    env = make_sb3_env(CARTPOLE, 2, **{**SMALL, "max_actions": 12})
    env.seed(0)
    env.reset()
    ends, cuts = 0, 0
    for _ in range(400):
        _, _, dones, infos = env.step(np.zeros((2, 16), np.float32))
        for row in np.flatnonzero(dones):
            assert infos[row]["terminal_observation"]["mask"].sum() == 0
            cut, late = infos[row]["TimeLimit.truncated"], infos[row]["num_actions"] == 12
            assert cut <= late and (late or not cut)
            ends, cuts = ends + (not cut), cuts + cut
    assert ends > 0 and cuts > 0


# States


def saved_and_read(env) -> dict:
    """A state, written and read as checkpoints are."""
    file = io.BytesIO()
    torch.save(env.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize(("where", "variant"), grid(["fresh", "in the middle", "at the end"], VARIANTS, every=3))
def test_a_state_decides_all_that_follows(variant, where):
    """Loaded into an environment that stands anywhere: before its first step, within an episode, with one to finish."""
    settings = {**VARIANTS[variant], **(BY_CHANCE if variant != "fresh membranes" else {})}
    env, other = make(3, **settings), make(3, **settings)
    env.reset(seed=1)
    for _ in range(2):
        live(env)
    state = saved_and_read(env)
    if where != "fresh":
        other.reset(seed=8)
        live(other)
        for _ in range(14):
            other.apply(by_events(other.events()))
    if where == "at the end":
        while (events := other.events()) is not None:
            other.apply(by_events(events))
    other.load_state_dict(state)
    for _ in range(2):
        one, two = live(env), live(other)
        assert [told(one, row) for row in range(3)] == [told(two, row) for row in range(3)]
        assert torch.equal(weights(env), weights(other))
    assert_same(env.state_dict(), other.state_dict())


def test_a_state_is_taken_up_by_slots_too():
    env, other = make(2), make(2)
    env.reset(seed=1)
    live(env)
    other.reset(seed=2)
    for _ in range(30):
        other.step(np.zeros((2, 16), np.float32))
    other.load_state_dict(saved_and_read(env))
    one, two = env._interface.observe(), other._interface.observe()
    for _ in range(120):
        assert all(np.array_equal(one[name], two[name]) for name in one)
        (one, *told_one), (two, *told_two) = (each.step(by_slots(seen)) for each, seen in ((env, one), (other, two)))
        assert all(np.array_equal(a, b) for a, b in zip(told_one[:3], told_two[:3], strict=True))


def test_the_state_of_an_episode_that_was_given_up_goes_on_to_the_next_start():
    env, other = make(2), make(2)
    env.reset(seed=1)
    live(env)
    env.load_state_dict(env.state_dict())
    env.reset()
    live(env)
    other.load_state_dict(saved_and_read(env))
    for each in (env, other):
        each.reset()
    assert torch.equal(env.engine.task.observations, other.engine.task.observations)


def test_a_state_is_refused_within_an_episode_and_from_another_number_of_lifetimes():
    env = make(2)
    env.reset(seed=1)
    live(env)
    state = env.state_dict()
    with pytest.raises(ValueError):
        make(3).load_state_dict(state)
    env.apply(by_events(env.events()))
    with pytest.raises(RuntimeError, match="between two episodes only"):
        env.state_dict()


def test_a_state_does_not_change_with_what_it_was_taken_from():
    env = make(2)
    env.reset(seed=1)
    live(env)
    state, copy = env.state_dict(), saved_and_read(env)
    live(env)
    assert_same(state, copy)


@pytest.mark.parametrize("variant", grid(VARIANTS))
def test_pickled_in_the_middle_of_an_episode_it_goes_on(variant):
    """Worlds are left out, and led through the actions again."""
    env = make(3, **VARIANTS[variant], **(BY_CHANCE if variant == "plain" else {}))
    env.reset(seed=2)
    live(env)
    for _ in range(19):
        env.apply(by_events(env.events()))
    other = pickle.loads(pickle.dumps(env))
    for _ in range(2):
        one, two = live(env), live(other)
        assert [told(one, row) for row in range(3)] == [told(two, row) for row in range(3)]
    assert torch.equal(weights(env), weights(other))
