"""The vector environment: rows that are single environments, and Gymnasium's rules for vectors."""

import copy
import math
import pickle
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.tasks.image_task import image_task

ENV_ID = "SNNPlastic-Unsup1-v0"
SMALL = {  # a lively network of little work: some twelve E spikes and 10,000 events an episode
    "dataset": "digits",
    "n_exc": 16,
    "num_steps": 20,
    "history_length": 20,
    "events_per_step": 1000,
    "max_rate": 0.02,
    "gain_input_exc": 5.0,
    "gain_inh_exc": 15.0,
    "eta_exc": 0.05,
    "eta_inh": 0.05,
    "target_active": 0.3,
    "image_pool": 3,
}
ALL = 784 * 16 + 16 * 15  # slots for every synapse: one step is one time step


def make(num_envs=3, max_episode_steps=None, render_mode=None, **settings):
    return PlasticityVectorEnv(ENV_ID, num_envs, render_mode, max_episode_steps, **{**SMALL, **settings})


def rule(observation):
    """Weight changes that depend on what a slot shows, whatever the batch."""
    code = observation["history"].sum(axis=-1).astype(np.int64) @ np.array([37, 911]) + 5 * observation["kind"]
    code = code + (observation["weight"] * 1e6).astype(np.int64)
    return (code % 2001 - 1000).astype(np.float32) / 1000


def play(env, observation, steps):
    """Step on by the rule; return observations and what step() returned."""
    seen = []
    for _ in range(steps):
        seen.append(env.step(rule(observation)))
        observation = seen[-1][0]
    return seen


def to_the_end(env):
    while (events := env.events()) is not None:
        env.apply(torch.zeros(len(events.weight)))


def play_flat(env, num_episodes=1):
    """Play by a flat rule; return the results."""
    results = []
    for _ in range(num_episodes):
        while (events := env.events()) is not None:
            env.apply(((events.weight * 1e6).long() + events.kind) % 2001 / 1000 - 1)
        results.append(env.finish())
    return results


def row_of(values, row):
    """One lifetime's part of batched observations or infos."""
    if isinstance(values, dict):
        return {name: row_of(part, row) for name, part in values.items() if not name.startswith("_")}
    return values[row]


def assert_same(one, other):
    """Equal throughout, NaN to NaN."""
    np.testing.assert_equal(plain(one), plain(other))


def plain(values):
    """Arrays of objects as lists, which assert_equal looks into."""
    if isinstance(values, dict):
        return {name: plain(part) for name, part in values.items()}
    if isinstance(values, list | tuple) or (isinstance(values, np.ndarray) and values.dtype == object):
        return [plain(part) for part in values]
    return values


# Rows


def test_rows_are_single_environments_with_seeds_in_sequence():
    """Over several episodes that end at different steps, each row with its final observation and info."""
    vector = make(3)
    singles = [PlasticityEnv(ENV_ID, **SMALL) for _ in range(3)]
    observations, _ = vector.reset(seed=7)
    expected = [single.reset(seed=7 + row)[0] for row, single in enumerate(singles)]
    ended = [[], [], []]
    for step in range(90):
        for row in range(3):
            assert_same(row_of(observations, row), expected[row])
        actions = rule(observations)
        observations, rewards, terminated, truncated, infos = vector.step(actions)
        assert rewards.dtype == np.float64 and terminated.dtype == truncated.dtype == np.bool_
        for row, single in enumerate(singles):
            expected[row], reward, over, cut, info = single.step(actions[row])
            assert (rewards[row], terminated[row], truncated[row]) == (reward, over, cut)
            assert bool("final_info" in infos and infos["_final_info"][row]) == over
            if over:
                ended[row].append(step)
                final = row_of(infos["final_info"], row)
                assert_same(np.asarray(final.pop("returns")), np.asarray(info.pop("returns")))
                assert_same(final, info)
                assert infos["_final_obs"][row]
                assert_same(infos["final_obs"][row], expected[row])
                expected[row], _ = single.reset()
    assert min(map(len, ended)) >= 2
    assert len({steps[0] for steps in ended}) > 1
    for row, single in enumerate(singles):
        for name in ("input_to_exc", "inh_to_exc"):
            mine, theirs = (env.engine.network.weights_of(name) for env in (vector, single))
            assert torch.equal(mine[row], theirs[0])


