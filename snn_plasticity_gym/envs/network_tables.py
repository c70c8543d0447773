"""Constants of networks as the tables of compiled loops."""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.kernels.tables import Connections, Populations
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import UNLIMITED, pulse


def populations_of(network: Network) -> tuple[Populations, dict[str, slice]]:
    """Return the constants of all populations, and the range of each one's neurons among those of a network."""
    plain = LIFParams()
    params = [population.lif or plain for population in network.populations.values()]
    sizes = np.array([population.size for population in network.populations.values()], dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    places = {
        name: slice(int(start), int(start + size))
        for name, start, size in zip(network.populations, starts, sizes, strict=True)
    }
    single = {
        "leak": [network.dt / p.tau_mem for p in params],
        "v_rest": [p.v_rest for p in params],
        "v_reset": [p.v_reset for p in params],
        "v_th": [p.v_th for p in params],
        "distance": [p.v_th - p.v_rest for p in params],
        "v_min": [p.v_min for p in params],
        "resistance": [p.resistance for p in params],
        "silent_steps": [p.silent_steps(network.dt) for p in params],
        "theta_plus": [p.theta_plus for p in params],
        "theta_decay": [p.threshold_decay(network.dt) for p in params],
    }
    groups = [population.groups for population in network.populations.values()]
    constants = Populations(
        start=starts,
        size=sizes,
        computed=np.array([population.lif is not None for population in network.populations.values()]),
        one_spike=np.array([p.one_spike for p in params]),
        group_size=np.array([some.size if some else 0 for some in groups], dtype=np.int64),
        group_width=np.array([some.width if some else 1.0 for some in groups], dtype=np.float64),
        of_neuron=np.repeat(np.arange(len(sizes)), sizes),
        **{name: np.array(values, dtype=np.float32) for name, values in single.items()},
    )
    return constants, places


def connections_of(network: Network) -> Connections:
    """Return the constants of all projections."""
    index = {name: place for place, name in enumerate(network.populations)}
    projections = network.projections
    single = {
        "gain": [pulse(p.gain, network.dt) for p in projections],
        "scale": [p.plasticity.scale if p.plasticity else 0.0 for p in projections],
        "low": [(p.plasticity or UNLIMITED).w_min for p in projections],
        "high": [(p.plasticity or UNLIMITED).w_max for p in projections],
    }
    return Connections(
        source=np.array([index[p.source] for p in projections], dtype=np.int64),
        target=np.array([index[p.target] for p in projections], dtype=np.int64),
        offset=np.array([network.offsets.get(p.name, 0) for p in projections], dtype=np.int64),
        one_to_one=np.array([p.one_to_one for p in projections]),
        autapses=np.array([p.autapses for p in projections]),
        recurrent=np.array([p.recurrent for p in projections]),
        plastic=np.array([p.plasticity is not None for p in projections]),
        head=np.array([p.plasticity.group if p.plasticity else 0 for p in projections], dtype=np.int64),
        norm=np.array([p.weight_norm for p in projections], dtype=np.float64),
        norm_order=np.array([p.norm_order for p in projections], dtype=np.float64),
        **{name: np.array(values, dtype=np.float32) for name, values in single.items()},
    )
