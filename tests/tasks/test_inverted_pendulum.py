"""The pole of any size: the stock one is Gymnasium's, another falls as physics has it; MuJoCo leaves no file behind."""

import logging

import gymnasium
import numpy as np
import pytest

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.tasks.worlds import Worlds

ID = "snn_plasticity_gym.tasks.inverted_pendulum:InvertedPendulumPole-v0"
NO_FORCE = np.zeros(1, np.float32)


def steps_until_it_falls(**kwargs) -> int:
    env = gymnasium.make(ID, **kwargs)
    env.reset(seed=1)
    return next(step for step in range(1, 1000) if env.step(NO_FORCE)[2])


def test_sizes_must_be_positive():
    for name, value in (("pole_length", 0.0), ("pole_thickness", -1), ("pole_length", "long"), ("pole_length", True)):
        with pytest.raises(ConfigError, match=f"{name} must be a positive number of metres, got"):
            Worlds(ID, 1, world_kwargs={name: value})


def test_the_stock_pole_is_gymnasiums():
    pytest.importorskip("mujoco")
    ours, theirs = gymnasium.make(ID), gymnasium.make("InvertedPendulum-v5")
    forces = np.random.default_rng(0).uniform(-1, 1, (12, 1)).astype(np.float32)
    assert np.array_equal(ours.reset(seed=3)[0], theirs.reset(seed=3)[0])
    for force in forces:
        mine, yours = ours.step(force), theirs.step(force)
        assert np.array_equal(mine[0], yours[0]) and mine[1:4] == yours[1:4]


def test_mass_grows_with_size_and_a_longer_pole_falls_later():
    """A capsule of radius r and length l has the volume pi r^2 l + 4/3 pi r^3; MuJoCo's density is 1000 kg / m^3."""
    pytest.importorskip("mujoco")
    length, radius = 1.5, 0.05
    mass = gymnasium.make(ID, pole_length=length, pole_thickness=radius).unwrapped.model.body_mass[-1]
    assert mass == pytest.approx(1000 * np.pi * radius**2 * (length + 4 / 3 * radius), rel=1e-4)
    assert steps_until_it_falls(pole_length=0.6) < steps_until_it_falls(pole_length=5.0)


def test_what_mujoco_warns_of_is_logged_and_no_file_is_left(tmp_path, monkeypatch, caplog):
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)
    env = gymnasium.make(ID)
    env.reset(seed=0)
    env.unwrapped.data.qvel[:] = np.nan
    with caplog.at_level(logging.WARNING, logger="snn_plasticity_gym"):
        env.step(NO_FORCE)
    assert "MuJoCo: Nan, Inf or huge value" in caplog.text
    assert not list(tmp_path.iterdir())