@pytest.mark.parametrize("face", ["slots", "flat"])
def test_a_row_does_not_depend_on_the_number_of_rows(face):
    few, many = make(2), make(5)
    weights = []
    for env in (few, many):
        observation, _ = env.reset(seed=3)
        if face == "slots":
            play(env, observation, 60)
        else:
            play_flat(env, 2)
        weights.append(env.engine.network.weights_of("input_to_exc")[:2])
    assert torch.equal(*weights)


def test_flat_rows_are_single_environments():
    vector = make(3)
    vector.reset(seed=7)
    together = play_flat(vector, 3)
    for row in range(3):
        single = PlasticityEnv(ENV_ID, **SMALL)
        single.reset(seed=7 + row)
        for one, many in zip(play_flat(single, 3), together, strict=True):
            assert one.reward[0] == many.reward[row]
            assert torch.equal(one.rates[0], many.rates[row])
            assert one.info["image"][0] == many.info["image"][row]
        assert torch.equal(
            single.engine.network.weights_of("input_to_exc")[0], vector.engine.network.weights_of("input_to_exc")[row]
        )


def test_spaces_are_batches_of_the_single_ones():
    env, single = make(3), PlasticityEnv(ENV_ID, **SMALL)
    assert env.single_observation_space == single.observation_space
    assert env.single_action_space == single.action_space
    assert env.action_space.shape == (3, 1000)
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert all(step[0] in env.observation_space for step in play(env, observation, 40))


# Seeds and lifetimes


def test_the_same_seed_is_the_same_run():
    env, other = make(2), make(2)
    runs = []
    for one, seed in ((env, 5), (env, 6), (env, 5), (other, 5), (other, [5, 6])):
        observation, _ = one.reset(seed=seed)
        runs.append([observation, *play(one, observation, 50)])
    first, different, *same = runs
    for again in same:
        assert_same(first, again)
    with pytest.raises(AssertionError):
        assert_same(first, different)


def test_reset_shows_another_image_to_the_same_lifetime():
    env = make(2)
    observation, _ = env.reset(seed=5)
    play(env, observation, 10)
    weights = env.engine.network.weights.clone()
    before = [image_task(env.engine.task).shown(row) for row in range(2)]
    env.reset()
    assert torch.equal(env.engine.network.weights, weights)
    for row in range(2):
        assert image_task(env.engine.task).shown(row) is not before[row]
        assert not torch.equal(image_task(env.engine.task).shown(row).spikes, before[row].spikes)
    assert env.engine.steps.tolist() == [1, 1]


def test_seeds_may_be_given_row_by_row():
    env, reference = make(3), make(3)
    env.reset(seed=5)
    reference.reset(seed=5)
    play_flat(env)
    weights = env.engine.network.weights_of("input_to_exc").clone()
    env.reset(seed=[None, 6, None])  # the second lifetime starts again, the others go on
    after = env.engine.network.weights_of("input_to_exc")
    assert torch.equal(after[0], weights[0]) and torch.equal(after[2], weights[2])
    assert torch.equal(after[1], reference.engine.network.weights_of("input_to_exc")[1])
    assert env.engine.ages.tolist() == [1, 0, 1]
    for wrong in ([1, 2], [1, 2, 3, 4], []):
        with pytest.raises(ValueError, match=rf"^seed must be one number or num_envs=3 of them, got {len(wrong)}$"):
            env.reset(seed=wrong)


def test_a_new_lifetime_on_request():
    env, other = make(2), make(2)
    env.reset(seed=5)
    first = env.engine.network.weights.clone()
    play_flat(env)
    env.reset(options={})
    env.reset(options={"new_lifetime": False})
    assert env.engine.ages.tolist() == [1, 1]
    observation, _ = env.reset(options={"new_lifetime": True})
    assert env.engine.ages.tolist() == [0, 0]
    fresh = env.engine.network.weights.clone()
    assert not torch.equal(fresh, first)
    other.reset(seed=5)
    again, _ = other.reset(options={"new_lifetime": True})  # which one is a function of the seed
    assert torch.equal(other.engine.network.weights, fresh)
    assert_same(observation, again)
    env.reset(seed=5, options={"new_lifetime": True})
    assert torch.equal(env.engine.network.weights, first)


