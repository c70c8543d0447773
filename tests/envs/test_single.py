"""The single environment: Gymnasium's and Stable-Baselines3's checkers, lifetimes, and what an episode tells."""

import copy
import math
import os
import pickle
import warnings

import gymnasium
import numpy as np
import pytest
import stable_baselines3.common.env_checker
import torch
from grids import grid
from gymnasium.utils.env_checker import check_env
from processes import forked

import snn_plasticity_gym  # noqa: F401 - registers the environments
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
CHECKED = {  # settings that the checkers see
    "defaults": {"dataset": "digits", "num_steps": 5, "history_length": 5},
    "small": SMALL,
    "one slot": {**SMALL, "events_per_step": 1},
    "silent": {**SMALL, "max_rate": 0.0},
    # Not one step: an episode's info holds NaN on a first presentation, which the checker finds unequal to itself.
    "one neuron, two steps": {**SMALL, "n_exc": 1, "num_steps": 2, "history_length": 1},
    "feature": {**SMALL, "event_kinds": "feature"},
    "split": {**SMALL, "event_kinds": "split"},
}
ALLOWED_OF_SB3 = (  # what Stable-Baselines3's checker may warn about, and why that is no fault here
    "observation space history is an image",  # (E, 2, K) has three axes as an image has, but bits are no pixels
    "Treating image space as channels-last",  # follows from the one above
    "minimal resolution for an image is 36x36",  # the same; our policies have a front of their own
)


def make(render_mode=None, **settings):
    return PlasticityEnv(ENV_ID, render_mode, **{**SMALL, **settings})


def rule(observation):
    """Weight changes that depend on what a slot shows."""
    code = observation["history"].sum(axis=-1).astype(np.int64) @ np.array([37, 911]) + 5 * observation["kind"]
    return ((code + (observation["weight"] * 1e6).astype(np.int64)) % 2001 - 1000).astype(np.float32) / 1000


def play(env, observation, steps=10**6):
    """Step on by the rule until the episode ends, but not further than `steps`; return what step() returned."""
    seen = []
    while len(seen) < steps and not (seen and (seen[-1][2] or seen[-1][3])):
        seen.append(env.step(rule(observation)))
        observation = seen[-1][0]
    return seen


def episodes(env, count, **reset):
    """Play whole episodes; return everything that was seen."""
    seen = []
    for _ in range(count):
        observation, info = env.reset(**reset)
        reset = {}
        seen.append([observation, info, *play(env, observation)])
    return seen


def assert_same(one, other):
    """Equal throughout, NaN to NaN."""
    np.testing.assert_equal(one, other)


def weights(env):
    return env.unwrapped.engine.network.weights.clone()


# Checkers


