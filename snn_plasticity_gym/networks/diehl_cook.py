"""The two-layer network of Diehl & Cook (2015): input -> E, E -> I one to one, I -> E lateral inhibition."""

from __future__ import annotations

import math

from snn_plasticity_gym.config.environments import UnsupervisedConfig
from snn_plasticity_gym.config.unsupervised import check_norm
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.populations import Plasticity, Population, Projection

INPUT, EXC, INH = "input", "exc", "inh"
NORM_ORDERS = {"l1": 1, "l2": 2}
INPUT_TO_EXC, EXC_TO_INH, INH_TO_EXC = "input_to_exc", "exc_to_inh", "inh_to_exc"


PLAIN_GAIN, PLAIN_INPUTS = 0.8, 784  # at which a network of the default constants fires sparsely


def input_gain(config: UnsupervisedConfig, n_input: int) -> float:
    """Return the gain of input -> E: as set, or such that the total input is independent of the number of inputs."""
    return PLAIN_GAIN * (PLAIN_INPUTS / n_input) if config.gain_input_exc is None else config.gain_input_exc


def diehl_cook(
    config: UnsupervisedConfig, n_input: int, groups: tuple[int, int]
) -> tuple[list[Population], list[Projection]]:
    """Return populations and projections of the network.

    Args:
        config: Sizes, neuron constants, weights and learning rates.
        n_input: Number of input neurons.
        groups: Policy head of the input -> E and of the I -> E synapses.

    Raises:
        ConfigError: The input weights of a neuron cannot have the requested norm.
    """
    check_norm(config, n_input)
    populations = [
        Population(INPUT, n_input),
        Population(
            EXC,
            config.n_exc,
            LIFParams(
                tau_mem=config.exc_tau_mem,
                v_rest=config.exc_v_rest,
                v_reset=config.exc_v_reset,
                v_th=config.exc_v_th,
                resistance=config.exc_resistance,
                refractory=config.exc_refractory,
                theta_plus=config.exc_theta_plus,
                tau_theta=config.exc_tau_theta,
                v_min=-math.inf if config.exc_v_min is None else config.exc_v_min,
                one_spike=config.exc_one_spike,
            ),
        ),
        Population(
            INH,
            config.n_exc,
            LIFParams(
                tau_mem=config.inh_tau_mem,
                v_rest=config.inh_v_rest,
                v_reset=config.inh_v_reset,
                v_th=config.inh_v_th,
                resistance=config.inh_resistance,
                refractory=config.inh_refractory,
            ),
        ),
    ]
    projections = [
        Projection(
            INPUT_TO_EXC,
            INPUT,
            EXC,
            gain=input_gain(config, n_input),
            initial=(config.w_exc_init_min, config.w_exc_init_max),
            initial_power=config.w_exc_init_power,
            weight_norm=config.w_exc_sum,
            norm_order=NORM_ORDERS[config.exc_norm],
            plasticity=Plasticity(groups[0], config.eta_exc * config.alpha_unsup, 0.0, config.w_exc_max),
        ),
        Projection(EXC_TO_INH, EXC, INH, gain=config.gain_exc_inh, one_to_one=True),
        Projection(
            INH_TO_EXC,
            INH,
            EXC,
            gain=config.gain_inh_exc,
            autapses=False,
            recurrent=True,
            initial=(config.w_inh_init_min, config.w_inh_init_max),
            plasticity=Plasticity(groups[1], config.eta_inh * config.alpha_unsup, config.w_inh_min, 0.0),
        ),
    ]
    return populations, projections
