"""How episodes begin: seeds, options of reset, modes in which vectors reset themselves; and unexpected keywords."""

import gymnasium
import gymnasium.wrappers.vector as wrappers
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from snn_plasticity_gym import ConfigError
from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv

ENV_ID = "SNNPlastic-Unsup1-v0"
SMALL = {  # lively, and episodes of rows end at different steps
    "dataset": "digits",
    "n_exc": 8,
    "num_steps": 10,
    "history_length": 6,
    "events_per_step": 600,
    "max_rate": 0.03,
    "gain_input_exc": 10.0,
    "eta_exc": 0.05,
    "lifetime_length": 3,
}
NEXT, DISABLED, SAME = AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED, AutoresetMode.SAME_STEP
B = 3


def make(mode, **arguments):
    return gymnasium.make_vec(ENV_ID, num_envs=B, autoreset_mode=mode, **SMALL, **arguments)


def rule(observation):
    """Weight changes that depend on what a slot shows, whatever the batch."""
    code = observation["history"].sum(axis=-1).astype(np.int64) @ np.array([37, 911])
    code = code + (observation["weight"] * 1e6).astype(np.int64)
    return (code % 2001 - 1000).astype(np.float32) / 1000


def row_of(values, row):
    if isinstance(values, dict):
        return {name: row_of(part, row) for name, part in values.items() if not name.startswith("_")}
    return values[row]


def episodes(env, mode, steps=200):
    """Play; return for each row its episodes: (observations, rewards, how it ended, terminal observation and info)."""
    observation, _ = env.reset(seed=7)
    told = [[] for _ in range(B)]
    now = [([row_of(observation, row)], []) for row in range(B)]
    waiting = np.zeros(B, dtype=bool)
    for _ in range(steps):
        observation, rewards, terminated, truncated, infos = env.step(rule(observation))
        over = terminated | truncated
        for row in range(B):
            if waiting[row]:  # NEXT_STEP has begun an episode
                assert rewards[row] == 0 and not over[row]
                now[row] = ([row_of(observation, row)], [])
                continue
            now[row][1].append(rewards[row])
            if not over[row]:
                now[row][0].append(row_of(observation, row))
                continue
            if mode is SAME:
                last, info = infos["final_obs"][row], row_of(infos["final_info"], row)
            else:
                last, info = row_of(observation, row), row_of(infos, row)
            earned = info.get("reward_terms") if terminated[row] else None
            told[row].append((*now[row], bool(truncated[row]), last, earned))
            now[row] = ([row_of(observation, row)], [])
        waiting = over if mode is NEXT else np.zeros(B, dtype=bool)
        if mode is DISABLED and over.any():
            before = {name: values.copy() for name, values in observation.items()}
            with pytest.raises(RuntimeError, match=rf"^the episodes of rows \[{np.flatnonzero(over)[0]}[^\n]*$"):
                env.step(rule(observation))
            observation, infos = env.reset(options={"reset_mask": over})
            assert infos == {}
            for row in range(B):
                if over[row]:
                    now[row] = ([row_of(observation, row)], [])
                else:
                    np.testing.assert_equal(row_of(observation, row), row_of(before, row))
    return told


@pytest.mark.parametrize("limit", [None, 25])
def test_the_three_modes_are_equal_episode_by_episode(limit):
    """Over several lifetimes, in which rows end at different steps, and some are cut off."""
    same, after, disabled = (episodes(make(mode, max_episode_steps=limit), mode) for mode in (SAME, NEXT, DISABLED))
    for row in range(B):
        count = min(len(played[row]) for played in (same, after, disabled))
        assert count >= 5
        for one, two, three in zip(same[row][:count], after[row][:count], disabled[row][:count], strict=True):
            np.testing.assert_equal(two, one)
            np.testing.assert_equal(three, one)
    assert {episode[2] for row in same for episode in row} == ({False} if limit is None else {True, False})
    assert len({len(episode[1]) for row in same for episode in row}) > 1


@pytest.mark.parametrize("mode", [NEXT, DISABLED])
def test_gymnasiums_own_vector_of_single_environments_does_the_same(mode):
    mine = make(mode)
    sync = SyncVectorEnv([lambda: PlasticityEnv(ENV_ID, **SMALL)] * B, autoreset_mode=mode)
    observation, _ = mine.reset(seed=7)
    np.testing.assert_equal(sync.reset(seed=7)[0], observation)
    ended = 0
    for _ in range(100):
        actions = rule(observation)
        observation, rewards, terminated, truncated, infos = mine.step(actions)
        theirs = sync.step(actions)
        np.testing.assert_equal(theirs[:4], (observation, rewards, terminated, truncated))
        assert theirs[4].keys() == infos.keys()
        for name in ("num_events", "winner", "reward_terms"):
            np.testing.assert_equal(theirs[4].get(name), infos.get(name))
        over = terminated | truncated
        ended += over.sum()
        if mode is DISABLED and over.any():
            observation, _ = mine.reset(options={"reset_mask": over})
            np.testing.assert_equal(sync.reset(options={"reset_mask": over})[0], observation)
    assert ended > 2 * B


@pytest.mark.parametrize("mode", [NEXT, DISABLED])
def test_gymnasiums_wrappers_of_observations_work(mode):
    wrapped = [
        wrappers.DtypeObservation(wrappers.FlattenObservation(make(mode)), np.float64),
        wrappers.FilterObservation(make(mode), ["weight", "mask"]),
    ]
    if mode is NEXT:  # Gymnasium's own condition
        wrapped.append(wrappers.NormalizeObservation(wrappers.FlattenObservation(make(mode))))
    for env in wrapped:
        observation, _ = env.reset(seed=1)
        ended = 0
        for _ in range(60):
            assert observation in env.observation_space
            observation, _, terminated, truncated, _ = env.step(np.zeros((B, 600), np.float32))
            over = terminated | truncated
            ended += over.sum()
            if mode is DISABLED and over.any():
                observation, _ = env.reset(options={"reset_mask": over})
        assert ended


