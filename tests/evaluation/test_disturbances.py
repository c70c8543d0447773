"""Disturbances do to weights and inputs what their level says, and to nothing that is not there."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.evaluation.disturbances import DISTURBANCES, Request, read_kind
from snn_plasticity_gym.learners.agents import Connections

OF_WEIGHTS = [name for name, kind in DISTURBANCES.items() if kind.of_weights is not None]
OF_INPUTS = [name for name, kind in DISTURBANCES.items() if kind.of_inputs is not None]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def changed(name, weights, connections, level, seed=0):
    return DISTURBANCES[name].of_weights(weights, connections, level, generator(seed))


@pytest.mark.parametrize("name", OF_WEIGHTS)
def test_pairs_stay_pairs_and_what_is_no_connection_stays_none(name):
    drawn = torch.randn(30, 30, generator=generator(1))
    mask = (torch.rand(30, 30, generator=generator(2)) < 0.5).float()
    mask = torch.triu(mask, 1) + torch.triu(mask, 1).T
    weights = (drawn + drawn.T) * mask
    after = changed(name, weights, Connections(mask, symmetric=True), 0.3)
    assert torch.equal(after, after.T) and not after[mask == 0].any() and not torch.equal(after, weights)
    one_sided = changed(name, weights, Connections(mask), 0.3)
    assert not torch.equal(one_sided, one_sided.T) and not one_sided[mask == 0].any()


def test_levels_are_deviations_bounds_and_shares():
    """A hundred thousand weights of mean size 0.5, of which half are connections."""
    mask = torch.zeros(400, 500)
    mask[:200] = 1
    connections = Connections(mask)
    weights = mask * torch.where(torch.rand(400, 500, generator=generator(1)) < 0.5, 0.2, -0.8)
    size = float(weights.abs().sum() / mask.sum())
    for name, expected in (("weight_gaussian", 0.3), ("weight_gaussian_relative", 0.3 * size)):
        noise = (changed(name, weights, connections, 0.3) - weights)[:200]
        assert float(noise.std()) == pytest.approx(expected, rel=0.02)
        assert float(noise.abs().max()) > 3 * expected
    for name, expected in (("weight_uniform", 0.3), ("weight_uniform_relative", 0.3 * size)):
        noise = (changed(name, weights, connections, 0.3) - weights)[:200]
        assert float(noise.abs().max()) == pytest.approx(expected, rel=1e-3)
        assert float(noise.std()) == pytest.approx(expected / 3**0.5, rel=0.02)
    cut = changed("knock_out", weights, connections, 0.3)[:200]
    assert float((cut == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert torch.equal(cut[cut != 0], weights[:200][cut != 0])


def test_inputs_are_salted_and_peppered_and_stay_in_bounds():
    inputs = torch.full((200, 500), 0.5)

    def shares(name):
        after = DISTURBANCES[name].of_inputs(inputs, 0.2, generator())
        kept = float((after == 0.5).float().mean())
        return [
            round(value, 2) for value in (float((after == 0).float().mean()), kept, float((after == 1).float().mean()))
        ]

    assert shares("salt") == [0.0, 0.8, 0.2]
    assert shares("pepper") == [0.2, 0.8, 0.0]
    assert shares("salt_and_pepper") == [0.1, 0.8, 0.1]
    noisy = DISTURBANCES["input_gaussian"].of_inputs(inputs, 0.1, generator())
    assert float(noisy.std()) == pytest.approx(0.1, rel=0.02)
    for name in OF_INPUTS:
        after = DISTURBANCES[name].of_inputs(torch.rand(50, 50, generator=generator(3)), 1.0, generator())
        assert after.min() >= 0 and after.max() <= 1


def test_kinds_are_read_with_their_levels():
    assert read_kind("salt:0.1:0.2") == Request("salt", (0.1, 0.2))
    assert read_kind("pepper").levels == DISTURBANCES["pepper"].levels
    body = read_kind("world.pole_length:0.5:3")
    assert body == Request("world.pole_length", (0.5, 3.0)) and (body.argument, body.title) == (
        "pole_length",
        "pole length",
    )
    assert all(kind.levels == tuple(sorted(kind.levels)) and kind.levels[0] > 0 for kind in DISTURBANCES.values())


@settings(max_examples=200)
@given(st.sampled_from([*DISTURBANCES, "world.x", "sugar", ""]), st.lists(st.text(":0123456789.-einfa ", max_size=6)))
def test_wrong_kinds_are_refused_in_one_line(name, levels):
    text = ":".join([name, *levels])
    try:
        kind = read_kind(text)
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert kind.name == name and kind.levels and all(abs(level) < float("inf") for level in kind.levels)
        if name in DISTURBANCES:
            assert all(0 < level <= DISTURBANCES[name].most for level in kind.levels)
