"""Cue association as a plain Gymnasium environment of spikes, for any agent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from snn_plasticity_gym.config.plastic import BOTH
from snn_plasticity_gym.config.schema import unknown
from snn_plasticity_gym.tasks.cue_association import (
    CONDITIONS,
    CUE_STEPS,
    NUM_ANSWERS,
    NUM_CUES,
    NUM_INPUTS,
    RESTS,
    chances_of,
    check_cues,
    draw_cues,
    spike_chances,
)
from snn_plasticity_gym.utils.numbers_given import is_whole

Observation = NDArray[np.float32]


class Trial(NamedTuple):
    """Input spikes of a trial, and the correct action."""

    spikes: NDArray[np.float32]  # (steps, NUM_INPUTS) 0 or 1
    answer: int  # the correct action


class CueAssociationEnv(gymnasium.Env[Observation, np.int64]):
    """Report which of two cues came more often.

    ## Description
    Cues of 25 ms follow each other, each left or right; after a rest the decision cue is on for 25 ms, and in each of
    its steps the action is the decision. A step is 1 ms. After the supplement of Schmidgall et al. (2021), who name the
    cues, their lengths, the rests and the spike probabilities; reward and readout of the decision are this project's.

    ## Observation
    Spikes of 40 neurons in this step, 0 or 1, float32: ten of the left cue, ten of the right, ten of the decision cue,
    ten of noise. While a cue is on, its neurons fire with probability 0.75 a step (noisy: 0.65), else 0.05 (0.25);
    neurons of noise always with 0.2 (0.4).

    ## Action
    0: left, 1: right.

    ## Reward
    While the decision cue is on 1 / 25 for the correct action and -1 / 25 for the other, so that returns are in
    [-1, 1]; else 0.

    ## Episode end
    Terminated with the decision cue's last step. `info` then has `correct`, the share of correct actions in it.

    Args:
        condition: "normal", "noisy", or "both": one of them in each episode.
        cues: Number of cues, odd.
        rests: Steps between the last cue and the decision cue, one of which is sampled for each episode.
        render_mode: None; passed by Gymnasium.

    Raises:
        ValueError: No such condition, an even number of cues, no rest, a number that is not whole, or a render mode is
            given.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        condition: str = "normal",
        cues: int = NUM_CUES,
        rests: Sequence[int] = RESTS,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None:
            raise ValueError(f"nothing is drawn of cue association; leave render_mode out, got {render_mode!r}")
        if not is_whole(cues):
            raise ValueError(f"cues must be a whole number, got {cues!r}")
        check_cues(cues)
        listed = isinstance(rests, Iterable) and not isinstance(rests, str | bytes | dict)
        given = list(rests) if listed else []
        if not given or not all(is_whole(rest) and rest >= 0 for rest in given):
            shown = given if listed else repr(rests)
            raise ValueError(f"rests must hold numbers of steps, whole ones of at least 0, as [45, 75], got {shown}")
        if not isinstance(condition, str) or condition not in (*CONDITIONS, BOTH):
            raise ValueError(unknown("condition", condition, (*CONDITIONS, BOTH)))
        self.observation_space = spaces.Box(0.0, 1.0, (NUM_INPUTS,), np.float32)
        self.action_space = spaces.Discrete(NUM_ANSWERS)
        self._condition, self._cues, self._rests = condition, int(cues), tuple(int(rest) for rest in given)
        self.trial = Trial(np.zeros((1, NUM_INPUTS), np.float32), 0)
        self._step, self._right = 0, 0

    @property
    def most_steps(self) -> int:
        """Steps of the longest trial."""
        return (self._cues + 1) * CUE_STEPS + max(self._rests)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start a trial."""
        super().reset(seed=seed)
        rng = self.np_random
        cues, answers = draw_cues(rng, 1, self._cues)
        condition = str(rng.choice(list(CONDITIONS))) if self._condition == BOTH else self._condition
        rest = int(rng.choice(self._rests))
        chances = spike_chances(cues[0], rest, chances_of(condition))  # (steps, NUM_INPUTS)
        spikes = (rng.random(chances.shape, dtype=np.float32) < chances).astype(np.float32)
        self.trial = Trial(spikes, int(answers[0]))
        self._step, self._right = 0, 0
        return spikes[0].copy(), {"rest": rest, "condition": condition}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take an action; return the next step's spikes."""
        steps = len(self.trial.spikes)
        if self._step >= steps:
            raise gymnasium.error.ResetNeeded("the trial is over; call reset first")
        reward = 0.0
        if self._step >= steps - CUE_STEPS:
            correct = int(action) == self.trial.answer
            self._right += correct
            reward = (1.0 if correct else -1.0) / CUE_STEPS
        self._step += 1
        over = self._step == steps
        info: dict[str, Any] = {"correct": self._right / CUE_STEPS} if over else {}
        return self.trial.spikes[min(self._step, steps - 1)].copy(), reward, over, False, info

    def end(self) -> None:
        """End the trial after it was run elsewhere."""
        self._step = len(self.trial.spikes)
