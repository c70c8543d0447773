"""Third factors: task-related modulators of plasticity, in addition to pre- and postsynaptic spikes and weight.

A factor is one scalar per postsynaptic neuron and step, shared by all incoming synapses of that neuron. The label is
available at the output neurons k = 0 ... 9, neuron k for label k, and may be fed back:

    reward     f_j = R' - mean of R before it, R' the reward of the lifetime's last image; 0 on its first two images
    teaching   f_k = [k = y] - 1/10, 0 in hidden layers; a current of f_k times `teaching_current` flows into output
               neuron k. Factors of an image sum to 0: with -1 for every wrong output, a rule proportional to the factor
               silences all of them
    feedback   f_k = e_k = [k = y] - softmax_k(alpha r), r_k the spikes of output k so far per ms so far;
               f_j = sum_k B_kj e_k in hidden layers, B_kj ~ N(0, feedback_scale^2) fixed for the lifetime

Feedback through fixed random weights: Nokland, Direct feedback alignment provides learning in deep neural networks
(2016), eq. 7. Mean reward as baseline: Fremaux, Sprekeler & Gerstner, Functional requirements for
reward-modulated spike-timing-dependent plasticity (2010), eq. 6.

Axes: B lifetimes, R lifetimes of one call, N neurons.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.config.feedforward import SemiConfig
from snn_plasticity_gym.kernels.tables import StepFactor
from snn_plasticity_gym.networks.activity import NetworkActivity
from snn_plasticity_gym.networks.populations import Population, Projection
from snn_plasticity_gym.plasticity.reward_surprise import RewardSurprise
from snn_plasticity_gym.utils.state import State, restore_all


class ThirdFactor:
    """No factor, and the interface of the others; called as in `Task`.

    Args:
        config: Settings.
        populations: Of the network.
        projections: Its projections, all plastic; the last population is the output.
        num_lifetimes: B.
        device: Of the tensors.
    """

    active = False  # whether there is a factor
    bounds = (-math.inf, math.inf)  # of its values

    def __init__(
        self,
        config: SemiConfig,
        populations: Sequence[Population],
        projections: Sequence[Projection],
        num_lifetimes: int,
        device: torch.device,
    ) -> None:
        self._config = config
        self._device = device
        self._output = populations[-1].name
        sizes = {population.name: population.size for population in populations}
        reached = {projection.target for projection in projections}
        self._places = {population.name: place for place, population in enumerate(populations)}
        self._targets = [population.name for population in populations if population.name in reached]
        self._sizes = [sizes[target] for target in self._targets]
        self._factors = [torch.zeros(num_lifetimes, size, device=device) for size in self._sizes]  # (B, N) each

    def start_lifetime(self, row: int, rng: np.random.Generator) -> None:
        """Reset lifetime `row`."""
        for factor in self._factors:
            factor[row] = 0.0

    def state_dict(self) -> State:
        """Return the state carried between steps."""
        return {f"factor_{name}": factor for name, factor in zip(self._targets, self._factors, strict=True)}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        restore_all(self.state_dict(), state)

    def begin(self, rows: Tensor, labels: Tensor) -> None:
        """Start images with the given labels in the lifetimes `rows`, (R,) both."""

    def currents(self, rows: Tensor, step: int | Tensor) -> dict[str, Tensor]:
        """Return the external current into each population of the lifetimes `rows`, (R, N)."""
        return {}

    def observe(self, rows: Tensor, step: int | Tensor, activity: NetworkActivity) -> None:
        """Update the factor from the spikes of a step."""

    def end(self, rows: Tensor, rewards: Tensor) -> None:
        """Update the factor from the rewards (R,) of the image."""

    def by_population(self) -> dict[str, Tensor]:
        """Return the factors of the neurons of each population that has one, (B, N) each."""
        return dict(zip(self._targets, self._factors, strict=True)) if self.active else {}

    def __getstate__(self) -> dict[str, Any]:
        """Exclude views of this object's tensors from copies."""
        return {name: part for name, part in vars(self).items() if name not in ("tables", "_weights")}

    @functools.cached_property
    def tables(self) -> StepFactor:
        """The factor for compiled loops; here it is constant within an image."""
        return self._tables(-1, torch.zeros(len(self._factors[0]), 0))

    def _tables(self, target: int, wanted: Tensor, **others: Any) -> StepFactor:
        steps = self._config.factor_steps or self._config.num_steps
        plain: dict[str, Any] = {
            "teaching": 0.0,
            "sends": False,
            "alpha": 0.0,
            "dt": self._config.dt,
            "reaches": np.zeros(0, dtype=np.int64),
            "offset": np.zeros(0, dtype=np.int64),
            "weights": np.zeros(0, dtype=np.float32),
        }
        return StepFactor(self._config.num_steps - steps, target, wanted.numpy(), **plain | others)

    def _on(self, step: int | Tensor) -> float | Tensor:
        """Return whether the factor is on in a step: 1.0 or 0.0, or (R, 1); a number needs no GPU synchronisation."""
        begin = self._config.num_steps - (self._config.factor_steps or self._config.num_steps)
        return float(step >= begin) if isinstance(step, int) else (step >= begin).unsqueeze(1).float()


class RewardFactor(ThirdFactor):
    """Reward of the lifetime's last image minus the running mean; the same for all synapses."""

    active = True

    def __init__(
        self,
        config: SemiConfig,
        populations: Sequence[Population],
        projections: Sequence[Projection],
        num_lifetimes: int,
        device: torch.device,
    ) -> None:
        super().__init__(config, populations, projections, num_lifetimes, device)
        self._surprise = RewardSurprise(num_lifetimes, config.reward_window, device)

    def start_lifetime(self, row: int, rng: np.random.Generator) -> None:
        """Reset lifetime `row`."""
        super().start_lifetime(row, rng)
        self._surprise.forget(row)

    def state_dict(self) -> State:
        """Return the state carried between steps, and the mean rewards."""
        surprise = {f"reward_{name}": values for name, values in self._surprise.state_dict().items()}
        return super().state_dict() | surprise

    def end(self, rows: Tensor, rewards: Tensor) -> None:
        """Set the factor to the rewards (R,) minus their means."""
        surprise = self._surprise(rows, rewards)  # (R,)
        for factor in self._factors:
            factor[rows] = surprise.unsqueeze(1)


