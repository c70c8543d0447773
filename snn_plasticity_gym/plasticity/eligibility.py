"""Eligibility traces: weight changes are applied when a reward or third factor arrives.

    e <- e exp(-dt / tau_e) + change    at every step, with the weight changes of the step's events
    w <- clip(w + m e)                  at each reward; e = 0 at the end of an episode

The eligibility trace of reward-modulated plasticity (Izhikevich, Solving the distal reward problem through linkage of
STDP and dopamine signaling, 2007, eqs. 1 and 2). The modulator m is R - mean R, or the third factor of the postsynaptic
neuron. Rewards arrive every `window` steps: a change of step t of a window is multiplied once by
exp(-(window - 1 - t) dt / tau_e), and a whole trace by exp(-window dt / tau_e) when a window ends, which is
equivalent to decaying every trace at every step.

Where a task credits actions (`Task.credits_actions`), the changes of a window get a sign once its action is chosen: +1,
or -1 onto neurons of other actions. Until then they are stored apart from the trace of the windows before, whose
signs are those of earlier actions.

Axes: B lifetimes, R lifetimes of one call.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from snn_plasticity_gym.kernels.weights import release_held
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.plasticity.weight_changes import WeightChanges


class Eligibility:
    """Eligibility traces of all synapses of B lifetimes.

    Args:
        network: The networks.
        window: Steps from one reward to the next.
        dt: Length of a step, ms.
        tau: Time constant of the traces, ms.
        signed: Whether the changes of a window get a sign at its end.
    """

    def __init__(self, network: Network, window: int, dt: float, tau: float, signed: bool = False) -> None:
        self._network = network
        self._plastic = [p for p in network.projections if p.plasticity is not None]
        ages = range(window - 1, -1, -1)
        self._shares = [math.exp(-age * dt / tau) for age in ages]
        self.keep = torch.tensor(self._shares)  # (window,)
        self.left = math.exp(-window * dt / tau)  # share of a trace after a window
        self.traces = torch.zeros_like(network.weights)  # one per weight, at the address of the weight
        self.fresh = torch.zeros_like(network.weights) if signed else self.traces  # changes of the present window

    def begin(self, rows: Tensor) -> None:
        """Start an episode in the lifetimes `rows`: reset their traces."""
        if len(rows) == self._network.num_networks:
            self.traces.zero_()
            self.fresh.zero_()
            return
        for projection in self._plastic:
            for whole in (self.traces, self.fresh):
                self._network.part(whole, projection.name)[rows] = 0.0

    def hold(self, synapse: Tensor, change: Tensor, step: int) -> None:
        """Add the changes (E,) of a step's events, at the addresses `synapse` (E,), each only once."""
        self.fresh[synapse] += self._shares[step % len(self._shares)] * change

    def hold_part(self, projection: str, change: Tensor, step: int) -> None:
        """Add changes of all synapses of a projection, (B, n_pre, n_post), as `hold` does."""
        self._network.part(self.fresh, projection).add_(change, alpha=self._shares[step % len(self._shares)])

    def credit(self, rows: Tensor, signs: Mapping[str, Tensor]) -> None:
        """Add the changes of the window that has ended to the traces of the lifetimes `rows`, with their signs.

        Args:
            rows: Lifetimes, int64 (R,).
            signs: Of the neurons of target populations, (B, N); of all others +1.
        """
        if self.fresh is self.traces:
            return
        for projection in self._plastic:
            traces, fresh = (self._network.part(whole, projection.name) for whole in (self.traces, self.fresh))
            ended = fresh[rows]  # (R, n_pre, n_post)
            if projection.target in signs:
                ended = ended * signs[projection.target][rows].unsqueeze(1)
            traces[rows] += ended
            fresh[rows] = 0.0

    def release(self, rows: Tensor, modulator: Tensor | Mapping[str, Tensor]) -> Iterator[tuple[int, Tensor]]:
        """Apply the traces of the lifetimes `rows` as weight changes; the traces decay by a window.

        Args:
            rows: Lifetimes, int64 (R,).
            modulator: m of each lifetime, (R,), or of the neurons of each target population, (R, N).

        Yields:
            Of each plastic projection, its policy head and the changes of the synapses with a trace, (S,).
        """
        for projection in self._plastic:
            plasticity = projection.plasticity
            assert plasticity is not None
            weights, traces = (
                self._network.part(whole, projection.name) for whole in (self._network.weights, self.traces)
            )
            if isinstance(modulator, Tensor):
                factor = modulator.view(-1, 1, 1)  # (R, 1, 1)
            elif projection.target in modulator:
                factor = modulator[projection.target].unsqueeze(1)  # (R, 1, n_post)
            else:
                continue
            before = weights[rows]  # (R, n_pre, n_post)
            held = traces[rows]
            after = (before + factor * held).clamp(plasticity.w_min, plasticity.w_max)
            after = torch.where(held == 0, before, after)
            weights[rows] = after
            traces[rows] = self.left * held
            yield plasticity.group, (after - before)[held != 0]

    def turn_into_changes(
        self, rows: Tensor, surprise: Tensor, third_factors: Mapping[str, Tensor] | None, changes: WeightChanges
    ) -> None:
        """Apply the traces as in `release`, and count the changes; on the CPU by a compiled loop.

        Args:
            rows: Lifetimes, int64 (R,).
            surprise: Reward of each minus the mean of its earlier rewards, (R,).
            third_factors: Third factors (B, N) by population, which are then m; None: m is the surprise.
            changes: Counts.
        """
        modulator: Tensor | dict[str, Tensor] = surprise
        if third_factors is not None:
            modulator = {name: factor[rows] for name, factor in third_factors.items()}
        if self._network.device.type == "cpu":
            self._by_loop(rows, modulator, changes)
            return
        for head, moved in self.release(rows, modulator):
            changes.add(torch.full_like(moved, head, dtype=torch.int64), moved)

    def _by_loop(self, rows: Tensor, modulator: Tensor | Mapping[str, Tensor], changes: WeightChanges) -> None:
        for projection in self._plastic:
            plasticity = projection.plasticity
            assert plasticity is not None
            if not isinstance(modulator, Tensor) and projection.target not in modulator:
                continue
            weights, held = (
                self._network.part(whole, projection.name) for whole in (self._network.weights, self.traces)
            )
            factor = modulator.unsqueeze(1) if isinstance(modulator, Tensor) else modulator[projection.target]
            factor = factor.expand(len(rows), weights.shape[2]).contiguous()  # (R, n_post)
            sums = changes.sums[:, plasticity.group].numpy()  # (4,)
            limits = plasticity.w_min, plasticity.w_max, self.left
            release_held(weights.numpy(), held.numpy(), rows.numpy(), factor.numpy(), *limits, sums)
