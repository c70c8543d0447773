"""Information of a lifetime's winners on its images, from online counts of pairs of presentations.

Axes: B lifetimes, R lifetimes of one call, N neurons.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from snn_plasticity_gym.kernels.answer_pairs import PairTables, information_of_winners
from snn_plasticity_gym.rewards.winner import NO_WINNER
from snn_plasticity_gym.utils.state import State, restore_all

UNSEEN = -1
FIRST_ROOM = 16  # images
NO_PAIRS = 1e-6  # weight below which there are no pairs; above rounding errors


class AnswerPairs:
    """Pairs of presentations of a lifetime, each with weight decay^(images since the first + since the second).

    A presentation costs a few operations on N numbers, independent of the number of images, and memory grows with the
    images presented to a lifetime, not with its pool.

    Args:
        num_lifetimes: B.
        num_images: Images in a lifetime's pool.
        num_neurons: N.
        decay: Factor of a presentation's weight for every later one.
        device: Of the tensors.
    """

    def __init__(
        self, num_lifetimes: int, num_images: int, num_neurons: int, decay: float, device: torch.device
    ) -> None:
        self._decay = decay
        self._silence = num_neurons  # the last column of answers
        double, kinds = torch.float64, (num_lifetimes, num_neurons + 1)
        # Each image presented to a lifetime has an index, in the order of first presentation.
        self._place = torch.full((num_lifetimes, num_images), UNSEEN, dtype=torch.int64, device=device)
        self._seen = torch.zeros(num_lifetimes, dtype=torch.int64, device=device)  # number of images
        # Weights of the winners for the image of each index at its last presentation, and the time of that.
        self._answers = torch.zeros(num_lifetimes, 0, num_neurons + 1, dtype=double, device=device)
        self._last = torch.zeros(num_lifetimes, 0, dtype=torch.int64, device=device)
        self._now = torch.zeros(num_lifetimes, dtype=torch.int64, device=device)  # presentations so far
        self._totals = torch.zeros(kinds, dtype=double, device=device)  # weights of the winners for all images
        self._pairs = torch.zeros(len(Pairs._fields), num_lifetimes, dtype=double, device=device)

    def state_dict(self) -> State:
        """Return the complete state."""
        names = ("_place", "_seen", "_answers", "_last", "_now", "_totals", "_pairs")
        return {name.lstrip("_"): getattr(self, name) for name in names}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        self._answers, self._last = self._answers[:, :0], self._last[:, :0]
        self._make_room(state["last"].shape[1])
        restore_all(self.state_dict(), state)

    def _make_room(self, places: int) -> None:
        """Grow the tables to `places` images for each lifetime."""
        missing = places - self._last.shape[1]
        self._answers = F.pad(self._answers, (0, 0, 0, missing))
        self._last = F.pad(self._last, (0, missing))

    def forget(self, rows: int | Tensor) -> None:
        """Reset the memory of new lifetimes."""
        self._place[rows] = UNSEEN
        self._seen[rows] = 0
        self._now[rows] = 0
        self._totals[rows] = 0.0
        self._pairs[:, rows] = 0.0

    def record(self, rows: Tensor, images: Tensor, winners: Tensor) -> None:
        """Pair one winner of each lifetime in `rows` with all earlier ones.

        Args:
            rows: Lifetimes, int64 (R,).
            images: Index of the image in the lifetime's pool, int64 (R,).
            winners: Winners, int64 (R,); NO_WINNER: silence.
        """
        self._now[rows] += 1
        place = self._place[rows, images]  # (R,)
        fresh = place == UNSEEN
        place = torch.where(fresh, self._seen[rows], place)
        if int(place.max()) >= self._last.shape[1]:
            self._make_room(self._next_room())
        now, last = self._now[rows], self._last[rows, place]  # (R,)
        faded = torch.where(fresh, 0.0, self._decay ** (now - last).double())  # (R,)
        to_image = self._answers[rows, place] * faded.unsqueeze(1)  # (R, N + 1) present weights of earlier winners
        to_all = self._totals[rows] * self._decay  # (R, N + 1)
        silent = winners == NO_WINNER
        answer = torch.where(silent, self._silence, winners).unsqueeze(1)  # (R, 1)
        same_answer, any_answer = to_image.gather(1, answer).squeeze(1), to_image.sum(dim=1)  # (R,)
        new = Pairs(
            same_image=any_answer,
            agreeing=torch.where(silent, 0.0, same_answer),
            other_image=to_all.sum(dim=1) - any_answer,
            colliding=to_all.gather(1, answer).squeeze(1) - same_answer,
        )
        self._pairs[:, rows] = self._decay**2 * self._pairs[:, rows] + torch.stack(new)
        one = torch.ones_like(answer, dtype=to_all.dtype)
        self._answers[rows, place] = to_image.scatter_add(1, answer, one)
        self._totals[rows] = to_all.scatter_add(1, answer, one)
        self._last[rows, place] = now
        self._place[rows, images] = place
        self._seen[rows] += fresh

    def informed(self, rows: Tensor, images: Tensor, winners: Tensor) -> Tensor:
        """Record winners one after the other, by compiled loops; return the `information` after each, float32 (R,).

        Args:
            rows: As in `record`, on the CPU; a lifetime may come several times.
            images: As in `record`, like `winners`.
        """
        results = np.empty(len(rows), dtype=np.float32)
        given, done = (rows.numpy(), images.numpy(), winners.numpy()), 0
        while (done := information_of_winners(done, *given, self._tables(), NO_PAIRS, results)) < len(rows):
            self._make_room(self._next_room())
        return torch.from_numpy(results)

    def _tables(self) -> PairTables:
        return PairTables(
            place=self._place.numpy(),
            seen=self._seen.numpy(),
            answers=self._answers.numpy(),
            last=self._last.numpy(),
            now=self._now.numpy(),
            totals=self._totals.numpy(),
            pairs=self._pairs.numpy(),
            decay=self._decay,
        )

    def _next_room(self) -> int:
        """Return for how many images there is room after the next growth."""
        return min(max(2 * self._last.shape[1], FIRST_ROOM), self._place.shape[1])

    def pairs(self, rows: Tensor) -> Pairs:
        """Return the pairs of the lifetimes `rows` (R,)."""
        return Pairs(*self._pairs[:, rows])


class Pairs(NamedTuple):
    """Weight of the pairs of presentations, (R,) each."""

    same_image: Tensor
    agreeing: Tensor  # of these, with the same winner; two silences do not agree
    other_image: Tensor
    colliding: Tensor  # of these, with the same winner, silence included


def information(pairs: Pairs, num_neurons: int) -> Tensor:
    """Mutual information of winner and image, H(winner) - H(winner | image) over log N, in collision entropies.

        log(P(two presentations of one image have the same winner) / P(two of different images have the same winner))

    These are entropies of order 2 (Renyi, On measures of entropy and information, 1961). Shannon's cannot be
    estimated from few repetitions of a few images: random winners, with none repeated, would seem informative. Counts
    of pairs are unbiased.

    Args:
        pairs: Of R lifetimes.
        num_neurons: N.

    Returns:
        Information, float32 (R,), in [0, 1]; 0 if no image, or one image only, was repeated.
    """
    agree = pairs.agreeing / pairs.same_image.clamp(min=NO_PAIRS)
    collide = pairs.colliding / pairs.other_image.clamp(min=NO_PAIRS)
    has_pairs = (pairs.same_image > NO_PAIRS) & (pairs.other_image > NO_PAIRS)
    ratio = agree.clamp(min=1e-9) / collide.clamp(min=1e-9)
    return ((ratio.log() / math.log(max(num_neurons, 2))).clamp(0.0, 1.0) * has_pairs).float()
