"""What the winners of a lifetime tell of its images: pairs of presentations, counted as they come.

Axes: B lifetimes, R lifetimes of one call, N neurons.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from snn_plasticity_gym.rewards.winner import NO_WINNER
from snn_plasticity_gym.utils.state import State, restore_all

UNSEEN = -1
FIRST_ROOM = 16  # images
NO_PAIRS = 1e-6  # weight below which pairs are as good as none; more than rounding can leave over


class AnswerPairs:
    """Pairs of presentations of a lifetime, of which each weighs decay^(images since the first + since the second).

    A presentation costs a few operations on N numbers, however many images there are, and what is kept grows with the
    images that a lifetime has seen, not with its pool.

    Args:
        num_lifetimes: B.
        num_images: Images in a lifetime's pool.
        num_neurons: N.
        decay: By how much a presentation's weight falls with every later one.
        device: Where the tensors live.
    """

    def __init__(
        self, num_lifetimes: int, num_images: int, num_neurons: int, decay: float, device: torch.device
    ) -> None:
        self._decay = decay
        self._silence = num_neurons  # the last column of answers
        double, kinds = torch.float64, (num_lifetimes, num_neurons + 1)
        # Each image that a lifetime has seen has a place there, in the order of first sight.
        self._place = torch.full((num_lifetimes, num_images), UNSEEN, dtype=torch.int64, device=device)
        self._seen = torch.zeros(num_lifetimes, dtype=torch.int64, device=device)  # how many images
        # Weights of the answers to the image of each place, as they were when it was last shown, and when that was.
        self._answers = torch.zeros(num_lifetimes, 0, num_neurons + 1, dtype=double, device=device)
        self._last = torch.zeros(num_lifetimes, 0, dtype=torch.int64, device=device)
        self._now = torch.zeros(num_lifetimes, dtype=torch.int64, device=device)  # presentations so far
        self._totals = torch.zeros(kinds, dtype=double, device=device)  # weights of the answers to all images
        self._pairs = torch.zeros(len(Pairs._fields), num_lifetimes, dtype=double, device=device)

    def state_dict(self) -> State:
        """Return all that is remembered."""
        names = ("_place", "_seen", "_answers", "_last", "_now", "_totals", "_pairs")
        return {name.lstrip("_"): getattr(self, name) for name in names}

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`."""
        self._answers, self._last = self._answers[:, :0], self._last[:, :0]
        self._make_room(state["last"].shape[1])
        restore_all(self.state_dict(), state)

    def _make_room(self, places: int) -> None:
        """Have so many places for each lifetime, which are more than before."""
        missing = places - self._last.shape[1]
        self._answers = F.pad(self._answers, (0, 0, 0, missing))
        self._last = F.pad(self._last, (0, missing))

    def forget(self, rows: int | Tensor) -> None:
        """Empty the memory of lifetimes that begin anew."""
        self._place[rows] = UNSEEN
        self._seen[rows] = 0
        self._now[rows] = 0
        self._totals[rows] = 0.0
        self._pairs[:, rows] = 0.0

    def record(self, rows: Tensor, images: Tensor, winners: Tensor) -> None:
        """Pair one answer of each lifetime in `rows` with all before it.

        Args:
            rows: Lifetimes, int64 (R,).
            images: Place of the image in the lifetime's pool, int64 (R,).
            winners: Answers, int64 (R,); NO_WINNER: silence.
        """
        self._now[rows] += 1
        place = self._place[rows, images]  # (R,)
        fresh = place == UNSEEN
        place = torch.where(fresh, self._seen[rows], place)
        if int(place.max()) >= self._last.shape[1]:
            self._make_room(min(max(2 * self._last.shape[1], FIRST_ROOM), self._place.shape[1]))
        now, last = self._now[rows], self._last[rows, place]  # (R,)
        faded = torch.where(fresh, 0.0, self._decay ** (now - last).double())  # (R,)
        to_image = self._answers[rows, place] * faded.unsqueeze(1)  # (R, N + 1) weights of earlier answers, as of now
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

    def pairs(self, rows: Tensor) -> Pairs:
        """Return the pairs of the lifetimes `rows` (R,)."""
        return Pairs(*self._pairs[:, rows])


class Pairs(NamedTuple):
    """Weight of the pairs of presentations, (R,) each."""

    same_image: Tensor
    agreeing: Tensor  # of these, with the same winner; two silences are no agreement about an image
    other_image: Tensor
    colliding: Tensor  # of these, with the same answer, silence included


def information(pairs: Pairs, num_neurons: int) -> Tensor:
    """What a winner tells of the image, H(winner) - H(winner | image) over log N, in collision entropies.

        log(P(two presentations of one image have the same winner) / P(two of different images have the same answer))

    These are entropies of order 2 (Renyi, On measures of entropy and information, 1961). Of Shannon's, few repetitions
    of a few images tell next to nothing: a network that answers at random would seem to know the image, since no
    answer has come twice. Pairs are counted without bias.

    Args:
        pairs: Of R lifetimes.
        num_neurons: N.

    Returns:
        Information, float32 (R,), in [0, 1]; 0 where no image, or one image only, was repeated.
    """
    agree = pairs.agreeing / pairs.same_image.clamp(min=NO_PAIRS)
    collide = pairs.colliding / pairs.other_image.clamp(min=NO_PAIRS)
    known = (pairs.same_image > NO_PAIRS) & (pairs.other_image > NO_PAIRS)
    ratio = agree.clamp(min=1e-9) / collide.clamp(min=1e-9)
    return ((ratio.log() / math.log(max(num_neurons, 2))).clamp(0.0, 1.0) * known).float()