def test_without_a_seed_runs_differ_and_can_be_told_from_the_generator():
    one, other, third = make(2), make(2), make(2)
    third.np_random = np.random.default_rng(1)
    observations = [env.reset()[0] for env in (one, other, third)]
    assert not np.array_equal(observations[0]["weight"], observations[1]["weight"])
    fourth = make(2)
    fourth.np_random = np.random.default_rng(1)
    assert_same(fourth.reset()[0], observations[2])


def test_lifetimes_end_after_lifetime_length_images_in_both_faces():
    slots, flat = make(2, lifetime_length=2), make(2, lifetime_length=2)
    slots.reset(seed=5)
    flat.reset(seed=5)
    fresh = flat.engine.network.weights_of("input_to_exc").clone()
    flat_weights = []
    for _ in range(4):
        to_the_end(flat)
        flat.finish()
        flat_weights.append(flat.engine.network.weights_of("input_to_exc").clone())
    first, second, still_second, third = flat_weights  # nothing was learned within a lifetime
    assert torch.equal(first, fresh) and torch.equal(second, still_second)
    assert not torch.equal(first, second) and not torch.equal(second, third) and not torch.equal(first, third)
    starts = [0, 0]  # images of each row so far
    while min(starts) < 4:
        _, _, terminated, *_ = slots.step(np.zeros((2, 1000), np.float32))
        for row in np.flatnonzero(terminated):
            if starts[row] < 4:
                now = slots.engine.network.weights_of("input_to_exc")[row]
                assert torch.equal(now, flat_weights[starts[row]][row])
            starts[row] += 1


@pytest.mark.parametrize("face", ["slots", "flat"])
def test_common_noise_shows_all_rows_the_same_images_and_spikes(face):
    env = make(3, common_noise=True, lifetime_length=2, image_pool=0)
    observation, _ = env.reset(seed=5)
    shown = [[], [], []]
    for _ in range(60 if face == "slots" else 5):
        for row in range(3):
            now = image_task(env.engine.task).shown(row)
            if not shown[row] or shown[row][-1] is not now:
                shown[row].append(now)
        if face == "slots":
            observation = play(env, observation, 1)[-1][0]
        else:
            play_flat(env)
    images = min(map(len, shown))
    assert images >= 3
    for one, *others in list(zip(*shown, strict=False)):
        for other in others:
            assert (one.image, one.label) == (other.image, other.label)
            assert torch.equal(one.spikes, other.spikes)
    weights = env.engine.network.weights_of("input_to_exc")
    assert not torch.equal(weights[0], weights[1])
    assert len({stimulus.image for stimulus in shown[0]}) == len(shown[0])
    plain = make(3)
    plain.reset(seed=5)
    assert not torch.equal(image_task(plain.engine.task).shown(0).spikes, image_task(plain.engine.task).shown(1).spikes)


# Ends of episodes


def test_rows_reset_themselves_in_the_step_that_ends_their_episode():
    env = make(3)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    observation, infos = env.reset(seed=7)
    assert infos == {}
    ends = []
    for step in range(80):
        ages = env.engine.ages.copy()
        observation, rewards, terminated, truncated, infos = env.step(rule(observation))
        assert not truncated.any()
        assert (env.engine.ages == ages + terminated).all()
        assert (env.engine.steps[terminated] == 1).all()
        assert (rewards[~terminated] == 0).all()
        if not terminated.any():
            assert infos == {}
            continue
        ends.append((step, tuple(terminated)))
        assert infos.keys() == {"final_obs", "_final_obs", "final_info", "_final_info"}
        assert_same(infos["_final_obs"], terminated)
        assert_same(infos["_final_info"], terminated)
        assert infos["final_obs"].dtype == object
        for row in range(3):
            if terminated[row]:
                assert infos["final_obs"][row] in env.single_observation_space
                assert not infos["final_obs"][row]["mask"].any()
            else:
                assert infos["final_obs"][row] is None
        final = infos["final_info"]
        for name in (
            "reward_terms",
            "returns",
            "winner",
            "rates",
            "spikes",
            "num_events",
            "num_steps",
            "image",
            "label",
        ):
            assert_same(final[f"_{name}"], terminated)
        for row in np.flatnonzero(terminated):
            returns = np.asarray(final["returns"][row], dtype=np.float32)
            assert_same(returns, np.full(final["num_events"][row], rewards[row], np.float32))
            terms = [final["reward_terms"][name][row] for name in ("sparsity", "diversity", "stability")]
            assert rewards[row] == pytest.approx(np.nanmean(terms), abs=1e-6)
            assert final["rates"][row].sum() * 20 == pytest.approx(final["spikes"]["exc"][row])
            assert final["rates"][row, final["winner"][row]] == final["rates"][row].max() > 0
    assert len(ends) > 3 and len({rows for _, rows in ends}) > 1


