"""The gradient task: each event is rewarded for alignment with the negative gradient of the network's loss."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.config.base import PHASES
from snn_plasticity_gym.config.environments import GradConfig
from snn_plasticity_gym.kernels.tables import ImageRecord, Learning, Networks
from snn_plasticity_gym.kernels.teacher import NUM_SUMS, walk_back
from snn_plasticity_gym.networks.feedforward import INPUT, OUTPUT, classifier, lif_params
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.surrogate import derivative
from snn_plasticity_gym.plasticity.event_log import WrittenEvents, by_projection, rewind
from snn_plasticity_gym.rewards.gradient import Adjoint, alignment_reward, loss_and_output_gradient
from snn_plasticity_gym.rewards.result import RewardResult
from snn_plasticity_gym.rewards.winner import winner
from snn_plasticity_gym.tasks.base import places_of
from snn_plasticity_gym.tasks.image_task import Episode, ImageTask, Verdict


class GradientTask(ImageTask):
    """Feed-forward network, one policy head, layer scalar in the state, a reward for every event.

    An event of synapse ij at step t with weight change dw = eta * delta_d is rewarded with -g dw - lambda dw^2, where
    g = s_i(t) delta_j(t) is the gradient of the episode's loss by the weight at that step (`rewards/gradient.py`).
    The episode's reward is the mean over its events.

    Args:
        config: Settings.
        num_lifetimes: B.
        device: Of the tensors.
    """

    config: GradConfig
    judge_by: ClassVar[str] = "classifier"
    input_name = INPUT
    readout = OUTPUT
    scalars = ("layer",)
    rewards_events = needs_potentials = teaches = True

    def __init__(self, config: GradConfig, num_lifetimes: int, device: torch.device) -> None:
        super().__init__(config, num_lifetimes, device)
        self.groups = ["grad"]
        self._params = lif_params(config)
        self.populations, self.projections = classifier(config, self.n_input, self.dataset.num_classes)
        self.layer_scalars = config.layer_scalars
        self._curve = derivative(config.surrogate, config.surrogate_width)
        self._sums = np.zeros((num_lifetimes, NUM_SUMS, len(self.projections)))  # of episodes run at once

    def remedy(self, population: str) -> str:
        """Return a remedy for a silent population."""
        return super().remedy(population) if population == INPUT else "raise w_init, max_rate or num_steps"

    def judge(self, episode: Episode) -> Verdict:
        """Reward the weight changes by their alignment with the gradient."""
        config = self.config
        counts = episode.raster[OUTPUT].sum(dim=1, dtype=torch.float32)  # (R, C)
        loss, output_gradient = loss_and_output_gradient(counts, episode.labels, config.alpha_softmax, config.duration)
        rewards: list[Tensor] | None = None
        if episode.counted:
            alignment = _Alignment(torch.from_numpy(self._sums))
        else:
            alignment, rewards = self._walk_back(episode, output_gradient)
        terms = {
            "loss": loss,
            "accuracy": (counts.argmax(dim=1) == episode.labels).to(loss.dtype),
            **alignment.terms(config.penalty),
            **self._active(episode),
        }
        result = RewardResult(terms["alignment"] - terms["penalty"], terms, rewards)
        return Verdict(result, winner(episode.spikes_of(OUTPUT)))

    def _walk_back(self, episode: Episode, output_gradient: Tensor) -> tuple[_Alignment, list[Tensor]]:
        """Backpropagate `output_gradient` (R, C) through an episode; return the alignment and every event's reward."""
        config, written, network = self.config, episode.written, self.record.network
        spikes = {name: raster.to(network.weights.dtype) for name, raster in episode.raster.items()}  # (R, T, N)
        adjoint = Adjoint(self._params, config.dt, [p.gain for p in self.projections], self._curve)
        place = places_of(episode.rows, self.num_lifetimes)
        all_networks = len(episode.rows) == network.num_networks
        rewards: list[Tensor] = [torch.empty(0)] * len(written)
        alignment = _Alignment(
            torch.zeros(
                len(episode.rows), NUM_SUMS, len(self.projections), dtype=torch.float64, device=output_gradient.device
            )
        )
        for step, places in rewind(network, written, config.num_steps):
            weights = [network.weights_of(p.name) for p in self.projections]  # (B, n_pre, n_post)
            if not all_networks:
                weights = [layer[episode.rows] for layer in weights]
            potentials = [episode.potentials[p.target][:, step] for p in self.projections]  # (R, N)
            deltas = adjoint.step(potentials, weights, output_gradient)
            for index in places:
                entry = written[index]
                spikes_now = {name: raster[:, step] for name, raster in spikes.items()}  # (R, N)
                row, gradient = self._gradients(entry, network, place, spikes_now, deltas)
                rewards[index] = alignment_reward(gradient, entry.change, config.penalty)
                alignment.add(row, entry.projection, gradient, entry.change)
        return alignment, rewards

    def teach(self, row: int, networks: Networks, learning: Learning, record: ImageRecord) -> None:
        """Backpropagate through an episode run at once, and sum its events by projection."""
        if not record.num_events[row]:  # no plasticity, or no spikes
            self._sums[row] = 0.0
            return
        config, raster = self.config, record.raster[row]
        potentials = torch.from_numpy(record.trail.potentials)  # (T, N)
        counts = torch.from_numpy(raster[:, -self.dataset.num_classes :]).sum(dim=0, dtype=torch.float32)  # (C,)
        label = torch.tensor([self.shown(row).label])
        gradient = loss_and_output_gradient(counts[None], label, config.alpha_softmax, config.duration)[1][0]  # (C,)
        curve = self._curve(potentials - self._params.v_th).numpy()  # (T, N)
        layers = np.arange(len(self.projections))
        walk_back(
            row, networks, layers, raster, record.trail, curve, gradient.numpy(), learning.at_pre, self._sums[row]
        )

    def _gradients(
        self, events: WrittenEvents, network: Network, place: Tensor, spikes: dict[str, Tensor], deltas: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return row of the call, int64, and gradient g = s_i(t) delta_j(t) of each event, (E,) both."""
        row, gradient = torch.empty_like(events.synapse), torch.empty_like(events.change)
        layers = by_projection(events, network, self.projections)
        for delta, (projection, mine, lifetime, pre, post) in zip(deltas, layers, strict=True):
            row[mine] = place[lifetime]
            gradient[mine] = spikes[projection.source][row[mine], pre] * delta[row[mine], post]
        return row, gradient

    def _active(self, episode: Episode) -> dict[str, Tensor]:
        """Return the share of each layer's synapses that had an event in the episode, (R,) each."""
        fired = {name: spikes.any(dim=1).double().mean(dim=1) for name, spikes in episode.raster.items()}  # (R,)
        sides = {side for phase in PHASES[self.config.event_kinds] for side in phase}
        plastic = ~self.record.network.non_plastic.to(episode.rows.device)[episode.rows]  # (R,)
        terms = {}
        for layer, projection in enumerate(self.projections):
            pre, post = (
                fired[name] if side in sides else 0.0
                for name, side in ((projection.source, False), (projection.target, True))
            )
            terms[f"active_{layer + 1}"] = ((1 - (1 - pre) * (1 - post)) * plastic).float()
        return terms


class _Alignment:
    """Alignment of weight changes with the negative gradient, in R lifetimes and L layers.

    Args:
        sums: As those of `kernels/teacher.walk_back`, float64 (R, 6, L).
    """

    def __init__(self, sums: Tensor) -> None:
        self._sums = sums

    def add(self, row: Tensor, layer: Tensor, gradient: Tensor, change: Tensor) -> None:
        """Add events of the given rows (E,) and layers (E,)."""
        num_lifetimes, _, num_layers = self._sums.shape
        cell = row * num_layers + layer  # (E,)
        gradient, change = gradient.double(), change.double()  # squares of small ones are 0 in single precision
        both_nonzero = (gradient != 0) & (change != 0)
        columns = (
            torch.ones_like(change),
            -gradient * change,
            gradient.square(),
            change.square(),
            both_nonzero,
            both_nonzero & (gradient.sign() == -change.sign()),
        )
        for total, column in zip(self._sums.unbind(dim=1), columns, strict=True):
            total += torch.bincount(cell, column.double(), num_lifetimes * num_layers).view_as(total)

    def terms(self, penalty: float) -> dict[str, Tensor]:
        """Return the parts of the reward, and sign agreement and cosine with -g of each layer; (R,) each."""
        count, product, gradients, changes, both_nonzero, agree = self._sums.unbind(dim=1)  # (R, L) each
        events = count.sum(dim=1).clamp(min=1)
        terms = {"alignment": product.sum(dim=1) / events, "penalty": penalty * changes.sum(dim=1) / events}
        for layer in range(self._sums.shape[2]):
            terms[f"sign_agreement_{layer + 1}"] = agree[:, layer] / both_nonzero[:, layer]  # NaN without a gradient
            terms[f"cosine_{layer + 1}"] = product[:, layer] / (gradients[:, layer] * changes[:, layer]).sqrt()
        return {name: values.float() for name, values in terms.items()}
