"""The engine: lifetimes that are functions of their seed alone, weights within their clips, verdicts that add up."""

import math
import pickle

import numpy as np
import pytest
import torch

from snn_plasticity_gym.config.environments import environment_config
from snn_plasticity_gym.envs.making import make_engine
from snn_plasticity_gym.tasks.image_task import image_task

ENV_ID = "SNNPlastic-Unsup1-v0"
SMALL = {  # a lively network of little work: some twelve E spikes and 10,000 events an episode
    "dataset": "digits",
    "n_exc": 16,
    "num_steps": 20,
    "history_length": 20,
    "max_rate": 0.02,
    "gain_input_exc": 5.0,
    "gain_inh_exc": 15.0,
    "target_active": 0.3,
    "image_pool": 4,
}


def engine_of(num_lifetimes=2, **settings):
    return make_engine(ENV_ID, environment_config(ENV_ID, **{**SMALL, **settings}), num_lifetimes)


def started(num_lifetimes=2, seed=0, **settings):
    engine = engine_of(num_lifetimes, **settings)
    engine.start_lifetimes(range(num_lifetimes), [seed + row for row in range(num_lifetimes)])
    return engine


def rule(events):
    """Weight changes in [-1.2, 1.2] that depend on the event alone: the same in any batch."""
    age = torch.arange(1, events.history_length + 1)
    code = (events.history().long() * torch.stack([age, 31 * age])).sum(dim=(1, 2))
    code = code * 7919 + (events.weight * 2**20).long() + events.kind
    return (code % 2401 - 1200) / 1000


def present(engine, rows=None, rule=rule):
    """Show one image to the lifetimes `rows`; return its events and the verdict."""
    rows = range(engine.num_lifetimes) if rows is None else rows
    engine.begin(rows)
    events = []
    for _ in range(engine.num_steps):
        events.append(engine.advance(rows))
        engine.write(events[-1], rule(events[-1]))
        engine.settle(rows)
    return events, engine.finish(rows)


