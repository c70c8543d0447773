"""Whole trials of cue association in compiled loops are the same as step by step, in the plain Gymnasium world."""

import copy

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lives import assert_same_lives, bold_rule, formula

from snn_plasticity_gym import make_rule
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.kernels.worlds import CUES

CUES_ID = "SNNPlastic-CueAssociation-v0"
SMALL = {
    "hidden_sizes": [6],
    "history_length": 8,
    "w_init_min": 0.0,
    "w_init_max": 0.5,
    "w_min": 0.0,
    "decoder_kwargs": {"group_size": 3},
    "eta": 0.002,
}
RULES = {
    "zero": lambda env: make_rule("zero"),
    "STDP": lambda env: make_rule("stdp", learning_rate=0.3),
    "Oja": lambda env: make_rule("oja"),
    "formula": lambda env: formula(env, ["post", "pre*post", "post*x20", "pre*y20", "w", "post*x20*w"], bold=0.2),
    "heads": lambda env: bold_rule(env, boldness=0.2),
}


def world(condition, cues, rests):
    return {"world_kwargs": {"condition": condition, "cues": cues, "rests": rests}}


@settings(max_examples=5)
@given(
    rule=st.sampled_from(sorted(RULES)),
    seed=st.integers(0, 2**31),
    condition=st.sampled_from(["normal", "noisy", "both"]),
    cues=st.sampled_from([1, 3]),
    rests=st.lists(st.integers(0, 12), min_size=1, max_size=3),
    options=st.sampled_from(
        [
            {},
            {"flipped": True},
            {"third_factor": "targeted", "modulation": "factor"},
            {"noise": 0.2},
            {"max_actions": 40},
        ]
    ),
)
def test_a_trial(rule, seed, condition, cues, rests, options):
    """Spike by spike, weight by weight, whatever the rule, the seed, the noise and what is paid attention to."""
    config = {**SMALL, **world(condition, cues, rests), **options}
    lived = assert_same_lives(CUES_ID, config, RULES[rule], images=1, seed=seed)
    assert lived.spikes["input"] > 0 and (lived.moved > 0 or rule == "zero" or "modulation" in options)


def test_full_trials_with_a_formula():
    """Of seven cues and any rest, in networks of the usual size."""
    lived = assert_same_lives(CUES_ID, {"world_kwargs": {"condition": "both"}}, RULES["formula"], images=1)
    assert min(lived.spikes.values()) > 0 and lived.moved > 1e-3


@pytest.mark.parametrize("condition", ["normal", "noisy"])
def test_inputs_and_pay_are_those_of_the_plain_world(condition):
    """Whoever takes the same actions after the same seed sees what the inputs have fired, and is paid as much."""
    config = {**SMALL, **world(condition, 3, [4, 9])}
    env = PlasticityVectorEnv(CUES_ID, num_envs=3, **config)
    env.reset(seed=2)
    env.run_episode(make_rule("zero"))  # by events, since a reset has taken the first step
    assert env.engine.task.closed_loop().loop.world.kind == CUES
    assert env.engine.run_episode(make_rule("zero"))
    worlds, raster, paid = env.engine.task.worlds, env.engine.raster["input"], []
    for row in range(3):
        plain = gymnasium.make("CueAssociation-v0", condition=condition, cues=3, rests=[4, 9])
        seen, over = [plain.reset(seed=worlds._episodes[row].seed)[0]], False
        paid.append(0.0)
        for action in worlds.actions(row):
            assert not over
            spikes, reward, over, *_ = plain.step(action)
            seen.append(spikes)
            paid[row] += reward
        assert over
        kept = raster.shape[1]  # the last steps alone
        assert raster[row].sum() == np.array(seen[-1 - kept : -1]).sum() > 0
        np.testing.assert_array_equal(worlds.observations([row])[0], seen[-1])
        with pytest.raises(gymnasium.error.ResetNeeded):
            worlds._env(row).unwrapped.step(0)
    assert env._interface._end().reward.tolist() == pytest.approx(paid, abs=1e-6)


def test_a_state_from_within_a_life_goes_on_alike():
    """A world that is made anew draws the same trial again."""
    env = PlasticityVectorEnv(CUES_ID, num_envs=2, **SMALL, **world("both", 3, [4, 9]))
    env.reset(seed=0)
    for _ in range(3):
        env.run_episode(make_rule("stdp", learning_rate=0.3))
    state = copy.deepcopy(env.state_dict())
    other = PlasticityVectorEnv(CUES_ID, num_envs=2, **SMALL, **world("both", 3, [4, 9]))
    other.reset(seed=1)
    other.load_state_dict(state)
    one, two = (each.run_episode(make_rule("stdp", learning_rate=0.3)) for each in (env, other))
    assert torch.equal(one.payments, two.payments) and one.num_events.tolist() == two.num_events.tolist()
