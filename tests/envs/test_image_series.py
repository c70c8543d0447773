"""Several images in one call of the loops are those of image by image, bit by bit, in all that can be seen."""

from typing import Any

import numpy as np
import pytest
import torch
from grids import grid
from lives import DIEHL_COOK, FEEDFORWARD, HOMEOSTASIS, bold_rule, bold_rules, formula

from snn_plasticity_gym.envs.image_series import images_left
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.envs.whole_images import CompiledImages
from snn_plasticity_gym.networks.spike_counts import SpikeCounts
from snn_plasticity_gym.rules import make_rule
from snn_plasticity_gym.tasks.image_task import ImageTask
from snn_plasticity_gym.tasks.unsupervised import UnsupervisedTask

UNSUP, UNSUP2, SEMI, GRAD = (f"SNNPlastic-{name}-v0" for name in ("Unsup1", "Unsup2", "Semi", "Grad"))
RULES = {
    "zero": lambda env: make_rule("zero"),
    "stdp": lambda env: make_rule("stdp", scale=0.05),
    "target-stdp": lambda env: make_rule("target-stdp", scale=0.05),
    "formula": lambda env: formula(env, ["pre", "post"]),
    "policy": bold_rule,
    "policies": bold_rules,
}
TOGETHER: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": (UNSUP, DIEHL_COOK),
    "homeostasis": (UNSUP2, {**DIEHL_COOK, **HOMEOSTASIS}),
    "shared images, slower with age": (UNSUP2, {**DIEHL_COOK, "common_noise": True, "eta_decay": 2.0}),
    "lives that end": (UNSUP, {**DIEHL_COOK, "plastic_episodes": 3, "lifetime_length": 8}),
    "other images at the end": (
        UNSUP,
        {**DIEHL_COOK, "image_pool": 3, "heldout_pool": 9, "heldout_shift": 2, "plastic_episodes": 4},
    ),
    "a product, images again": (UNSUP, {**DIEHL_COOK, "image_pool": 2, "reward_form": "product"}),
    "short histories of one side": (UNSUP, {**DIEHL_COOK, "history_length": 6, "event_kinds": "post"}),
    "a classifier": (SEMI, FEEDFORWARD),
    "information, images again": (UNSUP, {**DIEHL_COOK, "reward_form": "information", "image_pool": 3}),
    "information, more and more images": (UNSUP, {**DIEHL_COOK, "reward_form": "information"}),
    "sums of weights": (UNSUP2, {**DIEHL_COOK, "w_exc_sum": 20.0}),
    "reconstruction": (UNSUP, {**DIEHL_COOK, "reward_form": "reconstruction", "w_exc_sum": 20.0, "eta_decay": 2.0}),
}
APART: dict[str, tuple[str, dict[str, Any]]] = {
    "feedback": (SEMI, {**FEEDFORWARD, "third_factor": "feedback"}),
    "reward": (SEMI, {**FEEDFORWARD, "third_factor": "reward"}),
    "teaching": (SEMI, {**FEEDFORWARD, "third_factor": "teaching", "factor_steps": 7}),
    "groups": (SEMI, {**FEEDFORWARD, "network": "rwta", "hidden_sizes": [10, 10]}),
    "a teacher": (GRAD, {**FEEDFORWARD, "layer_scalars": [1.0, 1.0, 1.0]}),
    "eligibility": (UNSUP, {**DIEHL_COOK, "modulation": "reward"}),
    "events": (UNSUP, {**DIEHL_COOK, "event_kinds": "split"}),
    "credit": (UNSUP, {**DIEHL_COOK, "credit": "neuron"}),
}


def seen_of(values: Any) -> list[Any]:
    """Everything in nested values, with types and bits."""
    if isinstance(values, dict):
        return [(name, seen_of(part)) for name, part in values.items()]
    if isinstance(values, list | tuple):
        return [seen_of(part) for part in values]
    if isinstance(values, torch.Tensor):
        return [values.dtype, values.shape, values.numpy().tobytes()]
    return [type(values), values.tobytes() if isinstance(values, np.ndarray) else repr(values)]


