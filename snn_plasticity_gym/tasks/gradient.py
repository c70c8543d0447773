"""The gradient task: each event is rewarded for following the gradient of the network's loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from snn_plasticity_gym.config.environments import GradConfig
from snn_plasticity_gym.networks.feedforward import INPUT, OUTPUT, classifier, lif_params
from snn_plasticity_gym.networks.network import Network, Projection
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
        device: Where tensors live.
    """

    config: GradConfig
    judge_by: ClassVar[str] = "classifier"
    input_name = INPUT
    readout = OUTPUT
    scalars = ("layer",)
    rewards_events = needs_potentials = True

    def __init__(self, config: GradConfig, num_lifetimes: int, device: torch.device) -> None:
        super().__init__(config, num_lifetimes, device)
        self.groups = ["grad"]
        self._params = lif_params(config)
        self.populations, self.projections = classifier(config, self.n_input, self.dataset.num_classes)
        self.layer_scalars = config.layer_scalars

    def remedy(self, population: str) -> str:
        """Return what helps where a population is silent."""
        return super().remedy(population) if population == INPUT else "raise w_init, max_rate or num_steps"

    def judge(self, episode: Episode) -> Verdict:
        """Walk the episode backwards with the teacher, and reward every event."""
        config, written, network = self.config, episode.written, self.record.network
        num_lifetimes, num_layers = len(episode.rows), len(self.projections)
        spikes = {name: raster.to(network.weights.dtype) for name, raster in episode.raster.items()}  # (R, T, N)
        counts = spikes[OUTPUT].sum(dim=1)  # (R, C)
        loss, output_gradient = loss_and_output_gradient(counts, episode.labels, config.alpha_softmax, config.duration)
        curve = derivative(config.surrogate, config.surrogate_width)
        adjoint = Adjoint(self._params, config.dt, [p.gain for p in self.projections], curve)
        place = places_of(episode.rows, self.num_lifetimes)
        everyone = num_lifetimes == network.num_networks
        rewards: list[Tensor] = [torch.empty(0)] * len(written)
        alignment = _Alignment(num_lifetimes, num_layers, counts.device)
        for step, places in rewind(network, written, config.num_steps):
            weights = [network.weights_of(p.name) for p in self.projections]  # (B, n_pre, n_post)
            if not everyone:
                weights = [layer[episode.rows] for layer in weights]
            potentials = [episode.potentials[p.target][:, step] for p in self.projections]  # (R, N)
            deltas = adjoint.step(potentials, weights, output_gradient)
            for index in places:
                entry = written[index]
                spikes_now = {name: raster[:, step] for name, raster in spikes.items()}  # (R, N)
                row, gradient = self._gradients(entry, network, place, spikes_now, deltas)
                rewards[index] = alignment_reward(gradient, entry.change, config.penalty)
                alignment.add(row, entry.projection, gradient, entry.change)
        terms = {
            "loss": loss,
            "accuracy": (counts.argmax(dim=1) == episode.labels).to(loss.dtype),
            **alignment.terms(config.penalty),
            **_active(written, network, self.projections, episode.rows),
        }
        result = RewardResult(terms["alignment"] - terms["penalty"], terms, rewards)
        return Verdict(result, winner(episode.spikes_of(OUTPUT)))

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


class _Alignment:
    """How well the changes of each lifetime and layer follow the negative gradient."""

    def __init__(self, num_lifetimes: int, num_layers: int, device: torch.device) -> None:
        self._shape = (num_lifetimes, num_layers)
        self._sums = torch.zeros(6, num_lifetimes * num_layers, dtype=torch.float64, device=device)

    def add(self, row: Tensor, layer: Tensor, gradient: Tensor, change: Tensor) -> None:
        """Count events of the given rows (E,) and layers (E,)."""
        cell = row * self._shape[1] + layer  # (E,)
        told = (gradient != 0) & (change != 0)
        columns = (
            torch.ones_like(change),
            -gradient * change,
            gradient.square(),
            change.square(),
            told,
            told & (gradient.sign() == -change.sign()),
        )
        for total, column in zip(self._sums, columns, strict=True):
            total += torch.bincount(cell, column.to(torch.float64), minlength=len(total))

    def terms(self, penalty: float) -> dict[str, Tensor]:
        """Return the parts of the reward, and sign agreement and cosine with -g of each layer; (R,) each."""
        count, product, gradients, changes, told, agree = self._sums.view(6, *self._shape)  # (R, L) each
        events = count.sum(dim=1).clamp(min=1)
        terms = {"alignment": product.sum(dim=1) / events, "penalty": penalty * changes.sum(dim=1) / events}
        for layer in range(self._shape[1]):
            terms[f"sign_agreement_{layer + 1}"] = agree[:, layer] / told[:, layer]  # NaN without a gradient
            terms[f"cosine_{layer + 1}"] = product[:, layer] / (gradients[:, layer] * changes[:, layer]).sqrt()
        return {name: values.float() for name, values in terms.items()}


def _active(
    written: Sequence[WrittenEvents], network: Network, projections: list[Projection], rows: Tensor
) -> dict[str, Tensor]:
    """Return the share of each layer's synapses that had an event in the episode, (R,) each."""
    touched = torch.zeros(len(network.weights), dtype=torch.bool, device=rows.device)
    for entry in written:
        touched[entry.synapse] = True
    terms = {}
    for layer, projection in enumerate(projections):
        start, size = network.offsets[projection.name], network.weights_of(projection.name).numel()
        share = touched[start : start + size].view(network.num_networks, -1).float().mean(dim=1)  # (B,)
        terms[f"active_{layer + 1}"] = share[rows]
    return terms