class TeachingFactor(ThirdFactor):
    """A current that drives the output neurons towards the label, also the factor of their synapses."""

    active = True
    bounds = (-1.0, 1.0)

    def __init__(
        self,
        config: SemiConfig,
        populations: Sequence[Population],
        projections: Sequence[Projection],
        num_lifetimes: int,
        device: torch.device,
    ) -> None:
        super().__init__(config, populations, projections, num_lifetimes, device)
        self._teaching = torch.zeros(num_lifetimes, self._sizes[-1], device=device)  # (B, 10) 9/10 or -1/10

    def state_dict(self) -> State:
        """Return the state carried between steps, and the teaching current."""
        return super().state_dict() | {"teaching": self._teaching}

    def begin(self, rows: Tensor, labels: Tensor) -> None:
        """Set the current for the labels (R,)."""
        self._teaching[rows] = _one_hot(labels, self._sizes[-1]) - 1.0 / self._sizes[-1]

    def currents(self, rows: Tensor, step: int | Tensor) -> dict[str, Tensor]:
        """Return the teaching current into the output neurons, (R, 10)."""
        self._factors[-1][rows] = self._teaching[rows] * self._on(step)
        return {self._output: self._config.teaching_current * self._factors[-1][rows]}

    @functools.cached_property
    def tables(self) -> StepFactor:
        """The factor for compiled loops."""
        return self._tables(self._places[self._output], self._teaching, teaching=self._config.teaching_current)


class FeedbackFactor(ThirdFactor):
    """The output error, fed back to hidden layers through fixed random weights."""

    active = True

    def __init__(
        self,
        config: SemiConfig,
        populations: Sequence[Population],
        projections: Sequence[Projection],
        num_lifetimes: int,
        device: torch.device,
    ) -> None:
        super().__init__(config, populations, projections, num_lifetimes, device)
        num_outputs = self._sizes[-1]
        numbers = [num_lifetimes * num_outputs * size for size in self._sizes[:-1]]
        self._all_weights = torch.zeros(sum(numbers), device=device)
        self._offsets = np.cumsum([0, *numbers])[:-1].astype(np.int64)
        self._answers = torch.eye(num_outputs, device=device)  # (10, 10) one-hot target of each label
        self._target = torch.zeros(num_lifetimes, num_outputs, device=device)  # (B, 10)
        self._counts = torch.zeros(num_lifetimes, num_outputs, device=device)  # (B, 10) output spikes of the image

    @functools.cached_property
    def _weights(self) -> list[Tensor]:
        """The B of each hidden layer, (B, 10, N), parts of one tensor."""
        shape = self._target.shape  # (B, 10)
        parts = self._all_weights.split([math.prod(shape) * size for size in self._sizes[:-1]])
        return [part.view(*shape, -1) for part in parts]

    def start_lifetime(self, row: int, rng: np.random.Generator) -> None:
        """Reset lifetime `row`, with new feedback weights."""
        super().start_lifetime(row, rng)
        for weights in self._weights:
            fresh = rng.standard_normal(weights.shape[1:], dtype=np.float32) * self._config.feedback_scale
            weights[row] = torch.from_numpy(fresh)

    def state_dict(self) -> State:
        """Return the state carried between steps, the feedback weights, the label and the counts."""
        weights = {f"weights_{layer}": values for layer, values in enumerate(self._weights, start=1)}
        return super().state_dict() | weights | {"wanted": self._target, "counts": self._counts}

    def begin(self, rows: Tensor, labels: Tensor) -> None:
        """Store the labels (R,)."""
        self._target.index_copy_(0, rows, self._answers.index_select(0, labels))
        self._counts.index_fill_(0, rows, 0.0)

    def observe(self, rows: Tensor, step: int | Tensor, activity: NetworkActivity) -> None:
        """Compute the error of the output so far, and feed it back."""
        self._counts[rows] += activity.spikes[self._output].float()
        steps = step + 1 if isinstance(step, int) else (step + 1).unsqueeze(1)
        rates = self._counts[rows] / (steps * self._config.dt)  # (R, 10) per ms
        error = self._target[rows] - torch.softmax(self._config.alpha_softmax * rates, dim=1)  # (R, 10)
        error *= self._on(step)
        for factor, weights in zip(self._factors, self._weights, strict=False):
            factor[rows] = torch.bmm(error.unsqueeze(1), weights[rows]).squeeze(1)
        self._factors[-1][rows] = error

    @functools.cached_property
    def tables(self) -> StepFactor:
        """The factor for compiled loops."""
        return self._tables(
            self._places[self._output],
            self._target,
            sends=True,
            alpha=self._config.alpha_softmax,
            reaches=np.array([self._places[name] for name in self._targets[:-1]], dtype=np.int64),
            offset=self._offsets,
            weights=self._all_weights.numpy(),
        )


def _one_hot(labels: Tensor, num_classes: int) -> Tensor:
    return torch.nn.functional.one_hot(labels, num_classes).float()


FACTORS: dict[str, type[ThirdFactor]] = {
    "none": ThirdFactor,
    "reward": RewardFactor,
    "teaching": TeachingFactor,
    "feedback": FeedbackFactor,
}
"""Third factors by the name that settings give them."""
