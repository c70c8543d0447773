"""Eligibility: weight changes held back until the reward tells what they are worth.

    e <- e exp(-dt / tau_e) + change        at every step, with the changes that the events of the step ask for
    w <- clip(w + (R - mean R) e)           at the end of the image; then e = 0

The eligibility trace of reward-modulated plasticity (Izhikevich, Solving the distal reward problem through linkage of
STDP and dopamine signaling, 2007, eqs. 1 and 2) with one reward an image. A change of step t is multiplied once by
exp(-(T - 1 - t) dt / tau_e), which comes to the same as decaying every trace at every step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from snn_plasticity_gym.config.environments import EnvironmentConfig
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.plasticity.reward_surprise import RewardSurprise
from snn_plasticity_gym.utils.state import State


class Eligibility:
    """Eligibility traces of all synapses of B lifetimes.

    Args:
        config: Settings.
        network: Whose weights are changed.
    """

    def __init__(self, config: EnvironmentConfig, network: Network) -> None:
        self._network = network
        self._surprise = RewardSurprise(network.num_networks, config.reward_window, network.device)
        ages = range(config.num_steps - 1, -1, -1)
        self.keep = torch.tensor([math.exp(-age * config.dt / config.tau_eligibility) for age in ages])  # (T,)
        self.traces = torch.zeros_like(network.weights)  # one per weight, at the address of the weight

    def start_lifetime(self, row: int) -> None:
        """Begin lifetime `row` anew."""
        self._surprise.forget(row)
        for projection in self._network.projections:
            if projection.plasticity is not None:
                self._network.part(self.traces, projection.name)[row] = 0.0

    def state_dict(self) -> State:
        """Return what is carried from image to image: the rewards' means. Traces are empty between images."""
        return self._surprise.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`."""
        self._surprise.load_state_dict(state)

    def hold(self, synapse: Tensor, change: Tensor, step: int) -> None:
        """Add the changes (E,) that events of a step ask for, at the addresses `synapse` (E,), each only once."""
        self.traces[synapse] += float(self.keep[step]) * change

    def release(self, rows: Tensor, rewards: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Turn the traces of the lifetimes `rows` into weight changes, by their rewards (R,), and empty them.

        Yields:
            Of each plastic projection, its policy head and the changes of the synapses that had a trace, (S,).
        """
        surprise = self._surprise(rows, rewards)  # (R,)
        for projection in self._network.projections:
            plasticity = projection.plasticity
            if plasticity is None:
                continue
            weights, traces = (
                self._network.part(whole, projection.name) for whole in (self._network.weights, self.traces)
            )
            before = weights[rows]  # (R, n_pre, n_post)
            held = traces[rows]
            after = (before + surprise.view(-1, 1, 1) * held).clamp(plasticity.w_min, plasticity.w_max)
            after = torch.where(held == 0, before, after)
            weights[rows] = after
            traces[rows] = 0.0
            yield plasticity.group, (after - before)[held != 0]
