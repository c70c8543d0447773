"""Learning curves of classifiers, against the environment's own engine, and what no rule can do without labels."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from snn_plasticity_gym.config.environments import GradConfig, SemiConfig
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.making import make_engine
from snn_plasticity_gym.evaluation import classification as module
from snn_plasticity_gym.evaluation.classification import examine, learning_curve
from snn_plasticity_gym.evaluation.curves import Cohort
from snn_plasticity_gym.evaluation.responses import responses
from snn_plasticity_gym.networks.encoders import poisson_encode
from snn_plasticity_gym.rules import make_rule
from snn_plasticity_gym.rules.constant import ZeroRule
from snn_plasticity_gym.tasks import images as pools
from snn_plasticity_gym.tasks.datasets import load_dataset

ID = "SNNPlastic-Semi-v0"
SMALL = SemiConfig(dataset="digits", hidden_sizes=(12,), num_steps=6, history_length=6)
HELD_OUT = load_dataset("digits").validation


def engine_of(config, num_networks: int, seed: int = 0) -> Engine:
    env_id = ID if isinstance(config, SemiConfig) else "SNNPlastic-Grad-v0"
    engine = make_engine(env_id, config, num_networks)
    engine.start_lifetimes(range(num_networks), [seed + row for row in range(num_networks)])
    return engine


def curve_of(rule, config=SMALL, env_id=ID, **arguments):
    cohort = {"num_networks": 2, "train_episodes": 4, "tests": 2, "seed": 0}
    tested = {"test_episodes": 40, "test_split": "validation"}
    cohort, tested = ({name: arguments.pop(name, own[name]) for name in own} for own in (cohort, tested))
    return learning_curve(rule, env_id, config, Cohort(**cohort), **tested, **arguments)


@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(SMALL, hidden_sizes=(14, 11), w_init=8.0),
        dataclasses.replace(SMALL, third_factor="feedback", v_rest=-0.3, v_reset=-0.1, tau_mem=4.0, max_rate=0.6),
        GradConfig(dataset="digits", hidden_sizes=(12,), layer_scalars=(0.5, 1.0), num_steps=5, history_length=3),
    ],
)
def test_an_examination_is_what_the_environment_itself_does_without_plasticity(monkeypatch, config):
    monkeypatch.setattr(module, "TEST_BATCH", 8)  # 20 images: two whole batches and a part
    count, num_networks, zero = 20, 3, ZeroRule()
    given = examine(engine_of(config, num_networks), config, HELD_OUT, count)

    rng = np.random.default_rng(module.TEST_SEED)
    confusion, loss = torch.zeros(num_networks, 10, 10, dtype=torch.float64), torch.zeros(num_networks)
    engine = engine_of(config, num_networks)
    for start in (0, 8, 16):
        pixels = HELD_OUT.images[start : min(start + 8, count)].reshape(-1) / 255.0
        spikes = poisson_encode(pixels, config.num_steps, config.max_rate, rng).view(config.num_steps, -1, 784)
        for place in range(spikes.shape[1]):
            engine.begin(range(num_networks))
            engine.raster["input"][:] = spikes[:, place]
            for _ in range(config.num_steps):
                events = engine.advance()
                engine.write(events, zero(events))
            label = int(HELD_OUT.labels[start + place])
            for row, counts in enumerate(engine.raster["output"].sum(dim=1).tolist()):
                winners = [k for k in range(10) if counts[k] == max(counts)]
                for winner in winners:
                    confusion[row, label, winner] += 1 / len(winners)
                powers = [math.exp(config.alpha_softmax * one / config.num_steps) for one in counts]
                loss[row] -= math.log(powers[label] / sum(powers)) / count
    torch.testing.assert_close(given.confusion, confusion)
    torch.testing.assert_close(given.loss.float(), loss)
    right = torch.stack([one.trace() for one in confusion]) / count
    torch.testing.assert_close(given.accuracy, right)
    assert len({one for row in confusion.tolist() for line in row for one in line}) > 3  # not all silent


def test_rows_of_the_confusion_sum_to_the_labels():
    engine = engine_of(SMALL, 2)
    for part, count, expected in ((HELD_OUT, 0, 300), (HELD_OUT, 50, 50), (HELD_OUT, 10**6, 300)):
        given = examine(engine, SMALL, part, count)
        labels = part.labels[:expected].bincount(minlength=10).double()
        torch.testing.assert_close(given.confusion.sum(dim=2), labels.expand(2, 10))
        assert ((given.accuracy >= 0) & (given.accuracy <= 1)).all()


def test_an_examination_is_repeatable_and_leaves_the_networks_as_they_are():
    engine = engine_of(dataclasses.replace(SMALL, third_factor="feedback"), 2)
    engine.begin([0, 1])
    engine.advance()
    before = [engine.network.weights.clone(), *(v.clone() for v in engine.raster.values())]
    before += [part.clone() for state in engine.network.states.values() for part in state]
    first, second = (examine(engine, SMALL, HELD_OUT, 30) for _ in range(2))
    after = [engine.network.weights, *engine.raster.values()]
    after += [part for state in engine.network.states.values() for part in state]
    assert all(map(torch.equal, before, after)) and engine.steps.tolist() == [1, 1] and engine.ages.tolist() == [0, 0]
    assert torch.equal(first.confusion, second.confusion) and torch.equal(first.loss, second.loss)


@pytest.mark.parametrize("weight", [0.0, -0.1])
def test_silent_networks_are_right_in_one_of_ten_cases(weight):
    engine = engine_of(SMALL, 3)
    engine.network.weights.fill_(weight)
    given = examine(engine, SMALL, HELD_OUT)
    assert given.accuracy.tolist() == pytest.approx([0.1] * 3, abs=1e-12)
    assert given.loss.tolist() == pytest.approx([math.log(10)] * 3, rel=1e-6)


def test_judged_networks_differ_where_lifetimes_learn_in_a_common_one():
    common = dataclasses.replace(SMALL, common_network=True)
    apart, judged = (curve_of(ZeroRule(), config).loss for config in (SMALL, common))
    assert torch.equal(apart, judged) and apart[0, 0] != apart[0, 1]


def test_without_plasticity_the_curve_is_flat():
    given = curve_of(ZeroRule(), num_networks=3, train_episodes=6, tests=3)
    assert given.images == [0, 2, 4, 6] and given.accuracy.shape == given.loss.shape == (4, 3)
    assert (given.accuracy == given.accuracy[0]).all() and (given.loss == given.loss[0]).all()
    assert given.accuracy[0].unique().numel() > 1  # networks differ


@pytest.mark.parametrize(
    ("train_episodes", "tests", "expected"), [(0, 4, [0]), (2, 5, [0, 1, 2]), (5, 1, [0, 5]), (10, 3, [0, 3, 7, 10])]
)
def test_tests_are_spread_over_the_training(train_episodes, tests, expected):
    assert curve_of(ZeroRule(), train_episodes=train_episodes, tests=tests, test_episodes=5).images == expected


def test_numbers_are_plain_and_say_how_networks_differ():
    given = curve_of(make_rule("stdp"), num_networks=3)
    plain = given.as_dict()
    assert plain["accuracy_mean"] == pytest.approx(given.accuracy[-1].mean().item())
    assert plain["accuracy_sd"] == pytest.approx(np.std(given.accuracy[-1].numpy(), ddof=1))
    assert np.shape(plain["accuracy"]) == np.shape(plain["loss"]) == (3, 3) and plain["images"] == [0, 2, 4]
    assert [row[-1] for row in plain["accuracy"]] == given.accuracy[-1].tolist()
    assert np.shape(plain["confusion"]) == (3, 10, 10)
    assert curve_of(ZeroRule(), num_networks=1, train_episodes=0).as_dict()["accuracy_sd"] is None


def test_tests_on_the_way_do_not_touch_learning():
    often, rarely = (curve_of(make_rule("stdp", scale=0.05), eta_config(), tests=tests) for tests in (4, 1))
    assert torch.equal(often.tests[-1].confusion, rarely.tests[-1].confusion)
    assert torch.equal(often.loss[-1], rarely.loss[-1]) and (often.loss[0] != often.loss[-1]).all()


def eta_config(**changes) -> SemiConfig:
    return dataclasses.replace(SMALL, eta=0.05, **changes)


@pytest.mark.parametrize(("name", "factor"), [("delta", "feedback"), ("stdp", "none")])
def test_a_network_does_not_depend_on_those_beside_it(name, factor):
    config, rule = eta_config(third_factor=factor), make_rule(name)
    together = curve_of(rule, config, num_networks=3, seed=5)
    assert (together.loss[0] != together.loss[-1]).all()
    for row in range(3):
        alone = curve_of(rule, config, num_networks=1, seed=5 + row)
        torch.testing.assert_close(together.loss[:, row : row + 1], alone.loss, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(together.tests[-1].confusion[row], alone.tests[-1].confusion[0])
    again = curve_of(rule, config, num_networks=3, seed=5)
    assert torch.equal(again.loss, together.loss)


@pytest.mark.parametrize(("split", "test_split"), [("train", "validation"), ("validation", "test"), ("test", "test")])
def test_held_out_images_are_never_learned_from(monkeypatch, split, test_split):
    data, drawn, tested = load_dataset("digits"), [], []
    draw, right = pools.draw_from, module.examine

    def spy_draw(sources, count):
        drawn.extend(one.images.images.data_ptr() for one in sources)
        return draw(sources, count)

    def spy_examine(engine, config, part, num_images):
        tested.append(part.images.data_ptr())
        return right(engine, config, part, num_images)

    monkeypatch.setattr(pools, "draw_from", spy_draw)
    monkeypatch.setattr(module, "examine", spy_examine)
    curve_of(ZeroRule(), dataclasses.replace(SMALL, split=split), test_split=test_split, test_episodes=5)
    assert len(drawn) >= 8 and set(drawn) == {data.train.images.data_ptr()}
    assert len(tested) == 3 and set(tested) == {data.split(test_split).images.data_ptr()}


@pytest.mark.parametrize(
    "shorter", [{"lifetime_length": 1}, {"plastic_episodes": 1}, {"plastic_episodes": 1, "heldout_pool": 3}]
)
def test_a_network_lives_and_learns_as_long_as_the_training(shorter):
    plain, short = (curve_of(make_rule("stdp"), eta_config(**settings)) for settings in ({}, shorter))
    assert plain.loss.unique().numel() > 3 and torch.equal(plain.loss, short.loss)


DIGITS = SemiConfig(
    dataset="digits", hidden_sizes=(16,), num_steps=6, history_length=6, eta=0.05, third_factor="feedback"
)


def learned(rule, train_episodes: int) -> torch.Tensor:
    return curve_of(rule, DIGITS, train_episodes=train_episodes, tests=1, test_episodes=200).accuracy[-1]


def test_the_delta_rule_learns_digits_and_its_opposite_does_not():
    delta = make_rule("delta")
    right = learned(delta, 150)
    wrong = learned(lambda events: -delta(events), 80)
    assert right.mean() > 0.25 and right.min() > 0.2  # 0.1 by chance
    assert wrong.mean() < 0.13


def test_without_labels_fresh_networks_are_right_in_one_of_ten_cases_on_average():
    """Renaming the outputs changes nothing that the rule sees, so whatever it is, the mean is 10 % exactly."""
    config = dataclasses.replace(SMALL, hidden_sizes=(6,), num_steps=4, history_length=4, eta=0.05, w_init=8.0)
    rule = make_rule("stdp", scale=0.05)
    given = curve_of(rule, config, num_networks=200, train_episodes=2, tests=1, test_episodes=100, seed=1000)
    assert (given.tests[0].confusion != given.tests[1].confusion).any(dim=(1, 2)).float().mean() > 0.5  # it does act
    for accuracy in given.accuracy:
        spread = accuracy.std().item()
        assert spread > 0.02  # a single network is far from it
        assert abs(accuracy.mean().item() - 0.1) < 3.5 * spread / 200**0.5


def test_an_examination_of_groups_is_of_their_responses():
    config = dataclasses.replace(SMALL, network="rwta", hidden_sizes=(8,), wta_size=4)
    engine = engine_of(config, 2)
    counts = responses(engine, HELD_OUT.images[:30], np.random.default_rng(module.TEST_SEED))
    given = examine(engine, config, HELD_OUT, 30)
    for row in range(2):
        best = counts[row] == counts[row].amax(dim=1, keepdim=True)  # (30, 10) equals share an answer
        right = best[torch.arange(30), HELD_OUT.labels[:30]] / best.sum(dim=1)
        assert given.accuracy[row].item() == pytest.approx(right.mean().item())
        log_chance = torch.log_softmax(config.alpha_softmax / config.duration * counts[row].double(), dim=1)
        expected = -log_chance[torch.arange(30), HELD_OUT.labels[:30]].mean()
        assert given.loss[row].item() == pytest.approx(expected.item(), rel=1e-5)
