"""The flat interface and the Gymnasium face of an environment are one environment, bit for bit."""

import numpy as np
import pytest
import torch

from snn_plasticity_gym.envs.single import PlasticityEnv
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv

ENV_ID = "SNNPlastic-Unsup1-v0"
SMALL = {  # a lively network of little work: some twelve E spikes and 10,000 events an episode
    "dataset": "digits",
    "n_exc": 16,
    "num_steps": 20,
    "history_length": 20,
    "events_per_step": 64,
    "max_rate": 0.02,
    "gain_input_exc": 5.0,
    "gain_inh_exc": 15.0,
    "eta_exc": 0.05,
    "eta_inh": 0.05,
    "w_exc_max": 0.4,
    "w_exc_init_max": 0.3,
    "w_exc_init_power": 1.0,
    "w_inh_min": -0.6,
    "target_active": 0.3,
    "image_pool": 3,
}
TINY = {**SMALL, "n_exc": 3, "num_steps": 6, "history_length": 4, "gain_input_exc": 8.0, "gain_inh_exc": 40.0}
ALL = 784 * 16 + 16 * 15  # slots for every synapse of the small network
SEED = 11


def rule(history, weight, kind):
    """Weight changes in [-1.2, 1.2], a function of what each event shows; in integers, so the same in any batch."""
    place = np.arange(1, 2 * history.shape[-1] + 1, dtype=np.uint64).reshape(2, -1)
    code = (history * place**2).sum(axis=(-2, -1)) * np.uint64(2_654_435_761)
    code = code ^ (weight.view(np.uint32).astype(np.uint64) * np.uint64(40_503)) + kind.astype(np.uint64)
    return ((code >> np.uint64(3)) % np.uint64(2_401)).astype(np.float32) / 1000 - np.float32(1.2)


def flat_rule(events):
    return torch.from_numpy(rule(events.history().numpy(), events.weight.numpy(), events.kind.numpy()))


def slot_rule(observation):
    """The same in slots; what stands in unused ones must not matter, so it is NaN."""
    delta_d = rule(observation["history"], observation["weight"], observation["kind"])
    return np.where(observation["mask"] == 1, delta_d, np.float32(np.nan))


class Episode:
    """What a lifetime shows in one episode, and how that ends."""

    def __init__(self):
        self.shown = {name: [] for name in ("history", "weight", "group", "kind")}
        self.steps = 0

    def show(self, **arrays):
        self.steps += 1
        for name, values in arrays.items():
            # Slots show labels in the dtype that Stable-Baselines3 takes.
            self.shown[name].append(np.array(values, dtype=np.int64 if name in ("group", "kind") else None))

    def end(self, env, row, info):
        self.weights = [env.engine.network.weights_of(name)[row].clone() for name in ("input_to_exc", "inh_to_exc")]
        self.info = info

    def assert_equals(self, other):
        for name, parts in self.shown.items():
            mine, others = np.concatenate(parts), np.concatenate(other.shown[name])
            assert mine.dtype == others.dtype and np.array_equal(mine, others), name
        for mine, others in zip(self.weights, other.weights, strict=True):
            assert torch.equal(mine, others)
        np.testing.assert_equal(self.info, other.info)  # NaN equals NaN


def play_flat(env, num_lifetimes, num_episodes):
    """Return the episodes of each lifetime, played through events(), apply() and finish()."""
    played = [[] for _ in range(num_lifetimes)]
    for _ in range(num_episodes):
        now = [Episode() for _ in range(num_lifetimes)]
        while (events := env.events()) is not None:
            for part, episode in zip(events.split(), now, strict=True):
                names = ("weight", "group", "kind")
                episode.show(history=part.history().numpy(), **{name: getattr(part, name).numpy() for name in names})
            env.apply(flat_rule(events))
        for row, episode in enumerate(now):
            episode.end(env, row, None)
            played[row].append(episode)
        result = env.finish()
        for row, episode in enumerate(now):
            episode.info = {
                "reward": float(result.reward[row]),
                "reward_terms": {name: float(values[row]) for name, values in result.terms.items()},
                "winner": int(result.info["winner"][row]),
                "rates": result.rates[row].numpy(),
                "spikes": {name: int(values[row]) for name, values in result.spikes.items()},
                "num_events": int(result.num_events[row]),
                "image": int(result.info["image"][row]),
                "label": int(result.info["label"][row]),
                "num_steps": int(result.length[row]),
            }
    return played


