"""The unsupervised reward: sparse, diverse and stable responses of the E neurons."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.config.environments import UnsupervisedConfig
from snn_plasticity_gym.config.unsupervised import INFORMATION, RECONSTRUCTION
from snn_plasticity_gym.kernels.answers import ResponseHistory, TermWeights, unsupervised_rewards
from snn_plasticity_gym.networks.spike_counts import SpikeCounts
from snn_plasticity_gym.rewards.information import AnswerPairs, information
from snn_plasticity_gym.rewards.result import RewardResult
from snn_plasticity_gym.rewards.winner import NO_WINNER, winner
from snn_plasticity_gym.utils.state import State, restore_all

SPARSITY, DIVERSITY, STABILITY = "sparsity", "diversity", "stability"


class ResponseMemory:
    """Memory of a lifetime's responses: running distribution of winners, and the last response to each image.

    Args:
        num_lifetimes: B.
        num_images: Images in a lifetime's pool.
        num_neurons: E neurons.
        window: Time constant of the winner distribution, in images.
        device: Of the tensors.
        by_image: Whether to store winners by image, too; see `AnswerPairs`.
    """

    def __init__(
        self,
        num_lifetimes: int,
        num_images: int,
        num_neurons: int,
        window: float,
        device: torch.device,
        by_image: bool = False,
    ) -> None:
        self.decay = math.exp(-1.0 / window)
        self.pairs = AnswerPairs(num_lifetimes, num_images, num_neurons, self.decay, device) if by_image else None
        self.wins = torch.zeros(num_lifetimes, num_neurons, device=device)  # exponentially weighted winner counts
        self.responses = torch.zeros(num_lifetimes, num_images, num_neurons, dtype=torch.int16, device=device)
        self.seen = torch.zeros(num_lifetimes, num_images, dtype=torch.bool, device=device)

    def __getstate__(self) -> dict[str, Any]:
        """Exclude views of this object's tensors from copies."""
        return {name: part for name, part in vars(self).items() if name != "tables"}

    @functools.cached_property
    def tables(self) -> ResponseHistory:
        """The memory as arrays for compiled loops, on the CPU; it changes in place."""
        return ResponseHistory(self.wins.numpy(), self.responses.numpy(), self.seen.numpy(), self.decay)

    def state_dict(self) -> State:
        """Return the complete state."""
        own = {name: getattr(self, name) for name in ("wins", "responses", "seen")}
        return own if self.pairs is None else own | {"pairs": self.pairs.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        if self.pairs is not None:
            self.pairs.load_state_dict(state["pairs"])
        own = {name: tensor for name, tensor in state.items() if name != "pairs"}
        restore_all({name: getattr(self, name) for name in ("wins", "responses", "seen")}, own)

    def forget(self, rows: int | Tensor) -> None:
        """Reset the memory of new lifetimes."""
        self.wins[rows] = 0.0
        self.seen[rows] = False
        if self.pairs is not None:
            self.pairs.forget(rows)

    def wins_with(self, rows: Tensor, winners: Tensor) -> Tensor:
        """Return the winner distributions of lifetimes (R,) updated with these winners (R,), (R, N)."""
        won = (winners != NO_WINNER).to(self.wins.dtype)  # (R,)
        faded = self.wins[rows] * (1.0 - won * (1.0 - self.decay)).unsqueeze(1)
        return faded.scatter_add(1, winners.clamp(min=0).unsqueeze(1), won.unsqueeze(1))

    def record(self, rows: Tensor, images: Tensor, counts: Tensor, winners: Tensor) -> None:
        """Store one response of each lifetime in `rows`.

        Args:
            rows: Lifetimes, int64 (R,).
            images: Index of the image in the lifetime's pool, int64 (R,).
            counts: Spikes of each E neuron, (R, N).
            winners: Winner of each lifetime, int64 (R,), or NO_WINNER, which does not change the distribution.
        """
        if self.pairs is not None:
            self.pairs.record(rows, images, winners)
        self.wins[rows] = self.wins_with(rows, winners)
        self.responses[rows, images] = counts.clamp(max=torch.iinfo(torch.int16).max).to(torch.int16)
        self.seen[rows, images] = True


def sparsity(counts: Tensor, target: float) -> Tensor:
    """1 - |a - a*| / max(a*, 1 - a*), where a is the share of neurons that fired: (R, N) -> (R,)."""
    return sparsity_of((counts > 0).float().mean(dim=1), target)


def sparsity_of(active: Tensor, target: float) -> Tensor:
    """`sparsity` from the share of neurons that fired, of any shape."""
    return (1.0 - (active - target).abs() / max(target, 1.0 - target)).clamp(0.0, 1.0)  # rounding may exceed it


def diversity(wins: Tensor) -> Tensor:
    """Entropy of the winner distribution over log N: (R, N) weighted winner counts -> (R,).

    0 without winners; 1 for a single neuron.
    """
    if wins.shape[1] == 1:
        return wins.new_ones(wins.shape[0])
    share = wins / wins.sum(dim=1, keepdim=True).clamp(min=1e-12)  # (R, N)
    return (torch.special.entr(share).sum(dim=1) / math.log(wins.shape[1])).clamp(0.0, 1.0)  # rounding may exceed it


def stability(counts: Tensor, before: Tensor, seen: Tensor) -> Tensor:
    """Cosine of two responses to one image: (R, N), (R, N) -> (R,).

    NaN on a first presentation (`seen` false); 0 if either response is silent.
    """
    cosine = torch.cosine_similarity(counts.float(), before.float(), dim=1).clamp(0.0, 1.0)  # (R,)
    return torch.where(seen, cosine, math.nan)


class UnsupervisedReward:
    """R = c_s * sparsity + c_d * diversity + c_r * stability, the reward at the end of an episode.

    Each term is in [0, 1]. On a first presentation stability has no value: its weight is then distributed to the other
    two in proportion, so that R keeps its scale. `reward_form="product"` combines the terms as the product of term **
    (c / sum of c): it is 0 if one of them is. `reward_form="information"` is `information` of the winners in the
    window, times the sum of c; `reward_form="reconstruction"` is what the caller hands over, times the sum of c.

    Args:
        config: Weights, form, target share, window.
        num_lifetimes: B.
        num_images: Images in a lifetime's pool.
        device: Of the tensors.
    """

    def __init__(self, config: UnsupervisedConfig, num_lifetimes: int, num_images: int, device: torch.device) -> None:
        by_image = config.reward_form == INFORMATION
        window = config.winner_window
        self.memory = ResponseMemory(num_lifetimes, num_images, config.n_exc, window, device, by_image)
        self._target = config.target_active
        self._weights = torch.tensor([config.c_sparsity, config.c_diversity, config.c_stability], device=device)
        self._join = _weighted_product if config.reward_form == "product" else _weighted_sum
        self._term_weights = TermWeights(
            self._target, self._weights.cpu().numpy().copy(), self._join is _weighted_product
        )

    @property
    def in_order(self) -> bool:
        """Whether episodes are rewarded one after the other, so that a lifetime may have several of them in a call."""
        return self.memory.wins.device.type == "cpu"

    def __call__(
        self, rows: Tensor, images: Tensor, counts: Tensor, winners: Tensor, explained: Tensor | None = None
    ) -> RewardResult:
        """Reward one episode of each lifetime in `rows` and store it.

        Args:
            rows: Lifetimes, int64 (R,).
            images: Index of the image in the lifetime's pool, int64 (R,).
            counts: Spikes of each E neuron, (R, N).
            winners: Winner of each lifetime, int64 (R,), or NO_WINNER.
            explained: Share of the input that the winner's weights explain, (R,), which is the reward of
                reconstruction; None: the reward has another form.
        """
        result = self._of_responses(rows, images, counts, winners)
        if explained is None:
            return result
        return RewardResult(self._weights.sum() * explained, {**result.terms, RECONSTRUCTION: explained})

    def _of_responses(self, rows: Tensor, images: Tensor, counts: Tensor, winners: Tensor) -> RewardResult:
        """Reward one episode of each lifetime in `rows` by its responses, and store it."""
        if not self.in_order:
            return self.by_operations(rows, images, counts, winners)
        judged = np.empty((4, len(rows)), dtype=np.float32)
        answers = (part.numpy() for part in (rows, images, counts, winners))
        unsupervised_rewards(*answers, self.memory.tables, self._term_weights, judged)
        reward, *values = torch.from_numpy(judged).unbind()
        terms = dict(zip((SPARSITY, DIVERSITY, STABILITY), values, strict=True))
        if self.memory.pairs is not None:
            terms[INFORMATION] = self.memory.pairs.informed(rows, images, winners)
            reward = self._weights.sum() * terms[INFORMATION]
        return RewardResult(reward, terms)

    def by_operations(self, rows: Tensor, images: Tensor, counts: Tensor, winners: Tensor) -> RewardResult:
        """Do the same in torch: for other devices, and as the reference for the compiled version."""
        before, seen = self.memory.responses[rows, images], self.memory.seen[rows, images]
        self.memory.record(rows, images, counts, winners)
        terms = {
            SPARSITY: sparsity(counts, self._target),
            DIVERSITY: diversity(self.memory.wins[rows]),
            STABILITY: stability(counts, before, seen),
        }
        if self.memory.pairs is not None:
            terms[INFORMATION] = information(self.memory.pairs.pairs(rows), counts.shape[1])
            return RewardResult(self._weights.sum() * terms[INFORMATION], terms)
        return RewardResult(self._joined(torch.stack(list(terms.values()), dim=-1)), terms)

    def by_neuron(self, rows: Tensor, images: Tensor, spikes: SpikeCounts, winners: Tensor) -> Tensor:
        """Difference reward of each neuron: the reward minus the reward with that neuron silent.

        G(z) - G(z_-i) of Wolpert & Tumer (Optimal payoff functions for members of collectives, 2001), with the image's
        spikes of neuron i left out and nothing else changed. To be called before the episode is rewarded, which stores
        it.

        Args:
            rows: Lifetimes, int64 (R,).
            images: Index of the image in the lifetime's pool, int64 (R,).
            spikes: Of the E neurons, (R, N).
            winners: Winner of each lifetime, int64 (R,).

        Returns:
            (R, N); 0 for a neuron that did not fire.
        """
        memory, counts = self.memory, spikes.counts
        before, seen = memory.responses[rows, images], memory.seen[rows, images]  # (R, N), (R,)
        neurons = torch.arange(counts.shape[1], device=counts.device)
        wins = neurons == winners.unsqueeze(1)  # (R, N)
        # Without its winner an image is won by the next best; without another neuron the winner stays.
        next_best = winner(SpikeCounts(counts.masked_fill(wins, 0), spikes.first))
        own, other = (diversity(memory.wins_with(rows, which)).unsqueeze(1) for which in (winners, next_best))  # (R, 1)
        now, then = counts.double(), before.double()  # (R, N)
        left = now.square().sum(dim=1, keepdim=True) - now.square()  # (R, N) squared norm without the neuron
        product = (now * then).sum(dim=1, keepdim=True) - now * then
        norms = (left * then.square().sum(dim=1, keepdim=True)).sqrt()
        cosine = torch.where(norms > 0, product / norms.clamp(min=1e-9), 0.0).clamp(0.0, 1.0).float()
        active = (counts > 0).float()
        without = (
            sparsity_of((active.sum(dim=1, keepdim=True) - active) / counts.shape[1], self._target),
            torch.where(wins, other, own),
            cosine.masked_fill(~seen.unsqueeze(1), math.nan),
        )
        present = (sparsity(counts, self._target), own.squeeze(1), stability(counts, before, seen))
        reward = self._joined(torch.stack(present, dim=-1)).unsqueeze(1)  # (R, 1)
        return (reward - self._joined(torch.stack(without, dim=-1))).masked_fill(counts == 0, 0.0)

    def _joined(self, values: Tensor) -> Tensor:
        """Combine terms, NaN if one has no value: (..., 3) -> (...)."""
        weights = self._weights * ~values.isnan()  # (..., 3)
        share = weights / weights.sum(dim=-1, keepdim=True)
        return self._join(values.nan_to_num(1.0), share, self._weights.sum())


def _weighted_sum(values: Tensor, share: Tensor, scale: Tensor) -> Tensor:
    return scale * (share * values).sum(dim=-1)


def _weighted_product(values: Tensor, share: Tensor, scale: Tensor) -> Tensor:
    return scale * values.pow(share).prod(dim=-1)
