"""Lifetimes whose plasticity ends: they go on without events, and what they then do is judged by itself."""

import pytest
import torch
from toys import SMALL

from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.rules.target_stdp import TargetSTDP

ID = "SNNPlastic-Unsup1-v0"


def grow(events) -> torch.Tensor:
    return torch.ones_like(events.weight)


@pytest.mark.parametrize("rule", [grow, TargetSTDP(scale=0.01)])  # by events, and in closed form
def test_weights_move_for_so_many_images_and_then_stand_still(rule):
    whole = {"history_length": SMALL["num_steps"]}  # or no rule is in closed form
    env = PlasticityVectorEnv(ID, num_envs=2, plastic_episodes=2, lifetime_length=4, **(SMALL | whole))
    env.reset(seed=1)
    moved, events, spikes = [], [], []
    for _ in range(8):  # two lifetimes
        before = env.engine.network.weights.clone()
        fresh = env.engine.ages[0] == 3  # `finish` begins the next image, here with new networks
        result = env.run_episode(rule)
        moved.append(None if fresh else not torch.equal(before, env.engine.network.weights))
        events.append(bool(result.num_events.any()))
        spikes.append(int(result.spikes["exc"].sum()))
    assert moved == [True, True, False, None] * 2
    assert events == [True, True, False, False] * 2
    assert min(spikes) > 0  # networks answer, plastic or not


def test_lifetimes_of_different_ages_end_their_plasticity_each_by_itself():
    env = PlasticityVectorEnv(ID, num_envs=2, plastic_episodes=1, **SMALL)
    env.reset(seed=1)
    env.run_episode(grow)
    env.reset(seed=[None, 5])  # row 1 begins anew, row 0 goes on
    assert env.run_episode(grow).num_events.gt(0).tolist() == [False, True]


def test_what_was_answered_while_plastic_is_forgotten_in_the_judgement():
    env = PlasticityVectorEnv(ID, num_envs=1, plastic_episodes=3, image_pool=1, **SMALL)
    env.reset(seed=1)
    stability = [env.run_episode(grow).terms["stability"].item() for _ in range(5)]
    first_of_its_kind = [value != value for value in stability]  # NaN: never seen before
    assert first_of_its_kind == [True, False, False, True, False]


@pytest.mark.parametrize("form", ["sum", "information"])
def test_lifetimes_are_judged_by_images_that_they_have_not_learned_from(form):
    settings = {"image_pool": 4, "heldout_pool": 6, "heldout_shift": 2, "reward_form": form, "lifetime_length": 25}
    env = PlasticityVectorEnv(ID, num_envs=2, plastic_episodes=10, **(SMALL | settings))
    env.reset(seed=1)
    results = [env.run_episode(grow) for _ in range(50)]
    for lifetime in (results[:25], results[25:]):
        shown = torch.stack([result.info["image"] for result in lifetime]).T  # (B, images)
        for row in shown:
            learned, judged = set(row[:10].tolist()), set(row[10:].tolist())
            assert len(learned) <= 4 and 1 < len(judged) <= 6 and not learned & judged
    if form == "sum":
        assert results[10].terms["stability"].isnan().all()


def noise(events) -> torch.Tensor:
    """A rule that is in no closed form, and not the same twice."""
    return torch.linspace(-1.0, 1.0, len(events.weight))


@pytest.mark.parametrize("rule", [noise, TargetSTDP(scale=0.01)])
def test_images_without_plasticity_are_the_same_compiled_and_step_by_step(rule):
    settings = SMALL | {"history_length": SMALL["num_steps"], "exc_theta_plus": 2.0, "exc_tau_theta": 50.0}
    fast, slow = (PlasticityVectorEnv(ID, num_envs=3, plastic_episodes=2, **settings) for _ in range(2))
    for env in (fast, slow):
        env.reset(seed=4)
    thresholds = []
    for image in range(5):
        live, ways = fast.engine.run_episode, []  # whether an image went the compiled way
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                fast.engine, "run_episode", lambda rule, live=live, ways=ways: ways.append(live(rule)) or ways[-1]
            )
            result = fast.run_episode(rule)
        while (events := slow.events()) is not None:
            slow.apply(rule(events))
        other = slow.finish()
        if image > 0:  # of the first one, `reset` has shown the first events
            assert ways == [image >= 2 or rule is not noise]
        assert torch.equal(result.rates, other.rates) and torch.equal(result.num_events, other.num_events)
        torch.testing.assert_close(fast.engine.network.weights, slow.engine.network.weights)
        both = [env.engine.network.states["exc"].theta.clone() for env in (fast, slow)]
        torch.testing.assert_close(*both)
        thresholds.append(both[0])
    assert result.rates.sum() > 0 and thresholds[1].max() > 0
    assert torch.equal(thresholds[1], thresholds[4]) and not torch.equal(thresholds[0], thresholds[1])


def test_the_thresholds_of_a_new_lifetime_move_again():
    env = PlasticityVectorEnv(ID, num_envs=2, plastic_episodes=1, lifetime_length=2, exc_theta_plus=2.0, **SMALL)
    env.reset(seed=1)
    seen = []
    for _ in range(4):
        seen.append(env.engine.network.non_plastic.tolist())
        env.run_episode(grow)
    assert seen == [[False] * 2, [True] * 2] * 2
    env.run_episode(grow)  # the first image of the third lifetime, of which the frozen second has no part
    assert (env.engine.network.states["exc"].theta > 0).any()