@pytest.mark.parametrize("name", grid(CHECKED))
def test_gymnasiums_checker_has_nothing_to_say(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(ENV_ID, render_mode="rgb_array", **CHECKED[name])
        check_env(env.unwrapped)
        env.close()


@pytest.mark.parametrize("name", grid([*list(CHECKED)[1:], "defaults"]))  # those that are slow above, and the first
def test_stable_baselines_checker_has_only_the_allowed_to_say(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for message in ALLOWED_OF_SB3:
            warnings.filterwarnings("ignore", message=f".*{message}")
        env = gymnasium.make(ENV_ID, render_mode="rgb_array", **CHECKED[name])
        stable_baselines3.common.env_checker.check_env(env.unwrapped, skip_render_check=False)


def test_each_allowed_warning_is_still_needed():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stable_baselines3.common.env_checker.check_env(make())
    said = " ".join(str(warning.message) for warning in caught)
    assert [message for message in ALLOWED_OF_SB3 if message not in said] == []


def test_a_whole_life_behind_gymnasiums_wrappers_raises_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make(ENV_ID, render_mode="rgb_array", **SMALL))
        for _ in range(3):
            observation, _ = env.reset()
            reward, info = play(env, observation)[-1][1::3]
            assert info["episode"]["r"] == pytest.approx(reward)
            env.render()
        env.close()


# Seeds and lifetimes


def test_the_same_seed_is_the_same_run():
    env = make()
    first, other_seed, again = (episodes(env, 3, seed=seed) for seed in (5, 6, 5))
    assert_same(first, again)
    assert_same(first, episodes(make(), 3, seed=5))
    with pytest.raises(AssertionError):
        assert_same(first, other_seed)


def test_reset_with_a_seed_is_a_new_lifetime():
    env = make(image_pool=1)
    env.reset(seed=5)
    fresh = weights(env)
    seen = episodes(env, 2)
    assert not math.isnan(seen[1][-1][-1]["reward_terms"]["stability"])
    assert not torch.equal(weights(env), fresh)
    env.reset(seed=5)
    assert torch.equal(weights(env), fresh)
    assert env.engine.ages[0] == 0
    env.reset(seed=6)
    assert not torch.equal(weights(env), fresh)
    assert math.isnan(episodes(env, 1)[0][-1][-1]["reward_terms"]["stability"])


def test_reset_keeps_the_weights_and_shows_another_image():
    env = make()
    observation, _ = env.reset(seed=5)
    play(env, observation)
    grown, shown = weights(env), image_task(env.engine.task).shown(0)
    observation, info = env.reset()
    assert info == {}
    assert torch.equal(weights(env), grown)
    assert image_task(env.engine.task).shown(0) is not shown
    assert not torch.equal(image_task(env.engine.task).shown(0).spikes, shown.spikes)
    assert not observation["history"][:, :, :-1].any()  # histories are fresh
    used = observation["mask"] == 1
    synapses = env.events().synapse[: used.sum()]
    assert_same(observation["weight"][used], grown[synapses].numpy())  # weights are not


def test_reset_in_the_middle_of_an_image_goes_on_to_the_next():
    env, reference = make(), make()
    observation, _ = env.reset(seed=5)
    play(env, observation, 7)
    learned = weights(env)
    env.reset()
    assert torch.equal(weights(env), learned)  # what was learned stays
    assert env.engine.ages[0] == 0  # but the image does not count
    reference.reset(seed=5)
    reference.reset()
    assert torch.equal(image_task(env.engine.task).shown(0).spikes, image_task(reference.engine.task).shown(0).spikes)


def test_a_new_lifetime_on_request():
    env, other = make(), make()
    env.reset(seed=5)
    first = weights(env)
    episodes(env, 1)
    env.reset(options={"new_lifetime": False})
    assert env.engine.ages[0] == 1
    observation, _ = env.reset(options={"new_lifetime": True})
    assert env.engine.ages[0] == 0
    assert not torch.equal(weights(env), first)
    other.reset(seed=5)
    again, _ = other.reset(options={"new_lifetime": True})  # which one is a function of the seed
    assert_same(observation, again)
    assert torch.equal(weights(other), weights(env))
    env.reset(seed=5, options={"new_lifetime": True})
    assert torch.equal(weights(env), first)


def test_a_lifetime_ends_after_lifetime_length_images():
    env, by_hand = make(lifetime_length=2), make()
    seen = episodes(env, 5, seed=5)
    expected = episodes(by_hand, 2, seed=5)
    for count in (2, 1):
        expected += episodes(by_hand, count, options={"new_lifetime": True})
    assert_same(seen, expected)


def test_without_a_seed_runs_differ():
    observations = [make().reset()[0]["weight"] for _ in range(2)]
    assert not np.array_equal(*observations)


# What an episode tells


def test_the_last_step_tells_how_the_episode_went():
    env = make()
    for image, seen in enumerate(episodes(env, 4, seed=5)):
        _, info, *steps = seen
        assert info == {}
        for step in steps[:-1]:
            assert step[1:] == (0.0, False, False, {})
        observation, reward, over, truncated, info = steps[-1]
        assert over and not truncated
        assert isinstance(reward, float)
        assert not observation["mask"].any() and not observation["history"].any() and not observation["weight"].any()
        assert info.keys() == {
            *("reward_terms", "returns", "winner", "rates", "spikes", "num_events", "num_steps", "image", "label")
        }
        terms = info["reward_terms"]
        assert list(terms) == ["sparsity", "diversity", "stability"]
        known = [value for value in terms.values() if not math.isnan(value)]
        assert all(0 <= value <= 1 + 1e-6 for value in known)
        assert reward == pytest.approx(sum(known) / len(known), abs=1e-6)
        assert math.isnan(terms["stability"]) or image > 0
        assert len(info["returns"]) == info["num_events"] > 1000
        assert (np.asarray(info["returns"], np.float32) == np.float32(reward)).all()
        shown = [seen[0], *(step[0] for step in steps)]
        assert sum(int(one["mask"].sum()) for one in shown) == info["num_events"]
        assert info["rates"].shape == (16,) and info["rates"].dtype == np.float32
        counts = np.rint(info["rates"] * 20)
        assert counts.sum() == info["spikes"]["exc"] > 0
        assert counts[info["winner"]] == counts.max()
        assert info["spikes"].keys() == {"input", "exc", "inh"}
        assert terms["sparsity"] == pytest.approx(1 - abs((counts > 0).mean() - 0.3) / 0.7, abs=1e-6)
        assert image_task(env.engine.task).dataset.train.labels[info["image"]] == info["label"]


def test_a_silent_episode_ends_with_its_reward():
    env = make(max_rate=0.0)
    for _ in range(2):
        observation, _ = env.reset(seed=5)
        steps = play(env, observation)
        assert len(steps) == 20
        _, reward, over, _, info = steps[-1]
        assert over
        assert (info["num_events"], len(info["returns"]), info["winner"]) == (0, 0, -1)
        assert reward == pytest.approx(0.5 * (1 - 0.3 / 0.7))  # sparsity of nothing, no diversity, no stability
        assert not info["rates"].any()


def test_there_is_no_step_after_the_end():
    env = make(max_rate=0.0)
    observation, _ = env.reset(seed=5)
    play(env, observation)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^the episode is over; call reset\(\) for the next one$"):
            env.step(np.zeros(1000, np.float32))
    env.reset()
    env.step(np.zeros(1000, np.float32))


def test_time_limits_cut_off_episodes_without_reward():
    env = gymnasium.make(ENV_ID, max_episode_steps=5, **SMALL)
    observation, _ = env.reset(seed=5)
    seen = play(env, observation)
    assert [step[1:4] for step in seen] == [(0.0, False, False)] * 4 + [(0.0, False, True)]
    assert seen[-1][4] == {}
    observation, _ = env.reset()
    assert observation["mask"].any()
    assert env.unwrapped.engine.ages[0] == 0
    endless = gymnasium.make(ENV_ID, **SMALL)
    assert play(endless, endless.reset(seed=5)[0])[-1][2]


# Pickle, pictures, real data


DUPLICATES = {"copied": copy.deepcopy, "pickled": lambda env: pickle.loads(pickle.dumps(env))}


@pytest.mark.parametrize(("duplicate", "steps"), grid(DUPLICATES, [1, 13]))
def test_a_copy_goes_on_like_the_original(duplicate, steps):
    env = make(events_per_step=300)
    observation, _ = env.reset(seed=5)
    seen = play(env, observation, steps)
    twin = DUPLICATES[duplicate](env)
    ends = [play(one, seen[-1][0]) + episodes(one, 1) for one in (env, twin)]
    assert_same(*ends)
    assert torch.equal(weights(env), weights(twin))
    twin.engine.network.weights.zero_()
    assert env.engine.network.weights.any()  # nothing is shared


def test_a_copy_goes_on_in_another_process(tmp_path):
    env = make()
    observation, _ = env.reset(seed=5)
    play(env, observation, 9)
    program = tmp_path / "goes_on.py"
    program.write_text(
        "import pickle; env = pickle.load(open('env.pickle', 'rb'))\n"
        "while (events := env.events()) is not None: env.apply(events.weight)\n"
        "print(env.finish().num_events[0].item(), env.engine.network.weights.double().sum().item())"
    )
    env.reset()
    (tmp_path / "env.pickle").write_bytes(pickle.dumps(env))
    run = forked(program, folder=tmp_path)
    assert run.returncode == 0, run.stderr
    while (events := env.events()) is not None:
        env.apply(events.weight)
    num_events, total = run.stdout.split()
    assert env.finish().num_events[0] == int(num_events)
    assert env.engine.network.weights.double().sum().item() == float(total)


def test_rendering_changes_nothing():
    seeing, blind = make("rgb_array"), make()
    observation, _ = seeing.reset(seed=5)
    blind.reset(seed=5)
    pictures = []
    for step in play(seeing, observation, 3):
        pictures.append(seeing.render())
        assert_same(blind.step(rule(observation)), step)
        observation = step[0]
    assert all(picture.dtype == np.uint8 and picture.shape[2] == 3 for picture in pictures)
    assert_same(play(seeing, observation), play(blind, observation))
    seeing.render()
    assert_same(episodes(seeing, 2), episodes(blind, 2))


def test_render_modes():
    assert make().render_mode is None
    assert make("rgb_array").render_mode == "rgb_array"
    assert PlasticityEnv.metadata["render_modes"] == ["rgb_array"]
    for wrong in ("human", "ansi", "", "RGB_ARRAY"):
        with pytest.raises(ValueError, match=rf"^render_mode must be one of rgb_array or None, got '{wrong}'[^\n]*$"):
            make(wrong)
    env = make()
    env.reset(seed=5)
    with pytest.warns(UserWarning, match="render_mode='rgb_array'"):
        assert env.render() is None


def test_there_is_nothing_to_render_before_the_first_reset():
    with pytest.raises(RuntimeError, match=r"^[^\n]*call reset\(\)[^\n]*$"):
        make("rgb_array").render()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_exc": 0}, "n_exc must be greater than or equal to 1, got 0"),
        ({"n_ext": 4}, "unexpected keyword argument 'n_ext'; did you mean 'n_exc'?"),
        ({"num_steps": 5}, "history_length must be at most num_steps, got history_length=20 and num_steps=5"),
        ({"dataset": "mnits"}, "dataset must be one of"),
        ({"device": "nonsense"}, "device must be one of cpu"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(settings, message):
    with pytest.raises(ValueError) as error:
        make(**settings)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not os.environ.get("SNN_PLASTICITY_DATA"), reason="needs MNIST: set SNN_PLASTICITY_DATA")
def test_an_episode_of_the_default_environment_on_mnist():
    env = PlasticityVectorEnv(ENV_ID, num_envs=2, dataset="mnist")
    env.reset(seed=0)
    assert image_task(env.engine.task).dataset.name == "mnist"
    while (events := env.events()) is not None:
        env.apply(torch.zeros(len(events.weight)))
    result = env.finish()
    assert (result.spikes["exc"] > 0).all()
    assert (result.reward > 0).all() and (result.reward <= 1).all()
