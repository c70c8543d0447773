"""Ranges by quantiles of what was met: a fair sample, the same event by event, still where rules are judged."""

import json

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from lives import assert_same_lives

from snn_plasticity_gym import make_rule
from snn_plasticity_gym.config.control import ControlConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.curves import Cohort
from snn_plasticity_gym.evaluation.returns import return_curve
from snn_plasticity_gym.tasks.control import ControlTask
from snn_plasticity_gym.tasks.met_observations import (
    RANGES,
    UniformSample,
    check_one_process,
    random_observations,
    read_ranges,
    with_ranges_of,
)

ANY = "SNNPlastic-Control-v0"
FEW = {"hidden_sizes": [8], "steps_per_action": 6, "history_length": 6, "w_init_min": -0.2, "w_init_max": 0.7}
BELLS = {"encoder": "gaussian", "encoder_kwargs": {"fields": 5, "max_rate": 0.6}, "range_quantile": 0.1}
POLE = {**FEW, **BELLS, "world": "CartPole-v1", "decoder_kwargs": {"group_size": 4}, "max_actions": 40}
UNKNOWN = "UnknownScale-v0"


class UnknownScale(gymnasium.Env):
    """Observations without bounds: one evenly between 0 and 1000, one that never changes."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._drawn(), {}

    def step(self, action):
        return self._drawn(), 0.0, False, False, {}

    def _drawn(self):
        return np.array([self.np_random.uniform(0, 1000), 7.0], np.float32)


if UNKNOWN not in gymnasium.registry:
    gymnasium.register(UNKNOWN, UnknownScale, max_episode_steps=50)


def ends_of(env):
    return env.engine.task.met.ranges


def test_a_sample_is_that_of_one_after_the_other():
    """Vitter's algorithm in a plain loop, with the same draws; and each of all has stayed with the same chance."""
    values = np.arange(400, dtype=np.float32).reshape(-1, 1)
    sample, random, kept, count = UniformSample(30, 1), np.random.default_rng(0), [], 0
    for part in np.split(values, [7, 45, 46, 200]):
        sample.add(part)
        found_room = min(max(30 - count, 0), len(part))
        places = random.integers(0, np.arange(count + found_room, count + len(part)) + 1)
        drawn = iter(places.tolist())
        for value in part[:, 0].tolist():
            if len(kept) < 30:
                kept.append(value)
            elif (place := next(drawn)) < 30:
                kept[place] = value
        count += len(part)
    assert sample.kept[:, 0].tolist() == kept and sample.number == 400
    many = [UniformSample(30, 1) for _ in range(200)]
    for number, one in enumerate(many):
        one._rng = np.random.default_rng(number)
        one.add(values)
    assert np.mean([one.kept.mean() for one in many]) == pytest.approx(199.5, abs=5)


def test_ranges_of_a_world_without_bounds_are_its_quantiles():
    env = PlasticityVectorEnv(ANY, num_envs=3, **{**POLE, "world": UNKNOWN, "range_quantile": 0.2})
    env.reset(seed=0)
    begun = ends_of(env)
    assert begun.low == pytest.approx([200, 6.5], rel=0.2) and begun.high == pytest.approx([800, 7.5], rel=0.1)
    for _ in range(4):
        env.run_episode(make_rule("zero"))
    met = ends_of(env)
    assert met.low[0] != begun.low[0] and met.low[1] == 6.5  # what never changes has a range all the same
    assert met.low[0] == pytest.approx(200, rel=0.1) and met.high[0] == pytest.approx(800, rel=0.05)
    codes = env.engine.task.encoder._centres.numpy()
    assert codes[:, 0] == pytest.approx(met.low) and codes[:, -1] == pytest.approx(met.high)


@pytest.mark.parametrize(
    "config",
    [
        POLE,
        {**POLE, "world": "Acrobot-v1"},
        {**POLE, "encoder": "one-hot", "encoder_kwargs": {"fields": 6, "rate": 0.5}},
    ],
    ids=["compiled", "by Python", "one-hot"],
)
def test_lives_are_the_same_as_event_by_event(config):
    learns = {"w_init_min": 0.0, "w_min": 0.0, "eta": 0.005, "third_factor": "reward"}
    lived = assert_same_lives(
        ANY, config | learns, lambda env: make_rule("stdp", learning_rate=0.05), images=3, rounding=1e-5
    )
    assert min(lived.spikes.values()) > 0 and lived.moved > 1e-4