@pytest.mark.parametrize(
    ("given", "mode"), [("NEXT_STEP", NEXT), ("NextStep", NEXT), (DISABLED, DISABLED), ("SAME_STEP", SAME)]
)
def test_a_mode_is_given_by_itself_or_by_name(given, mode):
    assert make(given).metadata["autoreset_mode"] is mode
    assert PlasticityVectorEnv.metadata["autoreset_mode"] is SAME


def test_modes_that_there_are_not_are_refused():
    with pytest.raises(ConfigError, match=r"^autoreset_mode must be one of NEXT_STEP, SAME_STEP, DIS[^\n]*$"):
        make("never")


def test_rows_may_be_reset_between_episodes_of_flat_batches():
    env, plain = make(DISABLED), make(DISABLED)
    for one in (env, plain):
        one.reset(seed=3)
        while (events := one.events()) is not None:
            one.apply(torch.zeros(len(events.weight)))
        one.finish()
    env.reset(options={"reset_mask": np.array([False, True, False])})  # shows the second row its next image
    plain.events()
    assert env.engine.steps.tolist() == plain.engine.steps.tolist() == [1, 1, 1]
    for row in (0, 2):
        assert torch.equal(env.engine.raster["input"][row], plain.engine.raster["input"][row])
    assert not torch.equal(env.engine.raster["input"][1], plain.engine.raster["input"][1])


def test_seeds_and_new_lifetimes_of_masked_rows_alone():
    env, reference = make(SAME), make(SAME)
    env.reset(seed=3)
    reference.reset(seed=8)
    before = env.engine.network.weights_of("input_to_exc").clone()
    env.reset(seed=8, options={"reset_mask": np.array([True, False, False])})
    after = env.engine.network.weights_of("input_to_exc")
    assert torch.equal(after[0], reference.engine.network.weights_of("input_to_exc")[0])
    assert torch.equal(after[1:], before[1:])
    env.reset(options={"reset_mask": np.array([False, True, False]), "new_lifetime": True})
    after = env.engine.network.weights_of("input_to_exc")
    assert not torch.equal(after[1], before[1]) and torch.equal(after[2], before[2])


@pytest.mark.parametrize("mask", [[True, False, False], np.ones(3), np.ones(2, bool), np.ones((3, 1), bool), True])
def test_masks_that_are_none_are_refused(mask):
    env = make(DISABLED)
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=r"^reset_mask must be an array of bool with num_envs=3 entries, got [^\n]*$"):
        env.reset(options={"reset_mask": mask})


def test_the_first_reset_is_of_all_rows():
    with pytest.raises(RuntimeError, match=r"^[^\n]*without a reset_mask$"):
        make(DISABLED).reset(options={"reset_mask": np.array([True, False, True])})


def both():
    return gymnasium.make(ENV_ID, **SMALL), make(SAME)


def test_options_that_there_are_not_are_refused_with_the_nearest():
    for env in both():
        with pytest.raises(ConfigError, match=r"^unknown option of reset 'new_lifetme'; did you mean 'new_li[^\n]*$"):
            env.reset(options={"new_lifetme": True})
        with pytest.raises(ConfigError, match=r"^new_lifetime must be True or False, got 'yes'$"):
            env.reset(options={"new_lifetime": "yes"})
        with pytest.raises(ConfigError, match=r"^options must be a dict with new_lifetime[^\n]*, got 3$"):
            env.reset(options=3)


@pytest.mark.parametrize("seed", [np.int64(5), np.uint8(5), np.array(5)])
def test_seeds_may_be_numbers_of_numpy(seed):
    for env in both():
        expected, _ = env.reset(seed=5)
        np.testing.assert_equal(env.reset(seed=seed)[0], expected)
    many = make(SAME)
    expected, _ = many.reset(seed=[4, 5, 6])
    np.testing.assert_equal(many.reset(seed=np.array([4, 5, 6]))[0], expected)


@pytest.mark.parametrize("seed", [1.5, "1", -1])
def test_other_seeds_are_refused(seed):
    for env in both():
        with pytest.raises((TypeError, ValueError, gymnasium.error.Error)):
            env.reset(seed=seed)


def test_an_unexpected_keyword_is_a_type_error_as_others_expect():
    for build in (gymnasium.make, gymnasium.make_vec):
        with pytest.raises(TypeError, match="unexpected keyword argument 'frameskip'") as error:
            build(ENV_ID, frameskip=1, **SMALL)
        assert isinstance(error.value, ConfigError) and "\n" not in str(error.value)
    with pytest.raises(ConfigError, match=r"^unexpected keyword argument 'n_ext'; did you mean 'n_exc'\?; num"):
        PlasticityEnv(ENV_ID, n_ext=4, num_steps=0)
    with pytest.raises(ConfigError, match="num_steps must") as error:
        PlasticityEnv(ENV_ID, num_steps=0)
    assert not isinstance(error.value, TypeError)


def test_a_window_is_refused_where_it_cannot_be_with_the_way_to_one():
    with pytest.raises(ValueError, match=r"^render_mode must be one of rgb_array or None, [^\n]*; for a window[^\n]*$"):
        make(SAME, render_mode="human")
