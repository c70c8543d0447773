"""The Diehl-Cook network: its wiring, where its constants come from, and that its defaults keep it alive."""

import os
from dataclasses import fields

import numpy as np
import pytest
import torch

from snn_plasticity_gym.config.environments import Unsup1Config
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.envs.making import make_engine
from snn_plasticity_gym.networks.diehl_cook import diehl_cook, input_gain
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Plasticity, Population, Projection

CPU = torch.device("cpu")
REAL_DATA = os.environ.get("SNN_PLASTICITY_DATA")


def test_every_setting_reaches_its_place() -> None:
    config = Unsup1Config(
        n_exc=7,
        gain_input_exc=1.1,
        gain_exc_inh=1.2,
        gain_inh_exc=1.3,
        w_exc_init_min=0.11,
        w_exc_init_max=0.12,
        w_exc_init_power=2.5,
        w_exc_max=0.9,
        w_exc_sum=1.9,
        exc_norm="l2",
        w_inh_init_min=-0.22,
        w_inh_init_max=-0.21,
        w_inh_min=-0.8,
        exc_tau_mem=51.0,
        exc_v_rest=-71.0,
        exc_v_reset=-72.0,
        exc_v_th=-41.0,
        exc_resistance=52.0,
        exc_refractory=3.5,
        exc_theta_plus=0.06,
        exc_tau_theta=1e5,
        exc_one_spike=True,
        inh_tau_mem=21.0,
        inh_v_rest=-61.0,
        inh_v_reset=-62.0,
        inh_v_th=-31.0,
        inh_resistance=22.0,
        inh_refractory=4.5,
        eta_exc=0.02,
        eta_inh=0.03,
        alpha_unsup=0.5,
    )
    populations, projections = diehl_cook(config, n_input=5, groups=(4, 6))
    exc = LIFParams(51.0, -71.0, -72.0, -41.0, 52.0, 3.5, 0.06, 1e5, True)
    inh = LIFParams(21.0, -61.0, -62.0, -31.0, 22.0, 4.5)
    assert populations == [Population("input", 5), Population("exc", 7, exc), Population("inh", 7, inh)]
    forward = Projection(
        "input_to_exc",
        "input",
        "exc",
        gain=1.1,
        initial=(0.11, 0.12),
        initial_power=2.5,
        weight_norm=1.9,
        norm_order=2,
        plasticity=Plasticity(4, 0.02 * 0.5, 0.0, 0.9),
    )
    up = Projection("exc_to_inh", "exc", "inh", gain=1.2, one_to_one=True)
    back = Projection(
        "inh_to_exc",
        "inh",
        "exc",
        gain=1.3,
        autapses=False,
        recurrent=True,
        initial=(-0.22, -0.21),
        plasticity=Plasticity(6, 0.03 * 0.5, -0.8, 0.0),
    )
    assert projections == [forward, up, back]
    assert {field.name for field in fields(Projection)} == set(vars(forward))  # all were compared


@pytest.mark.parametrize(("n_input", "gain"), [(784, 0.8), (196, 3.2), (49, 12.8), (1568, 0.4)])
def test_the_gain_follows_the_number_of_inputs_unless_it_is_set(n_input: int, gain: float) -> None:
    _, projections = diehl_cook(Unsup1Config(n_exc=2), n_input, groups=(0, 0))
    assert projections[0].gain == pytest.approx(gain, rel=1e-15)
    _, projections = diehl_cook(Unsup1Config(n_exc=2, gain_input_exc=1.5), n_input, groups=(0, 0))
    assert projections[0].gain == 1.5


def test_with_784_inputs_the_gain_is_what_it_was_to_the_last_bit() -> None:
    assert input_gain(Unsup1Config(), 784) == 0.8


def test_a_sum_of_weights_that_so_many_inputs_cannot_have_is_refused() -> None:
    """Of images whose size is known with their data set only."""
    config = Unsup1Config(n_exc=2, dataset="mine.npz", w_exc_sum=30.0)
    with pytest.raises(ConfigError, match=r"w_exc_sum must be at most 25 .* 25 inputs .* got 30"):
        diehl_cook(config, 25, groups=(0, 0))
    assert diehl_cook(config, 30, groups=(0, 0))