def test_rows_may_end_in_the_same_step():
    """Their numbers of events differ, so that Gymnasium could not stack returns if these were arrays."""
    env = make(3, events_per_step=ALL)
    observation, _ = env.reset(seed=7)
    *_, (_, rewards, terminated, _, infos) = play(env, observation, 20)
    assert terminated.all()
    counts = infos["final_info"]["num_events"]
    assert len(set(counts)) == 3
    assert [len(infos["final_info"]["returns"][row]) for row in range(3)] == counts.tolist()
    assert [infos["final_info"]["returns"][row][0] for row in range(3)] == pytest.approx(rewards)


def test_final_observations_share_no_memory():
    env = make(3, events_per_step=ALL)
    observation, _ = env.reset(seed=7)
    *_, (_, _, terminated, _, infos) = play(env, observation, 20)
    assert terminated.all()
    infos["final_obs"][0]["weight"][:] = 9
    assert not infos["final_obs"][1]["weight"].any()


@pytest.mark.parametrize("limit", [1, 7, "first end"])
def test_episodes_are_cut_off_after_max_episode_steps(limit):
    """As Gymnasium's TimeLimit does with single environments; an episode that ends by itself is not cut off."""
    both = limit == "first end"  # then one row ends by itself in the step that cuts off others
    if both:
        free = make(3)
        ends = [step[2].any() for step in play(free, free.reset(seed=7)[0], 40)]
        limit = ends.index(True) + 1
    env = make(3, max_episode_steps=limit)
    singles = [gymnasium.wrappers.TimeLimit(PlasticityEnv(ENV_ID, **SMALL), limit) for _ in range(3)]
    observation, _ = env.reset(seed=7)
    expected = [single.reset(seed=7 + row)[0] for row, single in enumerate(singles)]
    together = 0
    for _ in range(60):
        for row in range(3):
            assert_same(row_of(observation, row), expected[row])
        actions = rule(observation)
        observation, rewards, terminated, truncated, infos = env.step(actions)
        together += truncated.any() and terminated.any()
        assert ("final_info" in infos) == (terminated | truncated).any()
        for row, single in enumerate(singles):
            expected[row], reward, over, cut, info = single.step(actions[row])
            assert (rewards[row], terminated[row]) == (reward, over)
            assert truncated[row] == (cut and not over)
            if over or cut:
                assert infos["_final_info"][row] and infos["_final_obs"][row]
                assert_same(infos["final_obs"][row], expected[row])
                final = infos["final_info"]
                assert bool("_reward_terms" in final and final["_reward_terms"][row]) == over
                assert not over or final["num_events"][row] == info["num_events"]
                expected[row], _ = single.reset()
                assert env.engine.steps[row] == 1
    assert together or not both


def test_cut_off_episodes_are_not_judged():
    env = make(2, max_episode_steps=3)
    observation, _ = env.reset(seed=7)
    play(env, observation, 10)
    assert env.engine.ages.tolist() == [0, 0]
    assert not env.engine.task._reward.memory.seen.any()


def test_counting_for_the_limit_begins_anew_with_reset():
    env = make(2, max_episode_steps=5)
    observation, _ = env.reset(seed=7)
    play(env, observation, 4)
    observation, _ = env.reset()
    assert [bool(step[3].any()) for step in play(env, observation, 6)] == [False] * 4 + [True, False]


def test_silent_episodes_end_with_their_reward():
    env = make(2, max_rate=0.0)
    observation, _ = env.reset(seed=7)
    steps = play(env, observation, 40)
    assert [step[2].tolist() for step in steps] == ([[False] * 2] * 19 + [[True] * 2]) * 2
    for _, rewards, _, _, infos in (steps[19], steps[39]):
        assert rewards.tolist() == pytest.approx([0.5 * (1 - 0.3 / 0.7)] * 2) or infos["final_info"]["reward_terms"]
        assert infos["final_info"]["num_events"].tolist() == [0, 0]
        assert infos["final_info"]["winner"].tolist() == [-1, -1]
        assert [len(returns) for returns in infos["final_info"]["returns"]] == [0, 0]


