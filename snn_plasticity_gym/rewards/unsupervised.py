"""The unsupervised reward: sparse, diverse and stable responses of the E neurons."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from snn_plasticity_gym.config.environments import UnsupervisedConfig
from snn_plasticity_gym.rewards.result import RewardResult
from snn_plasticity_gym.rewards.winner import NO_WINNER
from snn_plasticity_gym.state import State, restore_all

SPARSITY, DIVERSITY, STABILITY = "sparsity", "diversity", "stability"
INFORMATION = "information"


class ResponseMemory:
    """What a lifetime remembers of its responses: who won lately, and how each image was answered last time.

    Args:
        num_lifetimes: B.
        num_images: Images in a lifetime's pool.
        num_neurons: E neurons.
        window: Time constant of the winner distribution, in images.
        device: Where the tensors live.
        by_image: Whether winners are remembered by image, too, which costs (B, images, N + 1) numbers.
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
        self.wins = torch.zeros(num_lifetimes, num_neurons, device=device)  # exponentially weighted winner counts
        self.responses = torch.zeros(num_lifetimes, num_images, num_neurons, dtype=torch.int16, device=device)
        self.seen = torch.zeros(num_lifetimes, num_images, dtype=torch.bool, device=device)
        # Exponentially weighted answers to each image, and their weights squared; the last column is silence.
        self.answers = torch.zeros(num_lifetimes * by_image, num_images, num_neurons + 1, device=device)
        self.squares = torch.zeros_like(self.answers)
        self._by_image = by_image

    def state_dict(self) -> State:
        """Return all that is remembered."""
        return {name: getattr(self, name) for name in ("wins", "responses", "seen", "answers", "squares")}

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`."""
        restore_all(self.state_dict(), state)

    def forget(self, rows: int | Tensor) -> None:
        """Empty the memory of lifetimes that begin anew."""
        self.wins[rows] = 0.0
        self.seen[rows] = False
        if self._by_image:
            self.answers[rows] = self.squares[rows] = 0.0

    def record(self, rows: Tensor, images: Tensor, counts: Tensor, winners: Tensor) -> None:
        """Remember one response of each lifetime in `rows`.

        Args:
            rows: Lifetimes, int64 (R,).
            images: Place of the image in the lifetime's pool, int64 (R,).
            counts: Spikes of each E neuron, (R, N).
            winners: Winner of each lifetime, int64 (R,), or NO_WINNER, which leaves the distribution as it is.
        """
        if self._by_image:
            self.answers[rows] *= self.decay
            self.squares[rows] *= self.decay**2
            self.answers[rows, images, winners] += 1.0  # NO_WINNER is the last column
            self.squares[rows, images, winners] += 1.0
        won = (winners != NO_WINNER).to(self.wins.dtype)  # (R,)
        self.wins[rows] *= (1.0 - won * (1.0 - self.decay)).unsqueeze(1)
        self.wins[rows, winners.clamp(min=0)] += won
        self.responses[rows, images] = counts.clamp(max=torch.iinfo(torch.int16).max).to(torch.int16)
        self.seen[rows, images] = True


def sparsity(counts: Tensor, target: float) -> Tensor:
    """1 - |a - a*| / max(a*, 1 - a*), where a is the share of neurons that fired: (R, N) -> (R,)."""
    active = (counts > 0).float().mean(dim=1)  # (R,)
    return (1.0 - (active - target).abs() / max(target, 1.0 - target)).clamp(0.0, 1.0)  # rounding may step out


def diversity(wins: Tensor) -> Tensor:
    """Entropy of the winner distribution over log N: (R, N) weighted winner counts -> (R,).

    0 without winners; 1 where there is one neuron only, which cannot do better.
    """
    if wins.shape[1] == 1:
        return wins.new_ones(wins.shape[0])
    share = wins / wins.sum(dim=1, keepdim=True).clamp(min=1e-12)  # (R, N)
    return (torch.special.entr(share).sum(dim=1) / math.log(wins.shape[1])).clamp(0.0, 1.0)  # rounding may step out


def stability(counts: Tensor, before: Tensor, seen: Tensor) -> Tensor:
    """Cosine of two responses to one image: (R, N), (R, N) -> (R,).

    NaN on a first presentation (`seen` false); 0 if either response is silent.
    """
    cosine = torch.cosine_similarity(counts.float(), before.float(), dim=1).clamp(0.0, 1.0)  # (R,)
    return torch.where(seen, cosine, math.nan)


def information(answers: Tensor, squares: Tensor) -> Tensor:
    """What a winner tells of the image, H(winner) - H(winner | image) over log N, in collision entropies.

        log(P(two presentations of one image have the same winner) / P(two of different images have the same answer))

    These are entropies of order 2 (Renyi, On measures of entropy and information, 1961). Of Shannon's, few repetitions
    of a few images tell next to nothing: a network that answers at random would seem to know the image, since no
    answer has come twice. Pairs are counted without bias. Two silences are no agreement about an image, but are a
    common answer to different ones.

    Args:
        answers: Sums of the weights of the answers to each image, (R, images, N + 1), silence last.
        squares: Sums of their squares.

    Returns:
        Information, (R,), in [0, 1]; 0 where no image, or one image only, was repeated.
    """
    same = answers.square() - squares  # (R, images, N + 1) weight of pairs with the same image and answer
    of_image = answers.sum(dim=2)  # (R, images)
    total = of_image.sum(dim=1)  # (R,)
    same_pairs = (of_image.square() - squares.sum(dim=2)).sum(dim=1)  # (R,)
    other_pairs = total.square() - of_image.square().sum(dim=1)  # (R,)
    other = (answers.sum(dim=1).square() - answers.square().sum(dim=1)).sum(dim=1)  # (R,) with the same answer
    agree = same[:, :, :-1].sum(dim=(1, 2)) / same_pairs.clamp(min=1e-9)
    collide = other / other_pairs.clamp(min=1e-9)
    known = (same_pairs > 1e-9) & (other_pairs > 1e-9)
    ratio = agree.clamp(min=1e-9) / collide.clamp(min=1e-9)
    return (ratio.log() / math.log(max(answers.shape[2] - 1, 2))).clamp(0.0, 1.0) * known


class UnsupervisedReward:
    """R = c_s * sparsity + c_d * diversity + c_r * stability, paid at the end of an episode.

    Each term lies in [0, 1]. On a first presentation stability has no value: its weight then goes to the other two
    in proportion, so that R keeps its scale. `reward_form="product"` joins the terms as the product of
    term ** (c / sum of c): it is 0 as soon as one of them is. `reward_form="information"` pays `information` of the
    answers that the window looks back on, times the sum of c.

    Args:
        config: Weights, form, target share, window.
        num_lifetimes: B.
        num_images: Images in a lifetime's pool.
        device: Where the tensors live.
    """

    def __init__(self, config: UnsupervisedConfig, num_lifetimes: int, num_images: int, device: torch.device) -> None:
        self._informs = config.reward_form == "information"
        window = config.winner_window
        self.memory = ResponseMemory(num_lifetimes, num_images, config.n_exc, window, device, self._informs)
        self._target = config.target_active
        self._weights = torch.tensor([config.c_sparsity, config.c_diversity, config.c_stability], device=device)
        self._join = _weighted_product if config.reward_form == "product" else _weighted_sum

    def __call__(self, rows: Tensor, images: Tensor, counts: Tensor, winners: Tensor) -> RewardResult:
        """Judge one episode of each lifetime in `rows` and remember it; arguments as in `ResponseMemory.record`."""
        before, seen = self.memory.responses[rows, images], self.memory.seen[rows, images]
        self.memory.record(rows, images, counts, winners)
        terms = {
            SPARSITY: sparsity(counts, self._target),
            DIVERSITY: diversity(self.memory.wins[rows]),
            STABILITY: stability(counts, before, seen),
        }
        if self._informs:
            terms[INFORMATION] = information(self.memory.answers[rows], self.memory.squares[rows])
            return RewardResult(self._weights.sum() * terms[INFORMATION], terms)
        values = torch.stack(list(terms.values()), dim=1)  # (R, 3)
        present = ~values.isnan()
        weights = self._weights * present  # (R, 3)
        share = weights / weights.sum(dim=1, keepdim=True)
        reward = self._join(values.nan_to_num(1.0), share, self._weights.sum())
        return RewardResult(reward, terms)


def _weighted_sum(values: Tensor, share: Tensor, scale: Tensor) -> Tensor:
    return scale * (share * values).sum(dim=1)


def _weighted_product(values: Tensor, share: Tensor, scale: Tensor) -> Tensor:
    return scale * values.pow(share).prod(dim=1)
