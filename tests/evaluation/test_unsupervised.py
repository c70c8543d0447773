"""The judge of unsupervised rules is fair: the same for every rule, and blind to held-out images before the test."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from toys import SMALL

from snn_plasticity_gym.config.environments import Unsup1Config, Unsup2Config
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation import unsupervised as module
from snn_plasticity_gym.evaluation.curves import Cohort, Watcher
from snn_plasticity_gym.evaluation.labels import NO_LABEL, accuracy
from snn_plasticity_gym.evaluation.unsupervised import ImagePlan, activity_of, judge, judge_pixels, plan_images, summary
from snn_plasticity_gym.rules import make_rule
from snn_plasticity_gym.rules.constant import ZeroRule
from snn_plasticity_gym.tasks import images as pools
from snn_plasticity_gym.tasks.datasets import Dataset, ImageSet, load_dataset
from snn_plasticity_gym.tasks.image_task import image_task

ID = "SNNPlastic-Unsup1-v0"
CONFIG = Unsup1Config(**SMALL, exc_theta_plus=0.5, eta_exc=0.05)
DIGITS = load_dataset("digits")
PLAN = plan_images(DIGITS, 60, 40, "validation")
STDP = make_rule("stdp", scale=0.05)


def judged(rule=STDP, config=CONFIG, plan=PLAN, num_networks=2, train_episodes=3, seed=0, env_id=ID):
    return judge(rule, env_id, config, plan, Cohort(num_networks, train_episodes, seed))


@pytest.mark.parametrize("test_split", ["validation", "test"])
def test_the_plan_takes_labels_from_the_end_of_the_training_split(test_split):
    plan = plan_images(DIGITS, 100, 50, test_split)
    assert torch.equal(plan.labelling.images, DIGITS.train.images[-100:])
    assert torch.equal(plan.labelling.labels, DIGITS.train.labels[-100:])
    assert torch.equal(plan.held_out.images, DIGITS.split(test_split).images[:50]) and len(plan.held_out.labels) == 50
    assert plan.disjoint and plan.held_back == 100
    assert len(plan_images(DIGITS, 100, 0, test_split).held_out.labels) == 300


@pytest.mark.parametrize("count", [0, 1197, 5000])
def test_who_labels_with_the_whole_training_split_learns_from_it_too(count):
    plan = plan_images(DIGITS, count, 50, "test")
    assert len(plan.labelling.labels) == 1197 and not plan.disjoint and plan.held_back == 0


def test_label_images_of_one_class_are_refused():
    same = ImageSet(DIGITS.train.images[:5], torch.full((5,), 3))
    dataset = Dataset("toy", None, "", same, DIGITS.validation, DIGITS.test, DIGITS.classes)
    with pytest.raises(ConfigError, match="label_images must hold at least two classes, got 4 of class 3; raise it"):
        plan_images(dataset, 4, 0, "test")


@pytest.mark.parametrize(("split", "shorter"), [("train", False), ("test", False), ("train", True)])
def test_images_are_used_in_their_order_and_only_for_their_purpose(monkeypatch, split, shorter):
    """The guard of the test images: learning, then labels, both from the training split and apart; the test is last."""
    used: list[tuple[str, int]] = []
    draw, right = pools.draw_from, module.responses

    def spy_draw(sources, count):
        drawn = draw(sources, count)
        for one, places in zip(sources, drawn.place, strict=True):
            assert one.images.images.data_ptr() == DIGITS.train.images.data_ptr()  # and so of the training split
            used.extend(("learn", image) for image in one.pool[places].tolist())
        return drawn

    def spy_responses(engine, images, rng):
        kind = {len(PLAN.labelling.labels): "label", len(PLAN.held_out.labels): "test"}[len(images)]
        assert torch.equal(images, {"label": DIGITS.train.images[-60:], "test": DIGITS.validation.images[:40]}[kind])
        used.append((kind, len(images)))
        return right(engine, images, rng)

    monkeypatch.setattr(pools, "draw_from", spy_draw)
    monkeypatch.setattr(module, "responses", spy_responses)
    settings = {"plastic_episodes": 2, "heldout_pool": 4, "heldout_shift": 1} if shorter else {}
    judged(config=dataclasses.replace(CONFIG, split=split, **settings), num_networks=3, train_episodes=20)
    assert [kind for kind, _ in used] == ["learn"] * 3 * 21 + ["label", "test"]
    learned = {image for kind, image in used if kind == "learn"}
    assert len(learned) > 50 and max(learned) < 1197 - 60  # the whole split, whatever image_pool says


def test_a_network_that_is_shown_an_image_before_its_time_is_no_network_to_judge(monkeypatch):
    monkeypatch.setattr("snn_plasticity_gym.tasks.image_task.ImageTask.reserve_images", lambda self, count: None)
    with pytest.raises(RuntimeError, match="shown a held-out image"):
        judged(plan=plan_images(DIGITS, 1000, 5, "validation"), train_episodes=10)


def test_every_rule_gets_the_same_networks_images_and_input_spikes(monkeypatch):
    def record(rule):
        seen: list[torch.Tensor] = []
        draw = pools.draw_from

        def spy(sources, count):
            drawn = draw(sources, count)
            shown = [torch.from_numpy(one.pool[places]) for one, places in zip(sources, drawn.place, strict=True)]
            seen.append(torch.cat([*shown, *(torch.from_numpy(part.flatten()) for part in drawn[1:])]))
            return drawn

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pools, "draw_from", spy)
            before = judged(rule, train_episodes=0)
            after = judged(rule)
        return torch.cat(seen), before, after

    (first, fresh, zero), (second, fresh_too, stdp) = record(ZeroRule()), record(STDP)
    assert torch.equal(first, second)
    assert torch.equal(fresh.fields, fresh_too.fields) and torch.equal(fresh.labels, fresh_too.labels)
    for name in fresh.confusion:
        assert torch.equal(fresh.confusion[name], fresh_too.confusion[name])
    assert torch.equal(zero.fields, fresh.fields) and not torch.equal(stdp.fields, zero.fields)


def test_tests_on_the_way_leave_no_trace_and_go_as_if_learning_ended_there():
    whole = judge(STDP, ID, CONFIG, PLAN, Cohort(2, 5, 0, tests=2))
    assert whole.images == [0, 2, 5]
    for place, images in enumerate(whole.images):
        single = judged(train_episodes=images)
        assert single.images == [images]
        for name, curve in whole.curves.items():
            assert torch.equal(curve[place], single.curves[name][0])
            assert torch.equal(single.curves[name][0], accuracy(single.confusion[name]))
    assert torch.equal(whole.fields, single.fields) and torch.equal(whole.labels, single.labels)
    for name, values in whole.learning.items():
        torch.testing.assert_close(values, single.learning[name], equal_nan=True)


def test_the_watcher_hears_of_every_image_and_every_test():
    heard: list[object] = []

    class Listener(Watcher):
        def shown(self):
            heard.append("image")

        def tested(self, images, accuracy):
            heard.append((images, accuracy.tolist()))

    given = judge(STDP, ID, CONFIG, PLAN, Cohort(2, 3, 0, tests=3), watcher=Listener())
    tests = [(images, given.curves["all_activity"][images].tolist()) for images in range(4)]
    assert heard == [tests[0], "image", tests[1], "image", tests[2], "image", tests[3]]


def test_the_same_seed_gives_the_same_judgement_and_a_network_is_its_own():
    first, again, other = judged(seed=5, num_networks=3), judged(seed=5, num_networks=3), judged(seed=6)
    for name, matrix in first.confusion.items():
        assert torch.equal(matrix, again.confusion[name])
        torch.testing.assert_close(matrix[1:], other.confusion[name])  # seeds 6 and 7
    assert torch.equal(first.labels[1:], other.labels) and (first.labels[0] != first.labels[1]).any()


def test_weights_and_thresholds_are_frozen_before_labels_are_given(monkeypatch):
    kept, right = [], module.responses

    def spy(engine, images, rng):
        start = rng.bit_generator.state["state"]
        counts = right(engine, images, rng)
        kept.append((engine.network.weights.clone(), engine.network.states["exc"].theta.clone(), start))
        return counts

    monkeypatch.setattr(module, "responses", spy)
    judged()
    (weights, theta, labelling), (weights_after, theta_after, testing) = kept
    assert torch.equal(weights, weights_after) and torch.equal(theta, theta_after) and theta.any()
    assert labelling != testing  # independent input spikes


def test_what_was_rewarded_while_learning_equals_episodes_counted_by_hand():
    given = judged(num_networks=2, train_episodes=5).learning
    settings = SMALL | {"exc_theta_plus": 0.5, "eta_exc": 0.05, "image_pool": 0}
    env = PlasticityVectorEnv(ID, num_envs=2, **settings)
    image_task(env.engine.task).reserve_images(60)
    env.reset(seed=0)
    results = []
    for _ in range(5):
        while (events := env.events()) is not None:
            env.apply(STDP(events))
        results.append(env.finish())
    for name in ("sparsity", "diversity"):
        expected = torch.stack([result.terms[name] for result in results]).double().mean(dim=0)
        torch.testing.assert_close(given[name], expected)
    torch.testing.assert_close(given["reward"], torch.stack([r.reward for r in results]).double().mean(dim=0))
    torch.testing.assert_close(given["spikes"], torch.stack([r.spikes["exc"] for r in results]).double().mean(dim=0))
    assert given["stability"].isnan().all()  # no image came twice


def test_images_that_come_twice_have_a_stability(monkeypatch):
    plan = plan_images(DIGITS, 1192, 5, "validation")  # leaves five images to learn from
    learning = judged(plan=plan, train_episodes=12).learning
    assert ((learning["stability"] >= 0) & (learning["stability"] <= 1)).all()


def test_activity_of_hand_made_counts():
    counts = torch.zeros(1, 24, 20, dtype=torch.int64)
    counts[0, :18, 0] = 3  # wins 18 images; a fair share of 21 is 1.05
    counts[0, :18, 1] = 1
    counts[0, 18:20, 2] = 1
    counts[0, 20, [3, 4]] = 2  # share an image
    given = {name: values.item() for name, values in activity_of(counts).items()}
    assert given["spikes"] == pytest.approx((18 * 4 + 2 + 4) / 24)
    assert given["active"] == pytest.approx((18 * 2 + 2 + 2) / (24 * 20))
    shares = [18 / 21, 2 / 21, 0.5 / 21, 0.5 / 21]
    assert given["winner_entropy"] == pytest.approx(-sum(p * math.log(p) for p in shares) / math.log(20))
    assert given["dead"] == 15 and given["greedy"] == 1


@pytest.mark.parametrize(("wins", "greedy"), [(10, 0), (11, 1)])
def test_greedy_is_more_than_ten_fair_shares(wins, greedy):
    counts = torch.zeros(1, 20, 20, dtype=torch.int64)  # a fair share is one image
    counts[0, :wins, 0] = 1
    counts[0, torch.arange(wins, 20), torch.arange(wins, 20)] = 1
    assert activity_of(counts)["greedy"].tolist() == [greedy]


def test_silent_networks_have_an_activity_and_are_right_in_one_of_ten_cases():
    given = judged(config=dataclasses.replace(CONFIG, gain_input_exc=1e-6))
    assert given.activity["dead"].tolist() == [6.0] * 2 and given.activity["winner_entropy"].tolist() == [0.0] * 2
    assert given.activity["greedy"].tolist() == [0.0] * 2 and (given.labels == NO_LABEL).all()
    accuracies = given.as_dict()["accuracy"]
    for name in ("all_activity", "proportion_weighting"):
        assert accuracies[name]["values"] == pytest.approx([0.1] * 2)


def test_numbers_are_plain_and_say_how_networks_differ():
    assert summary(torch.tensor([1.0, 2.0, math.nan])) == {
        "mean": 1.5,
        "sd": pytest.approx(np.std([1, 2], ddof=1)),
        "values": [1.0, 2.0, None],
    }
    assert summary(torch.tensor([math.nan])) == {"mean": None, "sd": None, "values": [None]}
    assert summary(torch.tensor([3.0])) == {"mean": 3.0, "sd": None, "values": [3.0]}
    plain = judged().as_dict()
    assert np.shape(plain["confusion"]["linear_probe"]) == (2, 10, 10)
    assert np.sum(plain["confusion"]["all_activity"]) == pytest.approx(80)
    expected = [np.trace(matrix) / 40 for matrix in plain["confusion"]["all_activity"]]
    assert plain["accuracy"]["all_activity"]["values"] == pytest.approx(expected)


def test_fields_are_the_input_weights_of_the_first_network():
    config = Unsup2Config(**SMALL)
    given = judged(ZeroRule(), config, env_id="SNNPlastic-Unsup2-v0", train_episodes=0)
    env = PlasticityVectorEnv("SNNPlastic-Unsup2-v0", num_envs=2, **SMALL)
    env.reset(seed=0)
    weights = env.engine.network.weights_of("input_to_exc")[0]  # (784, 6)
    assert given.fields.shape == (6, 28, 28) and torch.equal(given.fields[4, 3, 7], weights[3 * 28 + 7, 4])
    assert torch.equal(given.fields.flatten(1), weights.T)


def test_pixels_are_judged_on_the_very_same_images():
    plan = plan_images(DIGITS, 150, 100, "test")
    given = judge_pixels(plan)
    train, test = plan.labelling.images.flatten(1).double() / 255, plan.held_out.images.flatten(1).double() / 255
    means = torch.stack([train[plan.labelling.labels == label].mean(dim=0) for label in range(10)])
    answers = torch.cdist(test, means).argmin(dim=1)
    confusion = torch.zeros(10, 10, dtype=torch.float64)
    for label, answer in zip(plan.held_out.labels.tolist(), answers.tolist(), strict=True):
        confusion[label, answer] += 1
    assert torch.equal(given["nearest_centroid"][0], confusion)
    assert given["linear_probe"].sum() == 100 and given["linear_probe"][0].trace() > 75


def test_a_network_that_sees_one_pixel_for_each_class_is_read_perfectly_and_shuffled_labels_are_not():
    """End to end: ten pixels, ten neurons that each listen to one of them."""
    rng = np.random.default_rng(0)

    def images(count: int) -> ImageSet:
        labels = torch.from_numpy(rng.integers(10, size=count))
        pictures = torch.zeros(count, 28, 28, dtype=torch.uint8)
        pictures[torch.arange(count), labels, labels] = 255
        return ImageSet(pictures, labels)

    config = Unsup1Config(dataset="digits", n_exc=10, num_steps=20, history_length=4, max_rate=0.5, gain_input_exc=20.0)
    learned, known, asked = PlasticityVectorEnv.reset, images(200), images(100)

    def tuned(self, **arguments):
        answer = learned(self, **arguments)
        weights = self.engine.network.weights_of("input_to_exc")
        weights.zero_()
        for neuron in range(10):
            weights[:, 29 * neuron, neuron] = 1.0
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PlasticityVectorEnv, "reset", tuned)
        right = judged(ZeroRule(), config, ImagePlan(known, asked, 0, 10), 1, 0)
        shuffled = known._replace(labels=known.labels[torch.from_numpy(rng.permutation(200))])
        wrong = judged(ZeroRule(), config, ImagePlan(shuffled, asked, 0, 10), 1, 0)
    assert right.labels.tolist() == [list(range(10))]
    for name, figures in right.as_dict()["accuracy"].items():
        assert figures["mean"] == 1.0, name
    for name, figures in wrong.as_dict()["accuracy"].items():
        assert figures["mean"] < 0.45, name  # each class is one guess: 0.1 on average, in steps of about 0.1
