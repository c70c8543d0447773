"""Decoders by name: what each can decode, third parties' own, mistakes in one line."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.decoder_registry import DECODERS, decoder_settings, make_decoder, register_decoder
from snn_plasticity_gym.networks.decoders import LevelsDecoder, PopulationDecoder, SoftmaxDecoder, WinnerDecoder
from snn_plasticity_gym.utils.row_streams import RowUniforms

FORCE = Box(-3.0, 3.0, (1,), np.float32)
TORQUES = Box(-1.0, 1.0, (2, 3), np.float32)


@pytest.mark.parametrize(
    ("name", "space", "settings", "kind", "size"),
    [
        ("winner", Discrete(3, start=-1), {"group_size": 20, "tie": "none", "tie_action": 1}, WinnerDecoder, 60),
        ("softmax", Discrete(2), {"group_size": 20, "beta": 0.5}, SoftmaxDecoder, 40),
        ("winner", FORCE, {"levels": (-3, -1.5, 0, 1.5, 3)}, LevelsDecoder, 5),
        ("softmax", Box(-0.7, 0.7, (1,), np.float32), {"levels": (-0.7, 0.7), "group_size": 4}, LevelsDecoder, 8),
        ("population", FORCE, {}, PopulationDecoder, 10),
        ("population", TORQUES, {"group_size": 4, "gain": 2.0}, PopulationDecoder, 24),
    ],
)
def test_every_decoder_gives_actions_of_its_space(name, space, settings, kind, size):
    decoder = make_decoder(name, space, "cpu", **settings)
    assert isinstance(decoder, kind) and decoder.size == size
    counts = torch.from_numpy(np.random.default_rng(0).integers(0, 6, (40, size)))
    streams = [np.random.default_rng(row) for row in range(40)]
    for action in decoder.decode(counts, 5, RowUniforms(streams)).numpy():
        assert space.contains(action + space.start if isinstance(space, Discrete) else action.reshape(space.shape))


@pytest.mark.parametrize(
    ("name", "space", "settings", "message"),
    [
        ("winer", Discrete(2), {}, "unknown decoder 'winer'; did you mean 'winner'?"),
        ("winner", Discrete(2), {"group": 3}, "decoder winner: unknown setting 'group'; did you mean 'group_size'?"),
        ("population", Discrete(2), {}, "decoder population: decodes Box actions, the world takes Discrete(2); use"),
        ("population", Box(-np.inf, np.inf, (1,)), {}, "decoder population: needs actions with bounds"),
        ("winner", FORCE, {}, "decoder winner: decodes Discrete actions, the world takes Box(-3.0, 3.0, (1,), float3"),
        ("softmax", MultiBinary(2), {}, "decoder softmax: decodes Discrete actions, or Box actions with levels"),
        ("winner", Discrete(2), {"levels": (0, 1)}, "decoder winner: levels are for Box actions"),
        ("winner", FORCE, {"levels": (-4, 0)}, "decoder winner: levels must lie in the world's actions"),
        ("winner", TORQUES, {"levels": (0, 1)}, "decoder winner: levels must have 6 numbers each"),
    ],
)
def test_mistakes_are_one_line(name, space, settings, message):
    with pytest.raises(ConfigError) as caught:
        make_decoder(name, space, **settings)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


class FirstDecoder:
    """A third party's: always action 0."""

    size = 1

    def decode(self, counts, num_steps, uniform, last=None):
        return torch.zeros(len(counts), dtype=torch.int64)

    def groups(self, action):
        return torch.ones(len(action), 1, dtype=torch.bool)


def test_third_parties_add_theirs(monkeypatch):
    monkeypatch.setattr("snn_plasticity_gym.networks.decoder_registry.DECODERS", dict(DECODERS))
    register_decoder("first", lambda space, device: FirstDecoder())
    assert make_decoder("first", Discrete(2)).decode(torch.ones(2, 1), 1, RowUniforms([])).tolist() == [0, 0]
    register_decoder("half", lambda space, device: WinnerDecoder.__new__(WinnerDecoder))
    with pytest.raises(ConfigError, match="decoder half: its `size` must be a positive number of neurons"):
        make_decoder("half", Discrete(2))
    with pytest.raises(ConfigError, match="already"):
        register_decoder("winner", FirstDecoder)
    assert decoder_settings("population") == ("group_size", "gain")