def weights_of_row(engine, row):
    """Copies of all plastic weights of one lifetime."""
    return [engine.network.weights_of(name)[row].clone() for name in ("input_to_exc", "inh_to_exc")]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def assert_same_verdicts(one, other):
    for name in ("reward", "rates", "num_events", "length", "payments"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    for name in ("winner", "image", "label"):
        assert torch.equal(one.info[name], other.info[name]), name
    for name in one.terms:
        torch.testing.assert_close(one.terms[name], other.terms[name], rtol=0, atol=0, equal_nan=True)
    assert one.spikes.keys() == other.spikes.keys()
    assert all(torch.equal(one.spikes[name], other.spikes[name]) for name in one.spikes)


# Lifetimes are functions of their seed


def test_a_lifetime_does_not_depend_on_the_others():
    together, alone = started(3, seed=5), started(1, seed=7)
    for _ in range(3):
        _, of_three = present(together)
        _, of_one = present(alone)
        assert same(weights_of_row(together, 2), weights_of_row(alone, 0))
        assert of_three.reward[2] == of_one.reward[0]
        assert of_three.info["image"][2] == of_one.info["image"][0]


def test_lifetimes_need_not_be_at_the_same_step():
    """Rows advanced alternately, in bits and together do what they do in step."""
    reference, engine = started(3), started(3)
    present(reference)
    engine.begin([0, 1, 2])
    order = [[0], [2], [0, 2], [1], [0, 1, 2], [1, 2]] * engine.num_steps
    while any(engine.steps < engine.num_steps):
        rows = [row for row in order.pop(0) if engine.steps[row] < engine.num_steps]
        if rows:
            events = engine.advance(rows)
            engine.write(events, rule(events))
            engine.settle(rows)
    engine.finish([0, 1, 2])
    for name, spikes in reference.raster.items():
        assert torch.equal(spikes, engine.raster[name]), name
    assert torch.equal(reference.network.weights, engine.network.weights)


def test_advancing_all_by_default_is_advancing_all_by_name():
    by_default, by_name = started(2), started(2)
    for engine in (by_default, by_name):
        engine.begin([0, 1])
    for _ in range(5):
        one, other = by_default.advance(), by_name.advance([0, 1])
        for field, a, b in zip(one._fields, one, other, strict=True):
            assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, field
        by_default.write(one, rule(one))
        by_name.write(other, rule(other))
    assert torch.equal(by_default.network.weights, by_name.network.weights)


def test_a_seed_begins_the_same_lifetime_whatever_was_before():
    engine = started(2, seed=0)
    first = [present(engine)[1] for _ in range(2)]
    grown = engine.network.weights.clone()
    engine.start_lifetimes([0, 1], [8, 9])
    present(engine)
    engine.start_lifetimes([0, 1], [0, 1])
    for before, after in zip(first, [present(engine)[1] for _ in range(2)], strict=True):
        assert_same_verdicts(before, after)
    assert torch.equal(engine.network.weights, grown)


def test_seeds_and_generations_lead_to_different_lifetimes():
    engine = started(1)
    fresh = [weights_of_row(engine, 0)[0]]
    for seed in (None, None, 1, None):
        engine.start_lifetimes([0], [seed])
        fresh.append(weights_of_row(engine, 0)[0])
    for place, one in enumerate(fresh):
        assert not any(torch.equal(one, other) for other in fresh[:place])
    engine.start_lifetimes([0], [0])
    engine.start_lifetimes([0], [None])  # the next lifetime of a seed is a function of the seed, too
    assert torch.equal(weights_of_row(engine, 0)[0], fresh[1])


def test_weights_and_images_are_drawn_from_streams_of_their_own():
    """Other images, shown longer, leave the fresh weights as they are, and other weights leave the images."""
    plain, longer, denser = started(1), started(1, num_steps=30, image_pool=9), started(1, n_exc=8)
    assert same(weights_of_row(plain, 0), weights_of_row(longer, 0))
    for engine in (plain, denser):
        engine.begin([0])
    assert torch.equal(plain.task.shown(0).spikes, denser.task.shown(0).spikes)


def test_starting_some_lifetimes_leaves_the_others_alone():
    engine, reference = started(3), started(3)
    for one in (engine, reference):
        present(one)
    before = weights_of_row(engine, 1)
    engine.start_lifetimes([0, 2], [50, 51])
    assert same(weights_of_row(engine, 1), before)
    assert engine.ages.tolist() == [0, 1, 0]
    present(engine), present(reference)
    assert same(weights_of_row(engine, 1), weights_of_row(reference, 1))


# What an episode keeps, and what it forgets


def test_weights_outlive_an_episode_while_membranes_and_histories_do_not():
    engine = started(2)
    present(engine)
    weights = engine.network.weights.clone()
    engine.begin([0, 1])
    assert torch.equal(engine.network.weights, weights)
    engine.prepare()
    for name, state in engine.network.states.items():
        assert (state.v == engine.network.populations[name].lif.v_rest).all()
    events = engine.advance()
    assert events.history()[:, :, :-1].sum() == 0  # nothing before the first step


def test_an_episode_does_not_depend_on_activity_before_it():
    """With no learning, an image has the same response after other images as in a fresh engine."""

    def still(events):
        return torch.zeros(len(events.weight))

    engine, fresh = started(1), started(1)
    for _ in range(3):
        present(engine, rule=still)
    fresh.task._stimuli = engine.task._stimuli  # both go on with the same images
    stimuli = pickle.dumps(engine.task._stimuli)
    _, after = present(engine, rule=still)
    fresh.task._stimuli = pickle.loads(stimuli)
    _, alone = present(fresh, rule=still)
    assert torch.equal(after.rates, alone.rates)


def test_a_new_lifetime_forgets_weights_age_and_responses():
    engine = started(1, image_pool=1)
    present(engine)
    assert not math.isnan(present(engine)[1].terms["stability"])  # the only image again
    engine.start_lifetimes([0], [None])
    assert engine.ages[0] == 0
    assert engine.last_episodes[0] is None
    _, result = present(engine)
    assert math.isnan(result.terms["stability"])
    assert result.terms["diversity"] == 0.0  # of one winner


def test_a_lifetime_ends_after_lifetime_length_images():
    engine, by_hand = started(2, lifetime_length=2), started(2)
    fresh = engine.network.weights.clone()
    for image in range(5):
        if image in (2, 4):
            by_hand.start_lifetimes([0, 1], [None, None])
            assert engine.ages.tolist() == [2, 2]
        assert_same_verdicts(present(engine)[1], present(by_hand)[1])
        assert engine.ages.tolist() == [image % 2 + 1] * 2
        assert torch.equal(engine.network.weights, by_hand.network.weights)
        assert not torch.equal(engine.network.weights, fresh)


def test_common_noise_shows_all_lifetimes_the_same():
    engine, separate = started(3, common_noise=True, lifetime_length=2), started(3)
    for row in range(3):  # the weights are those of the lifetimes' own seeds
        assert same(weights_of_row(engine, row), weights_of_row(separate, row))
    for _ in range(5):  # over lifetimes, too
        _, result = present(engine)
        assert len(set(result.info["image"].tolist())) == 1
        assert len(set(result.info["label"].tolist())) == 1
        spikes = engine.raster["input"]
        assert spikes.any() and (spikes == spikes[0]).all()
        assert not torch.equal(*weights_of_row(engine, 0)[:1], *weights_of_row(engine, 1)[:1])
    _, result = present(separate)
    assert not (separate.raster["input"] == separate.raster["input"][0]).all()


def test_a_common_network_is_the_same_in_all_lifetimes_and_another_in_the_next():
    engine, separate = started(3, common_network=True, lifetime_length=2), started(3)
    assert same(weights_of_row(engine, 0), weights_of_row(separate, 0))
    begun = []
    for _ in range(3):
        begun.append(weights_of_row(engine, 0))
        for row in (1, 2):
            assert same(weights_of_row(engine, row), begun[-1])
        present(engine)
        assert not (engine.raster["input"][0] == engine.raster["input"][1]).all()  # own images
        present(engine)
        engine.start_lifetimes([0, 1, 2], [None, None, None])
    assert not same(begun[0], begun[1]) and not same(begun[1], begun[2])


# Writing weights


def test_weights_move_by_the_learning_rate_of_their_projection_and_stop_at_its_clips():
    limits = {
        "w_exc_init_max": 0.3,
        "w_exc_max": 0.35,
        "w_inh_min": -0.52,
        "w_inh_init_min": -0.5,
        "w_inh_init_max": -0.49,
    }
    engine = started(1, eta_exc=0.04, eta_inh=0.03, alpha_unsup=0.5, **limits)
    assert engine.weight_range() == pytest.approx((-0.52, 0.35))
    engine.begin([0])
    touched = set()
    for step in range(engine.num_steps):
        events = engine.advance()
        before = engine.network.weights.clone()
        delta_d = torch.linspace(-1, 1, len(events.weight)) * (1 if step % 2 else -1)
        engine.write(events, delta_d)
        expected = before.clone()
        for k in range(len(events.weight)):
            inhibitory = events.projection[k] == 1
            change = 0.5 * (0.03 if inhibitory else 0.04) * delta_d[k]
            low, high = (-0.52, 0.0) if inhibitory else (0.0, 0.35)
            expected[events.synapse[k]] = min(max(before[events.synapse[k]] + change, low), high)
            touched.add(bool(inhibitory))
        torch.testing.assert_close(engine.network.weights, expected, rtol=0, atol=1e-7)
        if step == 5:
            break
    assert touched == {False, True}


def test_weights_stay_in_their_clips_and_reach_them():
    limits = {"w_exc_init_max": 0.3, "w_exc_max": 0.4, "w_inh_min": -0.6}
    engine = started(2, eta_exc=0.2, eta_inh=0.2, **limits)
    for _ in range(3):
        present(engine)
    exc, inh = (engine.network.weights_of(name) for name in ("input_to_exc", "inh_to_exc"))
    for weights, low, high in ((exc, 0.0, 0.4), (inh, -0.6, 0.0)):
        torch.testing.assert_close(weights.min(), torch.tensor(low))
        torch.testing.assert_close(weights.max(), torch.tensor(high))
    assert (inh.diagonal(dim1=1, dim2=2) == 0).all()  # no neuron inhibits itself


def test_weight_changes_beyond_one_count_as_one():
    wild, tame = started(1), started(1)
    present(wild, rule=lambda events: 5 * rule(events))
    present(tame, rule=lambda events: (5 * rule(events)).clamp(-1, 1))
    assert torch.equal(wild.network.weights, tame.network.weights)


def test_zero_changes_nothing():
    engine = started(1)
    before = engine.network.weights.clone()
    present(engine, rule=lambda events: torch.zeros(len(events.weight)))
    assert torch.equal(engine.network.weights, before)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_weight_changes_that_are_not_finite_are_refused(bad):
    engine = started(1)
    engine.begin([0])
    events = engine.advance()
    before, delta_d = engine.network.weights.clone(), torch.zeros(len(events.weight))
    delta_d[3] = bad
    with pytest.raises(
        ValueError,
        match=r"^delta_d must be finite, got NaN or infinity in lifetime 0, episode 1, time step 1; look at the rule$",
    ):
        engine.write(events, delta_d)
    assert torch.equal(engine.network.weights, before)


@pytest.mark.parametrize("shape", [(), (1,), (-1,), (None, 1)])
def test_weight_changes_of_the_wrong_shape_are_refused(shape):
    engine = started(1)
    engine.begin([0])
    events = engine.advance()
    length = len(events.weight)
    given = tuple(length if n is None else n % length for n in shape)  # -1: one too few
    with pytest.raises(ValueError, match=rf"^delta_d must have one entry per event, {length}, got [^\n]*$"):
        engine.write(events, torch.zeros(given))


# The verdict


def test_the_verdict_adds_up():
    engine = started(2)
    for image in range(3):
        events, result = present(engine)
        assert torch.equal(result.num_events, sum(step.lengths for step in events))
        for name, spikes in engine.raster.items():
            assert torch.equal(result.spikes[name], spikes.sum(dim=(1, 2)))
        counts = engine.raster["exc"].sum(dim=1)
        assert counts.sum() > 0
        torch.testing.assert_close(result.rates, counts / engine.num_steps)
        for row in range(2):
            assert counts[row, result.info["winner"][row]] == counts[row].max()
            assert result.info["image"][row] == image_task(engine.task).shown(row).image
            assert result.info["label"][row] == image_task(engine.task).dataset.train.labels[result.info["image"][row]]
            last = engine.last_episodes[row]
            assert last.info["image"] == engine.task.shown(row).image
            assert last.reward == result.reward[row] and last.info["winner"] == result.info["winner"][row]
            assert last.terms.keys() == result.terms.keys()
            for name, value in last.terms.items():
                assert value == result.terms[name][row] or (math.isnan(value) and math.isnan(result.terms[name][row]))
        assert engine.ages.tolist() == [image + 1] * 2


def test_events_are_the_synapses_of_neurons_that_fired():
    """Counted from the spikes alone, step by step: |pre or post fired|."""
    engine = started(2)
    events, _ = present(engine)
    raster = {name: spikes.long() for name, spikes in engine.raster.items()}
    for t, step in enumerate(events):
        for row in range(2):
            pre, exc, inh = (raster[name][row, t] for name in ("input", "exc", "inh"))
            feedforward = pre.sum() * 16 + exc.sum() * 784 - pre.sum() * exc.sum()
            lateral = (inh[:, None] | exc[None, :]).fill_diagonal_(0).sum()
            assert step.lengths[row] == feedforward + lateral


def test_finishing_some_lifetimes_leaves_the_others_alone():
    engine, reference = started(3), started(1, seed=1)
    engine.begin([0, 1, 2])
    for _ in range(engine.num_steps):
        events = engine.advance()
        engine.write(events, rule(events))
        engine.settle()
    result = engine.finish([1])
    assert engine.ages.tolist() == [0, 1, 0]
    assert result.reward.shape == (1,)
    assert [one is None for one in engine.last_episodes] == [True, False, True]
    _, alone = present(reference)
    assert_same_verdicts(result, alone)


def test_a_silent_network_has_no_events_and_no_winner():
    engine = started(2, max_rate=0.0)
    events, result = present(engine)
    assert all(len(step.weight) == 0 for step in events)
    assert result.num_events.tolist() == [0, 0]
    assert result.info["winner"].tolist() == [-1, -1]
    assert torch.isfinite(result.reward).all()


# Odds and ends


def test_an_engine_goes_on_after_pickling():
    engine = started(2)
    present(engine)
    engine.begin([0, 1])
    for _ in range(7):
        events = engine.advance()
        engine.write(events, rule(events))
        engine.settle()
    copy = pickle.loads(pickle.dumps(engine))
    for one in (engine, copy):
        for _ in range(engine.num_steps - 7):
            events = one.advance()
            one.write(events, rule(events))
            one.settle()
    assert_same_verdicts(engine.finish([0, 1]), copy.finish([0, 1]))
    assert_same_verdicts(present(engine)[1], present(copy)[1])
    assert torch.equal(engine.network.weights, copy.network.weights)


def test_no_global_random_generator_is_used():
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    present(started(1))
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", ""])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(ValueError, match=rf"^device must be one of cpu[^\n]* here, got '{device}'$"):
        engine_of(device=device)


def test_the_split_is_the_one_asked_for():
    engine = started(1, split="validation", image_pool=0)
    engine.begin([0])
    shown = image_task(engine.task).shown(0)
    assert len(engine.task._stimuli[0].pool) == 300
    assert shown.label == image_task(engine.task).dataset.validation.labels[shown.image]


def test_images_that_are_held_back_are_never_shown_and_the_others_keep_their_place():
    settings = {"dataset": "digits", "n_exc": 2, "num_steps": 2, "history_length": 2, "image_pool": 0}
    engine = make_engine("SNNPlastic-Unsup1-v0", environment_config("SNNPlastic-Unsup1-v0", **settings), 2)
    image_task(engine.task).reserve_images(1190)
    engine.start_lifetimes([0, 1], [0, 1])
    shown = set()
    for _ in range(60):
        engine.begin([0, 1])
        for row in (0, 1):
            stimulus = image_task(engine.task).shown(row)
            shown.add(stimulus.image)
            assert stimulus.label == int(image_task(engine.task).dataset.train.labels[stimulus.image])
    assert shown == set(range(7))
    for count in (-1, 1197):
        with pytest.raises(ValueError, match=f"less than the split's 1197 images, got {count}"):
            image_task(engine.task).reserve_images(count)