def lives(env_id, config, rule_of, num_envs, monkeypatch):
    """Live through images in pieces, one by one and together; return how many were run together."""
    one, other = (PlasticityVectorEnv(env_id, num_envs=num_envs, **config) for _ in range(2))
    for env in (one, other):
        env.reset(seed=4)
        env.begin()
    rule, together, show = rule_of(one), 0, CompiledImages.show_series

    def counting(images, way, paces, *others):
        nonlocal together
        together += len(paces)
        return show(images, way, paces, *others)

    monkeypatch.setattr(CompiledImages, "show_series", counting)
    for count in (6, 1, 3):
        results = [one.run_episode(rule) for _ in range(count)]
        assert seen_of([result._asdict() for result in results]) == seen_of(
            [result._asdict() for result in other.run_episodes(rule, count)]
        )
        assert seen_of(one.state_dict()) == seen_of(other.state_dict())
        for last, told in zip(one.engine.last_episodes, other.engine.last_episodes, strict=True):
            assert seen_of(last._asdict()) == seen_of(told._asdict())
        assert seen_of(one.engine.raster) == seen_of(other.engine.raster)
        assert seen_of(one.engine.changes.sums) == seen_of(other.engine.changes.sums)
        assert one.engine.ages.tolist() == other.engine.ages.tolist()
        assert all(result.spikes[one.engine.task.readout].sum() > 0 for result in results)
    # Afterwards it goes on by events, too.
    assert seen_of(one.events().weight) == seen_of(other.events().weight)
    return together


@pytest.mark.parametrize(("name", "rule", "num_envs"), grid(list(TOGETHER), list(RULES), [1, 5]))
def test_images_together(name, rule, num_envs, monkeypatch):
    assert lives(*TOGETHER[name], RULES[rule], num_envs, monkeypatch) >= 7


@pytest.mark.parametrize(("name", "num_envs"), grid(list(APART), [1, 5]))
def test_what_has_to_look_at_each_image(name, num_envs, monkeypatch):
    assert lives(*APART[name], RULES["stdp"], num_envs, monkeypatch) == 0


@pytest.mark.parametrize("shared", [False, True])
def test_two_threads_show_the_same(shared, monkeypatch):
    def seen(threads):
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        env = PlasticityVectorEnv(UNSUP, num_envs=5, **DIEHL_COOK, common_noise=shared)
        env.reset(seed=1)
        env.begin()
        results = env.run_episodes(make_rule("stdp", scale=0.05), 5)
        return seen_of([result._asdict() for result in results]), seen_of(env.state_dict())

    assert seen(1) == seen(2) == seen(3)


def test_an_image_whose_events_were_asked_for_is_ended_by_events():
    env = PlasticityVectorEnv(UNSUP, num_envs=2, **DIEHL_COOK)
    env.reset(seed=0)
    assert env.events() is not None
    assert len(env.run_episodes(make_rule("stdp"), 4)) == 4 and env.engine.ages.tolist() == [4, 4]
    assert env.run_episodes(make_rule("stdp"), 0) == []


def test_more_images_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr("snn_plasticity_gym.envs.whole_images.MOST_IMAGES", 3)
    assert lives(*TOGETHER["plain"], RULES["stdp"], 2, monkeypatch) == 9  # three at a time, and one alone
    monkeypatch.setattr("snn_plasticity_gym.envs.whole_images.MOST_COUNTS", 1)
    assert lives(*TOGETHER["plain"], RULES["stdp"], 2, monkeypatch) == 0


def test_a_derived_task_says_itself_that_its_images_may_be_judged_together():
    class Moody(UnsupervisedTask):
        def judge(self, episode):
            return super().judge(episode)

    class Steady(UnsupervisedTask):
        judges_series = True

    config = PlasticityVectorEnv(UNSUP, num_envs=1, **DIEHL_COOK).config
    device = torch.device("cpu")
    tasks = [kind(config, 1, device) for kind in (UnsupervisedTask, Moody, Steady)]
    assert [task.judges_series for task in tasks] == [True, False, True]
    assert not ImageTask.judges_series.fget(None)


def test_images_before_a_lifetime_changes():
    ages = np.array([2, 5])
    assert images_left(ages) == images_left(ages, 0, 0) > 10**9
    assert images_left(ages, 6) == 1 and images_left(ages, 9, 4) == 2 and images_left(ages, 5) == 3


def test_judging_a_series_is_judging_each(monkeypatch):
    """A lifetime that comes several times in a call is judged in the order of its images."""
    env = PlasticityVectorEnv(UNSUP, num_envs=2, **DIEHL_COOK, image_pool=2)
    env.reset(seed=0)
    task = env.engine.task
    series = task.draw_series(4, [0, 0])
    counts = torch.randint(0, 3, (8, 12), generator=torch.Generator().manual_seed(0))
    told = task.judge_series(series, {"exc": SpikeCounts(counts, torch.zeros_like(counts))})
    task._reward.memory.forget(torch.arange(2))
    for m, places in enumerate(series.places):
        rows, places = torch.arange(2), torch.from_numpy(places)
        here = slice(2 * m, 2 * m + 2)
        result = task._reward.by_operations(rows, places, counts[here], told.info["winner"][here])
        torch.testing.assert_close(result.reward, told.reward[here])
        torch.testing.assert_close(result.terms["stability"], told.terms["stability"][here], equal_nan=True)
    assert not told.terms["stability"].isnan().all()