def of_slots(observation, used):
    """What the used slots show; groups and kinds in the types of the flat interface."""
    arrays = {name: observation[name][used] for name in ("history", "weight", "group", "kind")}
    return {**arrays, "group": arrays["group"].astype(np.int64)}


def episode_end(info, reward):
    """Check the returns, and give the rest of the info with the reward."""
    info = dict(info)
    returns = np.asarray(info.pop("returns"), dtype=np.float32)
    assert returns.shape == (info["num_events"],)
    assert (returns == np.float32(reward)).all()
    return {"reward": reward, **info}


def play_slots(env, observation, num_lifetimes, num_episodes):
    """Return the episodes of each lifetime of a vector environment, played through step()."""
    played = [[Episode()] for _ in range(num_lifetimes)]
    while any(len(episodes) <= num_episodes for episodes in played):
        for row, episodes in enumerate(played):
            used = observation["mask"][row] == 1
            episodes[-1].show(**of_slots({name: values[row] for name, values in observation.items()}, used))
        observation, rewards, terminated, truncated, infos = env.step(slot_rule(observation))
        assert not truncated.any()
        for row in np.flatnonzero(terminated):
            assert infos["_final_info"][row]
            info = of_row(infos["final_info"], row)
            played[row][-1].end(env, row, episode_end(info, rewards[row]))
            played[row].append(Episode())
        assert (rewards[~terminated] == 0).all()
    return [episodes[:num_episodes] for episodes in played]


def of_row(infos, row):
    """One lifetime's part of infos in Gymnasium's vector form."""
    return {
        name: of_row(values, row) if isinstance(values, dict) else values[row]
        for name, values in infos.items()
        if not name.startswith("_")
    }


def play_single(env, num_episodes, **reset):
    """Return the episodes of a single environment, played through step()."""
    played = []
    for _ in range(num_episodes):
        observation, _ = env.reset(**reset)
        reset = {}
        episode, over = Episode(), False
        while not over:
            episode.show(**of_slots(observation, observation["mask"] == 1))
            observation, reward, over, truncated, info = env.step(slot_rule(observation))
            assert not truncated
            assert over or reward == 0
        episode.end(env, 0, episode_end(info, reward))
        played.append(episode)
    return played