def test_ranges_move_when_all_begin_together_and_not_before():
    env = PlasticityVectorEnv(ANY, num_envs=2, **POLE)
    env.reset(seed=0)
    for _ in range(3):
        env.run_episode(make_rule("zero"))
    task, before = env.engine.task, ends_of(env)
    task.worlds.reset([0], [9])
    task._actions_done[:] = 3
    assert not task.met.begin(torch.tensor([0]), torch.tensor([3]), task.observations[:1]) and ends_of(env) is before
    assert task.met.begin(torch.arange(2), torch.tensor([0, 3]), task.observations)
    assert (ends_of(env).low != before.low).any()


def test_a_life_goes_on_bit_for_bit():
    env = PlasticityVectorEnv(ANY, num_envs=2, **POLE)
    env.reset(seed=0)
    for _ in range(3):
        env.run_episode(make_rule("zero"))
    other = PlasticityVectorEnv(ANY, num_envs=2, **POLE)
    other.reset(seed=5)
    other.load_state_dict(env.state_dict())
    for _ in range(3):
        one, two = (some.run_episode(make_rule("zero")) for some in (env, other))
        assert torch.equal(one.info["highest"], two.info["highest"])
        assert np.array_equal(ends_of(env), ends_of(other))


def test_they_stand_still_where_rules_are_judged(monkeypatch):
    seen = []
    right = ControlTask.reset

    def reset(self, rows, seeds):
        right(self, rows, seeds)
        seen.append(tuple(self.met.ranges.low))

    monkeypatch.setattr(ControlTask, "reset", reset)
    curve = return_curve(make_rule("stdp"), ANY, ControlConfig(**POLE), Cohort(2, 3, 0, tests=2), 2, "test")
    assert len(curve.tests["return"]) == 3 and len(seen) > 8 and len(set(seen)) == 1


def test_ranges_of_a_run_are_taken(tmp_path):
    (tmp_path / RANGES).write_text(json.dumps({"low": [-1, -2, -3, -4], "high": [1, 2, 3, 4]}))
    config = with_ranges_of(ControlConfig(**POLE), tmp_path)
    env = PlasticityVectorEnv(ANY, num_envs=1, **vars(config))
    env.reset(seed=0)
    for _ in range(2):
        env.run_episode(make_rule("zero"))
    assert ends_of(env).low.tolist() == [-1, -2, -3, -4]
    assert with_ranges_of(ControlConfig(**POLE), tmp_path / "none").range_sample == 0
    plain = ControlConfig(encoder="gaussian")
    assert with_ranges_of(plain, tmp_path) is plain


def test_what_is_explored_is_the_same_always():
    config = ControlConfig(world="Pendulum-v1", world_attributes='{"g": 5.0}')
    assert np.array_equal(random_observations(config, 300), random_observations(config, 300))
    assert random_observations(config, 300).shape == (300, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"encoder": "one-hot-normal", "encoder_kwargs": {"mean": 0, "std": 1, "period": 5}},
            "has its fields where they",
        ),
        ({"encoder_kwargs": {"fields": 5, "low": -1}}, "leave them out there"),
        ({"range_quantile": 0.0, "ranges": "somewhere"}, "set range_quantile, too"),
        ({"ranges": "nowhere"}, "there is no file"),
        ({"range_sample": 10}, "0 or at least 1000"),
        ({"range_quantile": 0.5}, "range_quantile"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        PlasticityVectorEnv(ANY, num_envs=1, **{**POLE, **settings})


@pytest.mark.parametrize("text", ["{", "[]", '{"low": [1, 2]}', '{"low": [0, 0], "high": ["a", 1]}'])
def test_damaged_files(tmp_path, text):
    (tmp_path / RANGES).write_text(text)
    with pytest.raises(ConfigError, match="holds no ranges of 2 observations"):
        read_ranges(tmp_path, 2)


def test_ends_in_the_wrong_order(tmp_path):
    (tmp_path / RANGES).write_text('{"low": 1, "high": 1}')
    with pytest.raises(ConfigError, match="high must be above low"):
        PlasticityVectorEnv(ANY, num_envs=1, **{**POLE, "ranges": str(tmp_path)})


def test_several_processes_meet_different_things():
    check_one_process(ControlConfig(**POLE), 1)
    check_one_process(ControlConfig(**POLE, range_sample=0), 2)
    with pytest.raises(ConfigError, match="got 2 processes"):
        check_one_process(ControlConfig(**POLE), 2)
