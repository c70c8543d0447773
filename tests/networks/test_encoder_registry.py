"""Encoders by name: every one can be made and used, third parties add theirs, mistakes are one line."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.encoder_registry import ENCODERS, encoder_settings, make_encoder, register_encoder
from snn_plasticity_gym.networks.observation_encoders import CurrentInput
from snn_plasticity_gym.utils.row_streams import RowUniforms

MOUNTAIN_CAR = gymnasium.make("MountainCar-v0").observation_space
CARTPOLE = gymnasium.make("CartPole-v1").observation_space
SETTINGS = {
    "one-hot": {"fields": 30, "rate": 1.0},
    "one-hot-normal": {"fields": 30, "mean": 0.0, "std": (1.0, 0.1), "rate": 1.0},
    "one-hot-measured": {"fields": 30, "observations": np.random.default_rng(0).normal(size=(100, 2)), "rate": 1.0},
    "gaussian": {"fields": 30},
    "rate": {},
    "one-hot-current": {"fields": 30, "amplitude": 5.0},
    "gaussian-current": {"fields": 30, "amplitude": 5.0, "offset": 1.0},
    "value-current": {"amplitude": 5.0, "signed": True},
}


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_reads_a_world(name):
    encoder = make_encoder(name, MOUNTAIN_CAR, "cpu", **SETTINGS[name])
    assert encoder.size == {"rate": 2, "value-current": 4}.get(name, 60)
    observation = torch.tensor([[-0.5, 0.01], [0.6, 0.07]])
    if isinstance(encoder, CurrentInput):
        currents = encoder.currents(observation, 0)
        assert currents.shape == (2, encoder.size) and 4.5 < currents.max() <= 6
    else:
        draw = RowUniforms([np.random.default_rng(row) for row in range(2)])
        trains = torch.stack([encoder.spikes(observation, step, draw) for step in range(20)])  # (T, R, N)
        assert trains.shape == (20, 2, encoder.size) and trains.any(dim=2).any(dim=0).all()


def test_settings_reach_their_encoder():
    """CartPole of Hasegan et al. (2022): 20 fields an observation, of equal chance under a normal."""
    mean, std = (-0.00646, -0.03634, 0.00529, 0.04752), (1.0, 0.5399, 0.0913, 0.82071)
    encoder = make_encoder("one-hot-normal", CARTPOLE, mean=mean, std=std, period=20)
    spikes = encoder.spikes(torch.tensor([mean]) + 1e-3, 40, RowUniforms([]))
    assert spikes[0].nonzero().squeeze(1).tolist() == [10, 30, 50, 70]
    assert not encoder.spikes(torch.tensor([mean]), 41, RowUniforms([])).any()
    assert "sharpness" in encoder_settings("gaussian") and "space" not in encoder_settings("gaussian")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("onehot", {}, "unknown encoder 'onehot'; did you mean 'one-hot'?"),
        ("one-hot", {"field": 3}, "encoder one-hot: unknown setting 'field'; did you mean 'fields'?"),
        ("one-hot", {"rate": 1.0}, "encoder one-hot: the world gives no bounds for observation 1, 3 of 4"),
        ("one-hot-normal", {"mean": 0.0}, "encoder one-hot-normal needs std; its settings are"),
        ("one-hot-normal", {"mean": (0, 0), "std": 1, "rate": 1.0}, "encoder one-hot-normal: mean must be numbers"),
        ("one-hot-measured", {"observations": np.ones((5, 3))}, "encoder one-hot-measured: observations must have 4 c"),
        ("gaussian", {"low": -1, "high": 1, "fields": 2.5}, "encoder gaussian: fields must be a whole number"),
    ],
)
def test_mistakes_are_one_line(name, settings, message):
    with pytest.raises(ConfigError) as caught:
        make_encoder(name, CARTPOLE, **settings)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


class SignEncoder:
    """A third party's: one neuron that fires while the first observation is positive."""

    size = 1

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def spikes(self, observation, step, uniform):
        return observation[:, :1] > self.threshold


def make_sign(space: Box, device: torch.device, *, threshold: float = 0.0) -> SignEncoder:
    return SignEncoder(threshold)


def test_third_parties_add_theirs(monkeypatch):
    monkeypatch.setattr("snn_plasticity_gym.networks.encoder_registry.ENCODERS", dict(ENCODERS))
    register_encoder("sign", make_sign)
    encoder = make_encoder("sign", CARTPOLE, threshold=1.0)
    assert encoder.spikes(torch.tensor([[2.0, 0, 0, 0], [0.5, 0, 0, 0]]), 0, RowUniforms([])).tolist() == [
        [True],
        [False],
    ]
    with pytest.raises(ConfigError, match="encoder 'rate' exists already; choose another name"):
        register_encoder("rate", make_sign)
    register_encoder("nothing", lambda space, device: object())
    with pytest.raises(ConfigError, match="encoder nothing: its `size` must be a positive number of neurons"):
        make_encoder("nothing", CARTPOLE)


def test_periods_are_in_ms_and_rates_per_ms():
    """At dt = 0.5 the active field of a period of 4 ms fires in every eighth step."""
    observation = torch.tensor([[0.0, 0.0]])
    coarse, fine = (make_encoder("one-hot", MOUNTAIN_CAR, "cpu", dt, fields=3, period=4) for dt in (1.0, 0.5))
    times = [
        [step * dt for step in range(int(20 / dt)) if encoder.spikes(observation, step, RowUniforms([])).any()]
        for encoder, dt in ((coarse, 1.0), (fine, 0.5))
    ]
    assert times[0] == times[1] == [0, 4, 8, 12, 16]
    draw = RowUniforms([np.random.default_rng(0)])
    for name, settings in (("one-hot", {"rate": 0.4}), ("rate", {"max_rate": 0.8}), ("gaussian", {"max_rate": 0.8})):
        made = {dt: make_encoder(name, MOUNTAIN_CAR, "cpu", dt, **settings) for dt in (1.0, 0.25)}
        per_ms = {
            dt: sum(int(encoder.spikes(observation, step, draw).sum()) for step in range(4000)) / (4000 * dt)
            for dt, encoder in made.items()
        }
        assert per_ms[0.25] == pytest.approx(per_ms[1.0], rel=0.1), name


@pytest.mark.parametrize(
    ("dt", "settings", "message"),
    [
        (2.0, {"period": 1.5}, "encoder one-hot: period must be at least 2, got 1.5"),
        (2.0, {"rate": 0.6}, "encoder one-hot: rate must be in [0, 0.5], got 0.6; in steps of dt=2 ms lower rate"),
        (1.0, {"rate": 0.5, "dt": 3.0}, "encoder one-hot: unknown setting 'dt'"),
    ],
)
def test_what_a_time_step_does_not_allow_is_refused(dt, settings, message):
    with pytest.raises(ConfigError) as caught:
        make_encoder("one-hot", MOUNTAIN_CAR, "cpu", dt, **settings)
    assert str(caught.value).startswith(message)
    assert "dt" not in encoder_settings("one-hot")
