"""Winner-take-all groups of a population: in each step one neuron of each group spikes, sampled by potentials.

Potentials are sums of postsynaptic potentials that decay with the membrane (`lif.integrate`): there is no threshold, no
reset and no refractory period. Neuron k of a group has the probability

    p_k = exp(V_k / width) / sum_j exp(V_j / width)                                                      (softmax)

to spike (Yang et al., Variational policy gradients in recurrent winner-take-all networks, 2022).
Written as the spike probability of a neuron with escape noise, p_k = 1 / (1 + exp((L_k - V_k) / width)), where

    L_k = width log sum_{j != k} exp(V_j / width)

is a soft maximum of the others of its group, an effective threshold. It replaces V_th + theta in local scalars,
so the local scalar `potential` is (L_k - V_k) / (V_th - V_rest), the distance to probability 1/2, and the rule `svpg`
with a width of width / (V_th - V_rest) is the exact score of the softmax.

Random numbers are a function of a key for each network and episode, the step and the group, see `kernels/groups.py`:
a network's samples do not depend on others, on the device, or on the implementation.

Axes: R networks of a call, N neurons, G groups, d neurons of a group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.kernels.groups import FIRST, GOLDEN, LEAST, SECOND, UNIT, group_loop
from snn_plasticity_gym.networks.lif import LIFParams, LIFState, integrate, lif_constants


class Groups(NamedTuple):
    """Neurons 0 to size - 1 of a population are a group, the next `size` are the next one, and so on."""

    size: int  # d, at least 2; divides the neurons of the population
    width: float = 1.0  # of the softmax, in units of potentials: mV, or dimensionless


class Moved(NamedTuple):
    """Result of a population's step."""

    spikes: Tensor  # bool (R, N)
    potential: Tensor  # (R, N) mV, before the reset, if there is one
    above: Tensor  # (R, N) mV, threshold minus v_th; of groups, the effective one
    state: LIFState  # the next one


class Draws:
    """Random keys and counters of networks with groups.

    Args:
        sizes: Neurons of each population, in order.
        num_networks: B.
        device: Of the keys.
    """

    def __init__(self, sizes: Mapping[str, int], num_networks: int, device: torch.device) -> None:
        self.keys = torch.zeros(num_networks, dtype=torch.int64, device=device)  # (B,) bits of a uint64 each
        self._steps = torch.zeros(num_networks, dtype=torch.int64, device=device)  # (B,) since the key was set
        starts = np.cumsum([0, *sizes.values()]).tolist()
        self.starts = dict(zip(sizes, starts, strict=False))
        self.stride: int = starts[-1]

    def begin(self, rows: Tensor, keys: Iterable[int]) -> None:
        """Set new keys of the networks `rows` (R,), in [0, 2^64) each, and reset their counters."""
        bits = np.fromiter(keys, dtype=np.uint64, count=len(rows)).view(np.int64)  # (R,)
        self.keys[rows] = torch.from_numpy(bits).to(self.keys.device)
        self._steps[rows] = 0

    def of(self, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return key and step of the networks `rows`, int64 (R,) each; None: of all."""
        return (self.keys, self._steps) if rows is None else (self.keys[rows], self._steps[rows])

    def go_on(self, rows: Tensor | None) -> None:
        """Advance the counters of the networks `rows` by a step."""
        self._steps[slice(None) if rows is None else rows] += 1


def uniforms(keys: Tensor, places: Tensor) -> Tensor:
    """Return the uniform number in [0, 1) of each key (R,) at each place (R, G), float64 (R, G).

    Products of int64 keep the lowest 64 bits, as those of uint64 do.
    """
    golden, first, second = (int(constant.view(np.int64)) for constant in (GOLDEN, FIRST, SECOND))
    z = keys.unsqueeze(1) + places * golden
    z = (z ^ _shifted(z, 30)) * first
    z = (z ^ _shifted(z, 27)) * second
    z = z ^ _shifted(z, 31)
    return _shifted(z, 11).double() * UNIT


def _shifted(bits: Tensor, places: int) -> Tensor:
    """Shift right as unsigned integers."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def draw(potential: Tensor, numbers: Tensor, groups: Groups, v_th: float) -> tuple[Tensor, Tensor]:
    """Sample the spiking neuron of each group.

    Args:
        potential: (R, N).
        numbers: Uniform in [0, 1), float64 (R, G): a group's neuron is the first with cumulative probability above it.
        groups: Size and width.
        v_th: Reference threshold of the second result.

    Returns:
        Spikes, bool (R, N), and L - v_th, (R, N), see above.
    """
    grouped = potential.double().unflatten(1, (-1, groups.size))  # (R, G, d)
    highest = grouped.amax(dim=2, keepdim=True)  # (R, G, 1)
    chance = torch.exp((grouped - highest) / groups.width)  # (R, G, d)
    reached = chance.cumsum(dim=2)
    above = reached > numbers.unsqueeze(2) * reached[..., -1:]
    above[..., -1] = True  # where rounding leaves none
    winner = above.to(torch.uint8).argmax(dim=2, keepdim=True)  # (R, G, 1) the first
    spikes = torch.zeros_like(above).scatter_(2, winner, torch.ones_like(winner, dtype=torch.bool))
    # Sums of those before and of those after: no difference of large numbers is taken.
    nothing = torch.zeros_like(highest)
    before = torch.cat([nothing, reached[..., :-1]], dim=2)
    after = torch.cat([chance.flip(2).cumsum(dim=2).flip(2)[..., 1:], nothing], dim=2)
    others = (before + after).clamp(min=LEAST)
    threshold = highest + groups.width * others.log() - v_th
    return spikes.flatten(1), threshold.flatten(1).to(potential.dtype)


def step(
    current: Tensor, state: LIFState, lif: LIFParams, dt: float, groups: Groups, keys: Tensor, places: Tensor
) -> Moved:
    """Advance a population of groups by a step of `dt` ms.

    Args:
        current: As in `lif.lif_step`, (R, N).
        state: The population before the step.
        lif: tau_mem, v_rest, resistance and v_min are used; v_th is only a unit.
        dt: Step in ms.
        groups: Size and width.
        keys: Of each network, int64 (R,).
        places: Of its first group's random number, int64 (R,).
    """
    potential = integrate(current, state, lif, dt)
    first = torch.arange(0, potential.shape[1], groups.size, device=potential.device)  # (G,)
    spikes, above = draw(potential, uniforms(keys, places.unsqueeze(1) + first), groups, lif.v_th)
    return Moved(spikes, potential, above, state._replace(v=potential.clone()))


def advance(
    name: str,
    groups: Groups,
    current: Tensor,
    state: LIFState,
    lif: LIFParams,
    dt: float,
    draws: Draws,
    rows: Tensor | None,
    loops: bool,
) -> Moved:
    """Advance population `name` of the networks `rows`, by compiled loops or torch operations, with equal results."""
    keys, steps = draws.of(rows)  # (R,) each
    if not loops:
        return step(current, state, lif, dt, groups, keys, steps * draws.stride + draws.starts[name])
    v = state.v.clone()
    potential, above, spikes = torch.empty_like(v), torch.empty_like(v), torch.empty_like(v, dtype=torch.bool)
    numbers = current.numpy()
    group_loop(
        numbers,
        v.numpy(),
        lif_constants(lif, dt, numbers.dtype),
        keys.numpy().view(np.uint64),
        steps.numpy(),
        draws.starts[name],
        draws.stride,
        groups.size,
        groups.width,
        np.empty(groups.size),
        *(part.numpy() for part in (potential, above, spikes)),
    )
    return Moved(spikes, potential, above, state._replace(v=v))