@pytest.fixture
def three() -> Network:
    """Three E neurons with default constants; two inputs."""
    populations, projections = diehl_cook(Unsup1Config(n_exc=3, gain_input_exc=0.8), n_input=2, groups=(0, 0))
    network = Network(populations, projections, 1, 1.0, CPU)
    network.grow(0, np.random.default_rng(0))
    network.rest(torch.tensor([0]))
    return network


def test_inhibition_is_lateral_and_a_step_late(three: Network) -> None:
    config = Unsup1Config()
    three.states["exc"].v[0, 1] = -45.0  # above threshold
    silence = {"input": torch.zeros(1, 2, dtype=torch.bool)}
    activity = three.advance(silence)
    assert activity.spikes["exc"].tolist() == [[False, True, False]]
    assert activity.spikes["inh"].tolist() == [[False, True, False]]  # its own I neuron, at once
    assert three.states["exc"].v.tolist() == [[-65.0, -65.0, -65.0]]
    assert not three.advance(silence).spikes["exc"].any()
    per_unit = config.exc_resistance / config.exc_tau_mem  # mV at dt = 1 ms
    weight = float(three.weights_of("inh_to_exc")[0, 1, 0])
    assert config.w_inh_init_min <= weight <= config.w_inh_init_max
    inhibited = -65.0 + per_unit * config.gain_inh_exc * weight
    assert inhibited < -65.5
    assert three.states["exc"].v[0].tolist() == pytest.approx([inhibited, -65.0, inhibited])


def test_an_input_spike_charges_e_in_the_same_step(three: Network) -> None:
    config = Unsup1Config()
    three.advance({"input": torch.tensor([[False, True]])})
    weights = three.weights_of("input_to_exc")[0, 1].tolist()
    per_unit = config.exc_resistance / config.exc_tau_mem
    expected = [-65.0 + per_unit * 0.8 * weight for weight in weights]
    assert three.states["exc"].v[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    "dataset",
    [
        "digits",
        pytest.param("mnist", marks=pytest.mark.skipif(not REAL_DATA, reason="SNN_PLASTICITY_DATA is not set")),
    ],
)
def test_the_default_network_is_alive(dataset: str) -> None:
    """Fresh weights, no learning: an image makes E fire, mostly 5 to 50 times, never not at all, never everyone."""
    lifetimes, images = 32, 4
    engine = make_engine("SNNPlastic-Unsup1-v0", Unsup1Config(dataset=dataset, image_pool=0), lifetimes)
    every = list(range(lifetimes))
    engine.start_lifetimes(every, every)
    totals, active, busiest = [], [], []
    for _ in range(images):
        engine.begin(every)
        for step in range(engine.num_steps):
            activity = engine.network.advance({"input": engine.raster["input"][:, step]})
            engine.raster["exc"][:, step] = activity.spikes["exc"]
        raster = engine.raster["exc"]  # (B, T, N)
        totals += raster.sum(dim=(1, 2)).tolist()
        active += raster.any(dim=1).sum(dim=1).tolist()
        busiest += raster.sum(dim=1).amax(dim=1).tolist()
    report = (
        f"E spikes per image {np.percentile(totals, [0, 5, 25, 50, 75, 95, 100])}, "
        f"E neurons that fired {np.percentile(active, [0, 5, 25, 50, 75, 95, 100])} "
        "(min, 5, 25, 50, 75, 95 %, max)"
    )
    n_exc = engine.config.n_exc  # type: ignore[attr-defined]
    assert min(totals) >= 1, report
    assert max(active) < n_exc, report
    assert np.mean(active) < n_exc / 4, report  # sparse
    assert 5 <= np.median(totals) <= 50, report
    assert np.mean([5 <= total <= 50 for total in totals]) >= 0.75, report
    assert max(busiest) < engine.num_steps / 2, report  # nobody fires without pause