# Wrong arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_envs": 0}, "num_envs must be greater than or equal to 1, got 0"),
        ({"max_episode_steps": 0}, "max_episode_steps must be greater than or equal to 1 or None, got 0"),
        ({"render_mode": "human"}, "render_mode must be one of rgb_array or None, got 'human'"),
        ({"n_exc": 0}, "n_exc must be greater than or equal to 1, got 0"),
        ({"n_ext": 4}, "unexpected keyword argument 'n_ext'; did you mean 'n_exc'?"),
        ({"history_length": 21}, "history_length must be at most num_steps"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError) as error:
        make(**arguments)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


# Pickle, pictures, Gymnasium's own vectors


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_like_the_original(duplicate):
    env = make(2, events_per_step=64, max_episode_steps=300)
    observation, _ = env.reset(seed=7)
    seen = play(env, observation, 21)
    twin = duplicate(env)
    after, again = (play(one, seen[-1][0], 200) for one in (env, twin))
    assert_same([step[:4] for step in after], [step[:4] for step in again])
    assert any(step[2].any() for step in after)
    assert torch.equal(env.engine.network.weights, twin.engine.network.weights)
    twin.engine.network.weights.zero_()
    assert env.engine.network.weights.any()  # nothing is shared


def test_a_copy_goes_on_in_the_flat_face():
    env = make(2)
    env.reset(seed=7)
    for _ in range(8):
        env.apply(torch.full((len(env.events().weight),), 0.3))
    twin = pickle.loads(pickle.dumps(env))
    for one, other in zip(play_flat(env, 2), play_flat(twin, 2), strict=True):
        assert torch.equal(one.reward, other.reward)
        assert torch.equal(one.rates, other.rates)
    assert torch.equal(env.engine.network.weights, twin.engine.network.weights)


def test_render_gives_one_picture_per_row_and_changes_nothing():
    env, blind = make(2, render_mode="rgb_array"), make(2)
    observation, _ = env.reset(seed=7)
    pictures = env.render()
    assert isinstance(pictures, tuple) and len(pictures) == 2
    assert not np.array_equal(*pictures)
    blind.reset(seed=7)
    assert_same(play(env, observation, 25), play(blind, observation, 25))
    with pytest.warns(UserWarning, match="render_mode='rgb_array'"):
        assert blind.render() is None


def test_gymnasiums_own_vector_of_single_environments_agrees():
    """With `vectorization_mode="sync"` users get this one; it stacks the infos of single environments."""
    mine = make(2, events_per_step=ALL)
    sync = SyncVectorEnv(
        [lambda: PlasticityEnv(ENV_ID, **{**SMALL, "events_per_step": ALL})] * 2,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    observation, _ = mine.reset(seed=7)
    assert_same(sync.reset(seed=7)[0], observation)
    for _ in range(21):
        actions = rule(observation)
        observation, rewards, terminated, _, infos = mine.step(actions)
        theirs = sync.step(actions)
        assert_same(theirs[0], observation)
        assert_same(theirs[1], rewards)
        assert_same(theirs[2], terminated)
        assert theirs[4].keys() == infos.keys()
        if terminated.any():
            for name in ("final_info", "final_obs", "_final_obs", "_final_info"):
                assert_same(theirs[4][name], infos[name])
    assert mine.engine.ages.tolist() == [1, 1]


def test_gymnasiums_statistics_wrapper_sees_rewards_as_episode_returns():
    env = gymnasium.wrappers.vector.RecordEpisodeStatistics(make(2))
    observation, _ = env.reset(seed=7)
    found = 0
    for _ in range(60):
        observation, rewards, terminated, _, infos = env.step(rule(observation))
        if terminated.any():
            assert_same(infos["episode"]["r"][terminated], rewards[terminated])
            found += 1
    assert found


def test_no_warning_is_raised():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make(2)
        observation, _ = env.reset(seed=7)
        play(env, observation, 40)
        env.close()
    assert math.isfinite(env.engine.network.weights.sum())