def assert_all_equal(some, others):
    for mine, theirs in zip(some, others, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            one.assert_equals(other)


# Both faces


@pytest.fixture(scope="module")
def reference():
    """Three lifetimes of three episodes through the flat interface."""
    env = PlasticityVectorEnv(ENV_ID, num_envs=3, **SMALL)
    env.reset(seed=SEED)
    return play_flat(env, 3, 3)


@pytest.mark.parametrize("slots", [33, 64, 1000, 4096, ALL])
def test_both_faces_of_a_vector_are_one(reference, slots):
    env = PlasticityVectorEnv(ENV_ID, num_envs=3, **{**SMALL, "events_per_step": slots})
    observation, info = env.reset(seed=SEED)
    assert info == {}
    played = play_slots(env, observation, 3, 3)
    assert_all_equal(played, reference)
    ends = np.cumsum([[episode.steps for episode in episodes] for episodes in played], axis=1)  # (3 lifetimes, 3)
    if slots == ALL:
        assert (ends == [20, 40, 60]).all()
    else:  # the lifetimes were at different steps, and soon in different images
        assert (ends != ends[0]).any(axis=0).all()


@pytest.mark.parametrize("slots", [1, 7])
def test_both_faces_are_one_with_few_slots(slots):
    settings = {**TINY, "events_per_step": slots}
    flat, vector = (PlasticityVectorEnv(ENV_ID, num_envs=2, **settings) for _ in range(2))
    flat.reset(seed=SEED)
    observation, _ = vector.reset(seed=SEED)
    episodes = 1 if slots == 1 else 3
    expected = play_flat(flat, 2, episodes)
    assert all(one.info["spikes"]["exc"] for episodes in expected for one in episodes)
    assert_all_equal(play_slots(vector, observation, 2, episodes), expected)


@pytest.fixture(scope="module")
def phases():
    """The same in two phases a time step, two lifetimes of two episodes."""
    env = PlasticityVectorEnv(ENV_ID, num_envs=2, **SMALL, event_kinds="split")
    env.reset(seed=SEED)
    return play_flat(env, 2, 2)


@pytest.mark.parametrize("slots", [64, 1000, ALL])
def test_both_faces_are_one_in_phases(phases, slots):
    env = PlasticityVectorEnv(ENV_ID, num_envs=2, **{**SMALL, "events_per_step": slots}, event_kinds="split")
    observation, _ = env.reset(seed=SEED)
    played = play_slots(env, observation, 2, 2)
    assert_all_equal(played, phases)
    steps = [[episode.steps for episode in episodes] for episodes in played]
    if slots == ALL:
        assert steps == [[40, 40], [40, 40]]
    else:  # the lifetimes were at different steps, and at different phases of them
        assert len(set(map(tuple, steps))) == 2
    for row in (0, 1):
        single = PlasticityEnv(ENV_ID, **{**SMALL, "events_per_step": slots}, event_kinds="split")
        assert_all_equal([play_single(single, 2, seed=SEED + row)], [phases[row]])


@pytest.mark.parametrize("slots", [64, 4096])
def test_both_faces_of_a_single_environment_are_one_and_a_row_of_a_vector(reference, slots):
    for row in range(3):
        env = PlasticityEnv(ENV_ID, **{**SMALL, "events_per_step": slots})
        assert_all_equal([play_single(env, 3, seed=SEED + row)], [reference[row]])
        env.reset(seed=SEED + row)
        assert_all_equal(play_flat(env, 1, 3), [reference[row]])


def test_the_weights_of_this_comparison_reach_their_clips_and_the_rule_says_more_than_one(reference):
    """Otherwise the tests above would prove less than they seem to."""
    exc, inh = (torch.stack([episodes[-1].weights[k] for episodes in reference]) for k in range(2))
    assert exc.min() == 0 and exc.max() == torch.tensor(0.4)
    assert inh.min() == torch.tensor(-0.6) and inh.max() == 0
    shown = reference[0][0].shown
    for history, weight, kind in zip(shown["history"], shown["weight"], shown["kind"], strict=True):
        delta_d = rule(history, weight, kind)
        if len(weight) > 500:
            assert delta_d.min() < -1.1 and delta_d.max() > 1.1 and abs(delta_d.mean()) < 0.2
    assert {kind for part in shown["kind"] for kind in part} == {0, 1, 2}
    assert len({one.info["reward"] for episodes in reference for one in episodes}) > 5


def test_the_faces_may_take_turns_while_lifetimes_are_in_step(reference):
    env = PlasticityVectorEnv(ENV_ID, num_envs=3, **{**SMALL, "events_per_step": ALL})
    observation, _ = env.reset(seed=SEED)
    for _ in range(5):
        observation, *_ = env.step(slot_rule(observation))  # one time step each: all events have slots
        env.apply(flat_rule(env.events()))
        observation = env._interface.observe()
    while (events := env.events()) is not None:
        env.apply(flat_rule(events))
    for row in range(3):
        assert torch.equal(env.engine.network.weights_of("input_to_exc")[row], reference[row][0].weights[0])
    assert env.finish().reward.tolist() == [episodes[0].info["reward"] for episodes in reference]


def test_the_faces_may_take_turns_between_time_steps_of_two_phases(phases):
    settings = {**SMALL, "events_per_step": ALL, "event_kinds": "split"}
    env = PlasticityVectorEnv(ENV_ID, num_envs=2, **settings)
    observation, _ = env.reset(seed=SEED)
    for _ in range(4):
        observation, *_ = env.step(slot_rule(observation))
        with pytest.raises(RuntimeError, match="go on with step"):  # the pre events were answered in slots
            env.events()
        env.step(slot_rule(observation))
        env.apply(flat_rule(env.events()))  # pre events through the flat interface, post events in slots
        observation, *_ = env.step(slot_rule(env._interface.observe()))
    assert env.engine.steps.tolist() == [9, 9]
    while (events := env.events()) is not None:
        env.apply(flat_rule(events))
    for row in range(2):
        assert torch.equal(env.engine.network.weights_of("input_to_exc")[row], phases[row][0].weights[0])
    assert env.finish().reward.tolist() == [episodes[0].info["reward"] for episodes in phases]


# Presentation in slots


def test_events_fill_the_slots_from_the_first_in_as_few_steps_as_possible():
    env, flat = (PlasticityEnv(ENV_ID, **SMALL) for _ in range(2))
    observation, _ = env.reset(seed=SEED)
    flat.reset(seed=SEED)
    while (events := flat.events()) is not None:
        count = len(events.weight)
        for start in range(0, max(1, count), 64):
            used = min(64, count - start)
            assert observation["mask"].tolist() == [1] * used + [0] * (64 - used)
            part = slice(start, start + used)
            assert np.array_equal(observation["history"][:used], events.history()[part].numpy())
            for name in ("weight", "group", "kind"):
                assert np.array_equal(observation[name][:used], getattr(events, name)[part].numpy())
            for name, values in observation.items():
                assert (values[used:] == (-1 if name in ("group", "kind") else 0)).all()
            assert observation in env.observation_space
            observation, _, over, *_ = env.step(slot_rule(observation))
        flat.apply(flat_rule(events))
    assert over
    for name, values in observation.items():  # nothing is asked after the end
        assert (values == (-1 if name in ("group", "kind") else 0)).all()
    assert observation in env.observation_space


def test_a_time_step_waits_until_all_its_events_were_answered():
    env = PlasticityEnv(ENV_ID, **SMALL)
    env.reset(seed=SEED)
    waiting = len(env.engine.raster["input"][0, 0].nonzero()) * 16  # no E neuron fires in the first step
    assert waiting > 64
    membranes = env.engine.network.states["exc"].v.clone()
    for _ in range((waiting - 1) // 64):
        assert env.engine.steps[0] == 1
        env.step(np.zeros(64, np.float32))
        assert torch.equal(env.engine.network.states["exc"].v, membranes)
    env.step(np.zeros(64, np.float32))
    assert env.engine.steps[0] == 2


def test_a_time_step_without_events_is_one_empty_step():
    env = PlasticityEnv(ENV_ID, **{**SMALL, "max_rate": 0.0})
    observation, _ = env.reset(seed=SEED)
    for step in range(20):
        assert env.engine.steps[0] == step + 1
        assert not observation["mask"].any()
        observation, reward, over, truncated, info = env.step(np.full(64, np.nan, np.float32))
        assert over == (step == 19) and not truncated
    terms = info["reward_terms"]
    assert reward == pytest.approx((terms["sparsity"] + terms["diversity"]) / 2)
    assert terms["sparsity"] == pytest.approx(1 - 0.3 / 0.7)
    assert np.isnan(terms["stability"])
    assert info["num_events"] == 0 and len(info["returns"]) == 0 and info["winner"] == -1
    assert info["spikes"] == {"input": 0, "exc": 0, "inh": 0}


def test_a_phase_without_events_is_one_empty_step():
    env = PlasticityEnv(ENV_ID, **SMALL, event_kinds="split")
    observation, _ = env.reset(seed=SEED)
    pre_events = len(env.engine.raster["input"][0, 0].nonzero()) * 16  # no E neuron fires in the first step
    for _ in range(-(-pre_events // 64)):
        assert observation["mask"].any() and (observation["kind"] <= 0).all()
        observation, *_ = env.step(np.zeros(64, np.float32))
    assert env.engine.steps[0] == 1 and not observation["mask"].any()  # the post events, of which there are none
    observation, *_ = env.step(np.zeros(64, np.float32))
    assert env.engine.steps[0] == 2 and observation["mask"].any()


def test_only_some_slots_that_are_not_finite_matter():
    env = PlasticityEnv(ENV_ID, **SMALL)
    observation, _ = env.reset(seed=SEED)
    while observation["mask"].all():
        observation, *_ = env.step(np.zeros(64, np.float32))
    used = int(observation["mask"].sum())
    assert 0 < used < 64
    action = np.zeros(64, np.float32)
    action[used - 1] = np.nan
    with pytest.raises(ValueError, match=r"^[^\n]* must be finite[^\n]*$"):
        env.step(action)
    action[used - 1], action[used:] = 0.0, np.nan
    env.step(action)


def test_a_refused_action_leaves_every_lifetime_as_it_was():
    """All or nothing: the caller may mend the action and step again."""
    settings = {**SMALL, "events_per_step": 4096}
    env, reference = (PlasticityVectorEnv(ENV_ID, num_envs=3, **settings) for _ in range(2))
    observation, _ = env.reset(seed=SEED)
    reference.reset(seed=SEED)
    before = env.engine.network.weights.clone()
    bad = np.full((3, 4096), 0.5, np.float32)
    bad[2, 0] = np.nan
    for action in (bad, np.zeros((3, 4095), np.float32)):
        with pytest.raises(ValueError):
            env.step(action)
        assert torch.equal(env.engine.network.weights, before)
        assert env.engine.steps.tolist() == [1, 1, 1]
    for one in (env, reference):
        after, *_ = one.step(slot_rule(observation))
    assert torch.equal(env.engine.network.weights, reference.engine.network.weights)
    assert after["mask"].any()


# Calls out of turn


def make(kind, **settings):
    settings = {**SMALL, **settings}
    return PlasticityEnv(ENV_ID, **settings) if kind == "single" else PlasticityVectorEnv(ENV_ID, 2, **settings)


def no_action(kind, slots=64):
    return np.zeros(slots if kind == "single" else (2, slots), np.float32)


def to_the_end(env):
    while (events := env.events()) is not None:
        env.apply(torch.zeros(len(events.weight)))


@pytest.fixture(params=["single", "vector"])
def kind(request):
    return request.param


def test_nothing_goes_before_the_first_reset(kind):
    env = make(kind, events_per_step=8)
    calls = {
        "events": env.events,
        "apply": lambda: env.apply(torch.zeros(3)),
        "finish": env.finish,
        "step": lambda: env.step(no_action(kind, 8)),
    }
    for name, call in calls.items():
        with pytest.raises(RuntimeError, match=r"^[^\n]*reset\(\)[^\n]*$"):
            call()
            pytest.fail(f"{name} went before reset")


def test_events_of_an_image_are_answered_through_one_face(kind):
    env = make(kind)
    env.reset(seed=SEED)
    waiting = env.events()
    env.step(no_action(kind))  # answers 64 of them
    for call in (env.events, env.finish, lambda: env.apply(torch.zeros(len(waiting.weight)))):
        with pytest.raises(RuntimeError, match=r"^step\(\) has answered some events[^\n]*reset\(\)$"):
            call()
    env.reset()
    to_the_end(env)
    env.finish()


def test_an_image_is_finished_once_it_has_been_shown(kind):
    env = make(kind)
    env.reset(seed=SEED)
    for _ in range(19):
        with pytest.raises(RuntimeError, match=r"^an episode is still under way; [^\n]*apply\(\)[^\n]*$"):
            env.finish()
        env.apply(torch.zeros(len(env.events().weight)))
    with pytest.raises(RuntimeError, match="still under way"):
        env.finish()
    env.apply(torch.zeros(len(env.events().weight)))
    assert env.events() is None
    assert env.events() is None
    with pytest.raises(RuntimeError, match=r"^all episodes are over; call finish\(\)[^\n]*$"):
        env.apply(torch.zeros(0))
    with pytest.raises(RuntimeError, match=r"^no episode is under way; [^\n]*finish\(\)[^\n]*$"):
        env.step(no_action(kind))
    assert env.finish().reward.isfinite().all()
    assert env.events() is not None  # of the next image
    assert (env.engine.ages == 1).all()


@pytest.mark.parametrize("max_rate", [0.02, 0.0])
def test_an_episode_that_step_has_ended_is_not_judged_again(max_rate):
    env = make("single", max_rate=max_rate, events_per_step=4096)
    env.reset(seed=SEED)
    while not env.step(no_action("single", 4096))[2]:
        pass
    for call in (env.events, env.finish, lambda: env.apply(torch.zeros(0))):
        with pytest.raises(RuntimeError, match=r"^[^\n]*reset\(\)[^\n]*$"):
            call()
    assert env.engine.ages[0] == 1


def test_flat_answers_must_be_one_per_event_and_finite(kind):
    env = make(kind)
    env.reset(seed=SEED)
    count = len(env.events().weight)
    for wrong in (torch.zeros(count - 1), torch.zeros(count + 1), torch.zeros(count, 1), torch.zeros(())):
        with pytest.raises(ValueError, match=rf"^delta_d must have one entry per event, {count}, got [^\n]*$"):
            env.apply(wrong)
    with pytest.raises(ValueError, match=r"^delta_d must be finite, got NaN or infinity[^\n]*$"):
        env.apply(torch.full((count,), torch.nan))
    assert (env.engine.steps == 1).all()
    to_the_end(env)  # nothing was broken
    env.finish()


def test_actions_must_have_the_shape_of_the_action_space(kind):
    env = make(kind)
    env.reset(seed=SEED)
    for wrong in (no_action(kind)[..., :-1], no_action(kind)[..., np.newaxis], np.zeros((3, 64)), np.float32(0.0)):
        with pytest.raises(ValueError, match=r"^actions must have shape [^\n]*64[^\n]*, got [^\n]*$"):
            env.step(wrong)
    assert (env.engine.steps == 1).all()
    env.step(no_action(kind).tolist())  # lists and other types of number will do
    env.step(no_action(kind).astype(np.float64))
