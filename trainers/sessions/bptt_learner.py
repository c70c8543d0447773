"""The network and the learner of the BPTT baseline."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from snn_plasticity_gym.config.bptt import BPTTConfig
from snn_plasticity_gym.networks.differentiable import Activity, forward
from snn_plasticity_gym.networks.encoders import poisson_encode
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.surrogate import spike
from snn_plasticity_gym.tasks.datasets import ImageSet
from snn_plasticity_gym.utils.files import atomic_path
from snn_plasticity_gym.utils.state import State, restore

EVAL_SEED = 1_000_000_007  # of the input spikes of every evaluation; far from the seeds that runs draw
EVAL_BATCH = 500  # images at a time where no gradient is needed


class Judgement(NamedTuple):
    """Accuracy, loss and rates of a network on some images."""

    accuracy: float
    loss: float
    rates: list[float]  # spikes per neuron and step, of each layer


class SpikingClassifier:
    """The network with its weights; an image is shown for T steps, the prediction is the neuron with most spikes.

    Args:
        config: Sizes, constants, surrogate.
        num_pixels: Input neurons.
        num_classes: Output neurons.
        rng: Source of the initial weights, N(0, initial_scale^2 / n_pre).
        device: Of the weights.
    """

    def __init__(
        self, config: BPTTConfig, num_pixels: int, num_classes: int, rng: np.random.Generator, device: torch.device
    ) -> None:
        self._config = config
        self._device = device
        self._params = LIFParams(
            tau_mem=config.tau_mem,
            v_rest=config.v_rest,
            v_reset=config.v_reset,
            v_th=config.v_th,
            resistance=config.resistance,
        )
        self._spike = functools.partial(spike, surrogate=config.surrogate, width=config.surrogate_width)
        self.weights = []  # (n_pre, n_post) each
        for n_pre, n_post in itertools.pairwise([num_pixels, *config.hidden_sizes, num_classes]):
            fresh = rng.standard_normal((n_pre, n_post), dtype=np.float32) * (config.initial_scale / n_pre**0.5)
            self.weights.append(torch.from_numpy(fresh.astype(np.float32)).to(device).requires_grad_())

    def show(self, images: Tensor, rng: np.random.Generator) -> Activity:
        """Run the network on images, uint8 (B, height, width), with input spikes drawn from `rng`."""
        intensity = images.reshape(-1) / 255.0  # (B * pixels,)
        chance = self._config.max_rate * self._config.dt
        spikes = poisson_encode(intensity, self._config.num_steps, chance, rng)  # (T, B * pixels)
        inputs = spikes.view(self._config.num_steps, len(images), -1).to(self._device, torch.float32)
        gains = [self._config.gain] * len(self.weights)
        return forward(self.weights, inputs, self._params, self._config.dt, gains, self._spike)

    def logits(self, activity: Activity) -> Tensor:
        """Return alpha * output rate per ms, (B, classes)."""
        return self._config.alpha / self._config.dt * activity.spikes[-1].mean(dim=0)

    @torch.no_grad()
    def judge(self, part: ImageSet, num_images: int) -> Judgement:
        """Return accuracy and loss on the first `num_images` of a split (0: all), with fixed input spikes."""
        rng = np.random.default_rng(EVAL_SEED)
        count = min(num_images or len(part.labels), len(part.labels))
        right, loss, rates = 0, 0.0, [0.0] * len(self.weights)
        for start in range(0, count, EVAL_BATCH):
            here = slice(start, min(start + EVAL_BATCH, count))
            labels = part.labels[here].to(self._device)
            activity = self.show(part.images[here], rng)
            logits = self.logits(activity)
            right += int((logits.argmax(dim=1) == labels).sum())
            loss += F.cross_entropy(logits, labels, reduction="sum").item()
            rates = [
                r + s.mean().item() / self._config.dt * len(labels) for r, s in zip(rates, activity.spikes, strict=True)
            ]
        return Judgement(right / count, loss / count, [rate / count for rate in rates])

    def save(self, path: Path) -> None:
        """Write the weights as {"layer_1": (n_pre, n_post), ...}, to be read by `torch.load(weights_only=True)`."""
        with atomic_path(path) as temporary:
            state = {f"layer_{k}": weight.detach().cpu() for k, weight in enumerate(self.weights, start=1)}
            torch.save(state, temporary)


class Learner:
    """Adam on minibatches, with a learning rate that falls linearly to 0.

    Args:
        config: Numbers of episodes, minibatches, learning rate.
        model: The network to train.
        train: Images to learn from.
        seed: Of the images' order and of their input spikes.
    """

    def __init__(self, config: BPTTConfig, model: SpikingClassifier, train: ImageSet, seed: int) -> None:
        self.model = model
        self.total = config.episodes or config.epochs * len(train.labels)
        self.episodes = 0  # learned from so far
        self._config, self._train = config, train
        self._optimiser = torch.optim.Adam(model.weights, lr=config.learning_rate)
        self._order, self._spikes = generator_of(seed, 1), generator_of(seed, 2)
        self._num_seen, self._losses, self._hits = 0, 0.0, 0  # since the last row

    def steps(self) -> Iterator[None]:
        """Take one step for each minibatch that is left; may be called once."""
        config, train, model = self._config, self._train, self.model
        for batch in minibatches(len(train.labels), self.total, config.batch_size, self._order, self.episodes):
            for group in self._optimiser.param_groups:
                group["lr"] = config.learning_rate * (1.0 - self.episodes / self.total)
            labels = train.labels[batch].to(model.weights[0].device)  # (B,)
            logits = model.logits(model.show(train.images[batch], self._spikes))  # (B, classes)
            loss = F.cross_entropy(logits, labels)
            self._optimiser.zero_grad()
            loss.backward()
            self._optimiser.step()
            self.episodes += len(batch)
            self._num_seen += len(batch)
            self._losses += loss.item() * len(batch)
            self._hits += int((logits.argmax(dim=1) == labels).sum())
            yield

    def take_means(self) -> tuple[float, float]:
        """Return loss and accuracy since the last call."""
        means = self._losses / self._num_seen, self._hits / self._num_seen
        self._num_seen, self._losses, self._hits = 0, 0.0, 0
        return means

    def state_dict(self) -> State:
        """Return the complete state between two steps; the order of images follows from the seed."""
        return {
            "weights": [weight.detach() for weight in self.model.weights],
            "optimiser": self._optimiser.state_dict(),
            "spikes": self._spikes.bit_generator.state,
            "episodes": self.episodes,
            "since": (self._num_seen, self._losses, self._hits),
        }

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`, of a learner with the same arguments, before the first step."""
        with torch.no_grad():
            for number, (weight, saved) in enumerate(zip(self.model.weights, state["weights"], strict=True), start=1):
                restore(weight, saved, f"weights of layer {number}")
        self._optimiser.load_state_dict(state["optimiser"])
        self._spikes.bit_generator.state = state["spikes"]
        self.episodes = state["episodes" if "episodes" in state else "images"]  # key of earlier versions
        self._num_seen, self._losses, self._hits = state["since"]


def generator_of(seed: int, stream: int) -> np.random.Generator:
    """Return the random numbers of a run's initial weights (0), order of images (1) or input spikes (2)."""
    return np.random.default_rng(np.random.SeedSequence(seed).spawn(stream + 1)[stream])


def minibatches(size: int, total: int, batch_size: int, rng: np.random.Generator, done: int) -> Iterator[Tensor]:
    """Yield indices (B,) of `total` images in all, each epoch in a new order; an epoch's last batch may be smaller.

    The first `done` images, whole minibatches, are left out.
    """
    left = total
    while left > 0:
        order = torch.from_numpy(rng.permutation(size))[:left]
        left -= len(order)
        skipped = min(done, len(order))
        done -= skipped
        if skipped < len(order):
            yield from order[skipped:].split(batch_size)
