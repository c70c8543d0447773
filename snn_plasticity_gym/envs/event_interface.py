"""How events are presented, and weight changes applied: flat batches for trainers, fixed slots for Gymnasium.

Flat batches, all lifetimes at the same step; those whose episode is over wait for the others:

    env.reset(seed=0)
    while (events := env.events()) is not None:
        env.apply(rule(events))
    result = env.finish()

or, in one call, `result = env.run_episode(rule)`.

Slots: each lifetime presents its events E at a time, and advances after those of a time step. A time step without
events is presented too, with every slot masked out.

With `event_kinds="split"` a time step has two phases, pre events and then post events, and either interface presents a
phase like a time step, also if empty; the network advances after the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from snn_plasticity_gym.config.arguments import check_argument
from snn_plasticity_gym.config.values import show
from snn_plasticity_gym.envs.engine import Engine
from snn_plasticity_gym.envs.episode import EpisodeResult
from snn_plasticity_gym.envs.spaces import EMPTY
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.rules.base import Rule, checked_answer, modulation_of
from snn_plasticity_gym.utils.state import State

Observation = dict[str, NDArray[Any]]

STATE = ("network", "task", "surprise", "scalars", "seeds", "generations", "ages", "attempts")  # of `Engine.state_dict`


class SlotsResult(NamedTuple):
    """Result of the weight changes of the slots."""

    reward: NDArray[np.float64]  # (B,) of this step
    ended: list[int]  # lifetimes with an ended episode, until `begin`


def read_actions(given: Any) -> NDArray[np.float32]:
    """Return weight changes as an array: those of a tensor without its gradient, or of numbers of any kind.

    Raises:
        ValueError: They are not numbers.
    """
    if isinstance(given, torch.Tensor) and not given.is_complex():
        given = given.detach().to("cpu", torch.float32)
    problem = ""
    try:
        array = np.asarray(given)
        if array.dtype.kind in "biufO":
            return array.astype(np.float32)
        problem = f"an array of {array.dtype}"
    except (TypeError, ValueError, RuntimeError):
        problem = show(given)
    raise ValueError(f"actions must be numbers, a weight change in [-1, 1] for each event slot, got {problem}")


class EventInterface:
    """Both interfaces of one engine, shared by the single and the vector environment.

    Args:
        engine: The lifetimes.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.slots = engine.config.events_per_step
        self._history_length = engine.config.history_length
        # Pending events: of all lifetimes at the same step, or by lifetime once slots are in use.
        self._pending: SynapseEvents | None = None
        self._queues: list[SynapseEvents] | None = None
        self._processed = np.zeros(engine.num_lifetimes, dtype=np.int64)  # processed events of each queue
        self._fresh = False  # an episode has begun, without any time step
        self._all_rows = list(range(engine.num_lifetimes))

    def begin(self, rows: Sequence[int] | None = None) -> None:
        """Begin the next episode of the lifetimes `rows` (all if None)."""
        rows = self._all_rows if rows is None else rows
        self.engine.begin(rows)
        if len(rows) == len(self._all_rows):
            self._discard_events()
        elif not self._fresh:  # else their first step is taken with that of the others
            self._advance(rows)

    def _discard_events(self) -> None:
        """Discard events of the previous episode; the first step is delayed: `run_episode` may not need its events."""
        self._pending, self._queues, self._fresh = None, None, True
        self._processed[:] = 0

    def state_dict(self) -> State:
        """Return the full state, after `finish` and before `events` is called.

        Raises:
            RuntimeError: An episode is under way.
        """
        return self.engine.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Load a state of `state_dict`, of an environment with the same settings.

        Raises:
            ValueError: It is not a state, or the settings differ; nothing is changed in the first case.
        """
        own = set(STATE)
        if not isinstance(state, dict) or not own <= state.keys():
            problem = f"one without {', '.join(sorted(own - state.keys()))}" if isinstance(state, dict) else show(state)
            raise ValueError(
                f"a state must be what state_dict() of an environment with these settings gave, got {problem}"
            )
        self.engine.load_state_dict(state)
        self._discard_events()

    def _start(self) -> None:
        """Run the first time step of an episode, if it was delayed."""
        if self._fresh:
            self._fresh = False
            self._advance(self._all_rows)

    def _advance(self, rows: Sequence[int]) -> None:
        """Advance the lifetimes `rows` by one time step, with slots unless they are all, at the same step."""
        steps = self.engine.steps
        if len(rows) == len(self._all_rows) and (steps == steps[0]).all():
            self._pending, self._queues = self.engine.advance(), None
            self._processed[:] = 0
            return
        queues = self._split()
        self._pending = None
        for row, events in zip(rows, self.engine.advance(rows).split(), strict=True):
            queues[row] = events
            self._processed[row] = 0

    def _running(self) -> list[int] | None:
        """Return the lifetimes with a running episode; None: all."""
        ended = self.engine.ended
        return np.flatnonzero(~ended).tolist() if ended.any() else None

    def _advance_running(self) -> SynapseEvents | None:
        """Advance all lifetimes with a running episode by one step; return their events, None if all have ended."""
        running = self._running()
        if running is None:
            return self.engine.advance()
        if not running:
            return None
        events = self.engine.advance(running)
        return _for_all_lifetimes(events, running, len(self._all_rows))

    def _split(self) -> list[SynapseEvents]:
        """Return the pending events by lifetime."""
        self._start()
        if self._queues is None:
            if self._pending is None:
                raise RuntimeError("no episode is under way; call reset() first, or finish() after the last events")
            self._queues = list(self._pending.split())
        return self._queues

    def events(self) -> SynapseEvents | None:
        """Return the pending events of all lifetimes, or None when all episodes are over.

        Raises:
            RuntimeError: `step` has processed some of them, or there was no `reset`.
        """
        self._start()
        if self._processed.any() or (self._pending is None and self._queues is not None):
            raise RuntimeError("step() has answered some events of this episode; go on with step(), or call reset()")
        if self._pending is None and self.engine.steps[0] == 0:
            raise RuntimeError("no episode is under way; call reset() first")
        return self._pending

    def apply(self, delta_d: torch.Tensor) -> None:
        """Apply weight changes for `events()`, and advance all lifetimes to the next phase or time step.

        Args:
            delta_d: Normalised weight change of each event, (E,); clipped to [-1, 1].

        Raises:
            RuntimeError: No events are pending.
            ValueError: Wrong number of weight changes, or one not finite.
        """
        events = self.events()
        if events is None:
            raise RuntimeError("all episodes are over; call finish() for the reward and the next ones")
        self.engine.write(events, delta_d)
        self._pending, self._queues = self.engine.after(events), None
        if self._pending is None:
            self.engine.settle(self._running())
            self._pending = self._advance_running()

    def finish(self) -> EpisodeResult:
        """Return the results of the episodes, and begin the next one of all lifetimes.

        Raises:
            RuntimeError: Events are still pending.
        """
        if self.events() is not None:
            raise RuntimeError("an episode is still under way; answer events() with apply() until it returns None")
        return self._end()

    def _end(self) -> EpisodeResult:
        result = self.engine.finish(self._all_rows)
        self.begin()
        return result

    def lives_whole(self, rule: Rule) -> bool:
        """Whether `run_episode` simulates the present episode of all lifetimes at once, by a rule in compiled loops."""
        return self._fresh and self.engine.whole.way(rule) is not None

    def run_episode(self, rule: Rule) -> EpisodeResult:
        """Apply a rule in all lifetimes until their episodes are over, then `finish`.

        Raises:
            RuntimeError: As in `events`.
            ValueError: It is not a rule, its output is invalid in `apply`, or it needs another `modulation`.
        """
        self._check(rule)
        if self._fresh and self.engine.run_episode(rule):
            return self._end()
        while (events := self.events()) is not None:
            self.apply(checked_answer(rule(events), len(events.weight), self.engine.device))
        return self.finish()

    def run_episodes(self, rule: Rule, count: int) -> list[EpisodeResult]:
        """Do what so many calls of `run_episode` do, with several images in one call of compiled loops where possible.

        Raises:
            RuntimeError: As in `events`.
            ValueError: As in `run_episode`, or the count is no whole number from 0 on.
        """
        count = check_argument("count", count, int, ge=0)
        self._check(rule)
        results: list[EpisodeResult] = []
        while len(results) < count:
            results += self.run_some(rule, count - len(results))
        return results

    def run_some(self, rule: Rule, most: int) -> list[EpisodeResult]:
        """Do what `run_episode` does once or several times, at most so many: as often as one call of the loops can.

        Raises:
            RuntimeError: As in `events`.
            ValueError: As in `run_episode`.
        """
        self._check(rule)
        together = self.engine.run_series(rule, most) if self._fresh else []
        if together:
            self.begin()
        return together or [self.run_episode(rule)]

    def _check(self, rule: Rule) -> None:
        """Raise an error for what is no rule, or needs another `modulation`."""
        if not callable(rule) or isinstance(rule, type):
            raise ValueError(
                "a rule must be called with events and return a weight change for each, as make_rule('stdp') and "
                f"load_rule(folder) do, got {show(rule)}"
            )
        needed, given = modulation_of(rule), self.engine.config.modulation
        if needed not in (None, given):
            raise ValueError(f"the rule needs an environment with modulation={needed!r}, this one has {given!r}")

    def observe(self) -> Observation:
        """Return the pending events in slots, each array (B, E, ...)."""
        observation = self.blank(len(self._all_rows))
        for row, queue in enumerate(self._split()):
            part = self._presented(row, queue)
            used = slice(len(part.weight))
            observation["history"][row, used] = part.history().cpu().numpy()
            for name in ("weight", "group", "kind"):
                observation[name][row, used] = getattr(part, name).cpu().numpy()
            for name, column in zip(self.engine.scalars.names, part.extras.T, strict=True):
                observation[name][row, used] = column.cpu().numpy()
            observation["mask"][row, used] = 1
        return observation

    def blank(self, batch: int) -> Observation:
        """Return observations without any event: every slot 0, its group and kind -1, and masked out."""
        names = ("weight", *self.engine.scalars.names)
        numbers = {name: np.zeros((batch, self.slots), dtype=np.float32) for name in names}
        labels = {name: np.full((batch, self.slots), EMPTY, dtype=np.int64) for name in ("group", "kind")}
        return {
            "history": np.zeros((batch, self.slots, 2, self._history_length), dtype=np.uint8),
            **numbers,
            **labels,
            "mask": np.zeros((batch, self.slots), dtype=np.uint8),
        }

    def _presented(self, row: int, queue: SynapseEvents) -> SynapseEvents:
        """Return the events of lifetime `row` in the slots."""
        done = int(self._processed[row])
        count = min(len(queue.weight) - done, self.slots)
        return queue.narrow(done, count, queue.lengths)

    def apply_slots(self, actions: NDArray[Any], idle: Sequence[int] = ()) -> SlotsResult:
        """Apply weight changes for the slots; lifetimes without further events advance to the next phase or time step.

        Args:
            actions: Normalised weight changes, (B, E); masked slots are ignored.
            idle: Lifetimes that wait for `begin`; their slots are ignored.

        Raises:
            RuntimeError: No episode is under way.
            ValueError: Not numbers, wrong shape, or a used slot is not finite; nothing is changed then.
        """
        queues = self._split()
        ended = self.engine.ended
        if ended.sum() > ended[list(idle)].sum():
            raise RuntimeError("the episode is over; call reset() for the next one")
        actions = read_actions(actions)
        if actions.shape != (len(queues), self.slots):
            raise ValueError(
                f"actions must have shape {(len(queues), self.slots)}, lifetimes by event slots, got {actions.shape}"
            )
        parts = {row: self._presented(row, queue) for row, queue in enumerate(queues) if row not in idle}
        for row, part in parts.items():
            if not np.isfinite(actions[row, : len(part.weight)]).all():
                raise ValueError(f"actions must be finite where mask is 1, got NaN or infinity in lifetime {row}")
        self._pending = None  # it holds events processed now
        done: list[int] = []  # lifetimes without further events in their time step
        for row, part in parts.items():
            queue = queues[row]
            self.engine.write(part, torch.from_numpy(actions[row, : len(part.weight)]).to(self.engine.device), row)
            self._processed[row] += len(part.weight)
            if self._processed[row] < len(queue.weight):
                continue
            then = self.engine.after(queue)
            if then is not None:
                queues[row], self._processed[row] = then, 0
            else:
                done.append(row)
        return self._settle(done)

    def _settle(self, done: list[int]) -> SlotsResult:
        """End the time step of the lifetimes `done`, and advance those with a running episode."""
        rewards = np.zeros(len(self._all_rows))
        # Rewards of events are stored by lifetime, like the events.
        parts = [[row] for row in done] if self.engine.task.rewards_events else [done] if done else []
        for part in parts:
            outcome = self.engine.settle(part)
            if outcome is not None:
                rewards[outcome.rows.tolist()] = outcome.reward.tolist()
        ended = [row for row in done if self.engine.ended[row]]
        running = [row for row in done if not self.engine.ended[row]]
        if running:
            self._advance(running)
        return SlotsResult(rewards, ended)


def _for_all_lifetimes(events: SynapseEvents, rows: list[int], num_lifetimes: int) -> SynapseEvents:
    """Extend `lengths` to all B lifetimes, 0 for those not in `rows`; in all phases."""
    lengths = events.lengths.new_zeros(num_lifetimes)  # (B,)
    lengths[rows] = events.lengths
    then = None if events.then is None else _for_all_lifetimes(events.then, rows, num_lifetimes)
    return events._replace(lengths=lengths, then=then)


def episode_info(result: EpisodeResult) -> dict[str, Any]:
    """Return the info of a terminal step from the result of its one lifetime."""
    num_events, reward = int(result.num_events[0]), float(result.reward[0])
    returns = [reward] * num_events  # a list: Gymnasium's vector infos take arrays of one shape only
    if result.event_rewards is not None:
        returns = [value for rewards in result.event_rewards for value in rewards.tolist()]
    return {
        "reward_terms": {name: float(values[0]) for name, values in result.terms.items()},
        "returns": returns,
        "rates": result.rates[0].cpu().numpy(),
        "spikes": {name: int(values[0]) for name, values in result.spikes.items()},
        "num_events": num_events,
        "num_steps": int(result.length[0]),
        **{name: plain(values[0]) for name, values in result.info.items()},
    }


def plain(value: torch.Tensor) -> Any:
    """Return a number for a tensor of one, an array for any other."""
    return value.item() if value.ndim == 0 else value.cpu().numpy()
