"""The engine: B lifetimes of a task's network, advanced together as torch batches.

Axes: B lifetimes, R the lifetimes of one call, T steps, N neurons, K history length, E events.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.envs.earnings import Earnings
from snn_plasticity_gym.envs.episode import EpisodeResult, LastEpisode
from snn_plasticity_gym.envs.image_series import images_left, series_task, show_series
from snn_plasticity_gym.envs.lifetimes import Lifetimes
from snn_plasticity_gym.envs.neuromodulation import Neuromodulation
from snn_plasticity_gym.envs.parts import EngineParts
from snn_plasticity_gym.envs.recorder import Recorder
from snn_plasticity_gym.envs.silence import SilenceWatch
from snn_plasticity_gym.envs.whole_episodes import WholeEpisodes
from snn_plasticity_gym.networks.activity import NetworkActivity, silenced
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.spike_history import SpikeHistories
from snn_plasticity_gym.plasticity.event_finder import EventFinder
from snn_plasticity_gym.plasticity.event_log import WrittenEvents
from snn_plasticity_gym.plasticity.events import SynapseEvents, head_names, per_event
from snn_plasticity_gym.plasticity.local_scalars import LocalScalars, shown_scalars
from snn_plasticity_gym.plasticity.weight_changes import WeightChanges, learning_pace
from snn_plasticity_gym.plasticity.weight_updates import WeightWriter
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.tasks.base import WEIGHTS, Outcome, Task
from snn_plasticity_gym.tasks.checks import check_input, check_outcome, has_factor
from snn_plasticity_gym.utils.nonfinite import NotFiniteError
from snn_plasticity_gym.utils.state import State, clone_state


class Engine:
    """B lifetimes, each a network with weights that persist over episodes.

    The order of calls is `start_lifetimes`, then for each episode `begin`, then for each time step `advance` and
    `write` (and, until it returns None, `after` and `write`) and `settle`, and when that has ended an episode `finish`.
    Every call takes the lifetimes concerned, at the same step or not. A lifetime is a function of its seed and of the
    weight changes written to it.

    Args:
        task: Network, stimuli and rewards; the engine becomes its only caller.
        config: Settings of the simulation, the events and the plasticity.
        num_lifetimes: B.
        device: Device of all tensors.

    Raises:
        ConfigError: A local scalar of `config.local_state` is not available here.
    """

    def __init__(self, task: Task, config: EnvironmentConfig, num_lifetimes: int, device: torch.device) -> None:
        self.task = task
        self.config = config
        self.num_lifetimes = num_lifetimes
        self.device = device
        self.network = Network(task.populations, task.projections, num_lifetimes, config.dt, device)
        self.heads = head_names(task.groups, config.event_kinds == "split")  # `SynapseEvents.group` counts them
        self._find_events = EventFinder(self.network, config.history_length, config.event_kinds)
        plastic = self._find_events.projections
        sizes = {name: self.network.populations[name].size for name in self._find_events.populations}
        self.histories = SpikeHistories(sizes, num_lifetimes, config.history_length, device)
        self.recorder = Recorder(task, self.network)
        task.record = self.recorder.record
        has_third_factor = has_factor(task, config.modulation)
        names = shown_scalars(config.local_state, task.scalars, has_third_factor, len(plastic), task.layer_scalars)
        self.scalars = LocalScalars(names, self.network, plastic, task.layer_scalars)
        self.modulation = Neuromodulation(task, self.network, self.scalars, config)
        self.changes = WeightChanges(self.heads, device)
        self._write = WeightWriter(self.network, plastic, self.modulation.eligibility, self.changes)
        self.earnings = Earnings(num_lifetimes, device)
        self._silence = SilenceWatch(task)
        self.last_outcome: Outcome | None = None  # of the last `settle`
        self.steps = np.zeros(num_lifetimes, dtype=np.int64)  # time steps of the episode done so far
        self._now = 0  # steps done by the lifetimes that were advanced last
        self.ended = np.zeros(num_lifetimes, dtype=np.bool_)  # whether the episode has ended
        self.lifetimes = Lifetimes(num_lifetimes, config.common_network, config.common_noise)
        self.last_episodes: list[LastEpisode | None] = [None] * num_lifetimes  # of this lifetime; None: none so far
        self._begun = np.zeros(num_lifetimes, dtype=np.bool_)
        self._unprepared = np.zeros(num_lifetimes, dtype=np.bool_)  # whose episode has begun; see `prepare`
        self.num_events = torch.zeros(num_lifetimes, dtype=torch.int64, device=device)
        self._all_rows = torch.arange(num_lifetimes, device=device)
        self._parts = EngineParts(self.network, task, self.modulation, self.recorder, self.scalars, config)
        self.whole = WholeEpisodes(functools.partial(self._simulate, self._all_rows, listed=False), self._parts)

    @property
    def num_steps(self) -> int:
        """Most time steps of an episode."""
        return self.task.num_steps

    @property
    def ages(self) -> NDArray[np.int64]:
        """Completed episodes of each lifetime, (B,)."""
        return self.lifetimes.ages

    @property
    def raster(self) -> dict[str, Tensor]:
        """Spikes of every population, bool (B, W, N); see `EpisodeRecord`."""
        self.prepare()
        return self.recorder.record.raster

    def weight_range(self) -> tuple[float, float]:
        """Return the smallest and the largest weight of plastic synapses."""
        return self._write.weight_range

    def has_begun(self, row: int) -> bool:
        """Whether lifetime `row` has begun an episode."""
        return bool(self._begun[row])

    def start_lifetimes(self, rows: Sequence[int], seeds: Sequence[int | None]) -> None:
        """Begin lifetimes: fresh weights, thresholds and memory.

        Args:
            rows: Lifetimes.
            seeds: Seed of each; None: the next lifetime of the present seed.
        """
        self.lifetimes.start(rows, seeds)
        for row in rows:
            self.network.grow(row, self.lifetimes.seed(row).rng(WEIGHTS))
            self.last_episodes[row] = None
            self.modulation.start_lifetime(row)
            self.scalars.start_lifetime(row)
        self.task.start_lifetimes(rows, [self.lifetimes.seed(row) for row in rows])

    def state_dict(self) -> State:
        """Return a copy of the full state, between `begin` and the episode's first step.

        Raises:
            RuntimeError: An episode is under way.
        """
        if self.steps.any():
            raise RuntimeError("the state of lifetimes can be had between two episodes only")
        return clone_state(
            {
                "network": self.network.state_dict(),
                "task": self.task.state_dict(),
                "surprise": self.modulation.surprise.state_dict(),
                "scalars": self.scalars.state_dict(),
                **self.lifetimes.state_dict(),
            }
        )

    def load_state_dict(self, state: State) -> None:
        """Load a state of `state_dict`, of an engine with the same settings; a running episode is discarded.

        Raises:
            ValueError: The settings differ.
        """
        self.network.load_state_dict(state["network"])
        self.modulation.surprise.load_state_dict(state["surprise"])
        self.scalars.load_state_dict(state["scalars"])
        self.lifetimes.load_state_dict(state)
        self.task.load_state_dict(state["task"])
        self._begin_steps(list(range(self.num_lifetimes)), self._all_rows)

    def begin(self, rows: Sequence[int]) -> None:
        """Begin the next episode of the lifetimes `rows`; those after `lifetime_length` episodes start new lifetimes.

        Args:
            rows: Lifetimes, ascending.
        """
        length = self.config.lifetime_length
        expired = [row for row in rows if length and self.ages[row] >= length]
        if expired:
            self.start_lifetimes(expired, [None] * len(expired))
        for row in rows if self.config.plastic_episodes else ():
            if self.ages[row] == self.config.plastic_episodes:
                self.network.non_plastic[row] = True
                self.task.end_plasticity(row)
        self.lifetimes.begin(self._some(rows))
        index = self._index(rows)
        self.task.reset(index, [self.lifetimes.seed(row) for row in rows])
        self.network.normalise(index)
        self._begin_steps(rows, index)

    def _begin_steps(self, rows: Sequence[int], index: Tensor) -> None:
        """Reset all state of an episode to that before the first step; the rest is `prepare`."""
        self.modulation.begin(index)
        self.recorder.begin(rows, index)
        self.earnings.begin(rows, index)
        if self.network.has_groups:
            self.network.draws.begin(index, (self.lifetimes.seed(row).draws_key() for row in rows))
        some = self._some(rows)
        self.num_events.index_fill_(0, index, 0)
        self.steps[some] = 0
        self.ended[some] = False
        self._begun[some] = self._unprepared[some] = True

    def prepare(self) -> None:
        """Reset what only single steps use: membranes, histories and input of an open loop."""
        if not self._unprepared.any():
            return
        rows = np.flatnonzero(self._unprepared).tolist()
        index, some = self._index(rows), self._some(rows)
        self.network.rest(index)
        self.histories.forget(some)
        if self.task.open_loop:
            self.recorder.set_inputs(index, self.task.whole_input(index))
        self._unprepared[:] = False

    def _pace(self, later: int = 0) -> Tensor:
        """Return the factor of the learning rates by the age of each lifetime, or so many episodes later, (B,)."""
        ages = self.ages + later if later else self.ages
        return learning_pace(ages, self.config.eta_decay, self.config.eta_schedule)

    def _some(self, rows: Sequence[int]) -> slice | Sequence[int]:
        """Return lifetimes, ascending, as an index; a slice costs less than a list of all."""
        return slice(None) if len(rows) == self.num_lifetimes else rows

    def _index(self, rows: Sequence[int]) -> Tensor:
        """Return lifetimes, ascending, as int64 (R,)."""
        all_rows = len(rows) == self.num_lifetimes
        return self._all_rows if all_rows else torch.as_tensor(rows, dtype=torch.int64, device=self.device)

    def _place(self, rows: Sequence[int] | None) -> tuple[Tensor, int | Tensor]:
        """Return the lifetimes of a call, int64 (R,), and their numbers of completed steps: the same, or (R,)."""
        if rows is None:
            return self._all_rows, int(self.steps[0])
        index, steps = self._index(rows), self.steps[rows]
        if (steps == steps[0]).all():
            return index, int(steps[0])
        return index, torch.as_tensor(steps, device=self.device)

    def advance(self, rows: Sequence[int] | None = None) -> SynapseEvents:
        """Advance the lifetimes `rows` (None: all, at the same step) by one time step.

        Returns:
            The step's events, or the first phase of them; `lengths` has one entry per lifetime of the call.
        """
        where, step = self._place(rows)
        some: slice | Tensor = slice(None) if rows is None else where  # a slice costs less than a list of all
        activity = self._simulate(where, step)
        windows = self.histories.push(activity.spikes, None if rows is None else where)
        self.steps[slice(None) if rows is None else rows] += 1
        self._now = int(self.steps[0] if rows is None else self.steps[rows[0]])
        if self.network.non_plastic.any():  # whose spikes are no events
            activity = silenced(activity, self.network.non_plastic.to(self.device)[some])
        events = self._find_events(activity, windows, where)
        for phase in events.phases():
            self.num_events[some] += phase.lengths
        return self.scalars(events)

    def _simulate(self, where: Tensor, step: int | Tensor, listed: bool = True) -> NetworkActivity:
        """Advance the networks `where` (R,) by a time step, before any weight change."""
        all_rows = len(where) == self.num_lifetimes and isinstance(step, int)
        self.prepare()
        inputs = self.task.input(where, step)
        if not self.task.open_loop:
            check_input(inputs, self.task, len(where))
            if inputs.rest is not None:
                self.network.rest(where[inputs.rest])
            self.network.deafen(where, inputs.deaf)
        activity = self.network.advance(inputs.spikes, None if all_rows else where, inputs.currents, listed)
        self.task.observe(where, step, activity)
        some = slice(None) if all_rows else where
        self.recorder.write(some, step, activity, tuple(inputs.spikes) if self.task.open_loop else ())
        self.scalars.update(where, activity, self.task.factors() if self.scalars.of_neurons else {})
        return activity

    def after(self, events: SynapseEvents) -> SynapseEvents | None:
        """Return the events after `events` in the same time step, with the present weights; None: none."""
        then = events.then
        if then is None:
            return None
        weight = self.network.weights.index_select(0, then.synapse)
        return self.scalars(then._replace(weight=weight))

    def write(self, events: SynapseEvents, delta_d: Tensor, row: int | None = None) -> None:
        """Change the weights: w <- clip(w + eta * alpha * clip(delta_d, -1, 1), w_min, w_max).

        eta decays with age, see `learning_pace`; with `modulation` changes wait for a reward, see `Eligibility`.

        Args:
            events: Events of the present step, all or some.
            delta_d: Normalised weight change of each, (E,).
            row: Lifetime of all of them; None if they are the whole phase of all lifetimes.

        Raises:
            ValueError: Wrong number of weight changes, or (`NotFiniteError`) one not finite; nothing is changed.
        """
        if delta_d.shape != events.weight.shape:
            raise ValueError(f"delta_d must have one entry per event, {len(events.weight)}, got {tuple(delta_d.shape)}")
        delta_d = delta_d.detach().to(self.network.weights)  # no graph over the weights' whole lifetime
        pace = None
        if self.config.eta_decay:
            of_lifetimes = self._pace().to(delta_d)  # (B,)
            pace = per_event(of_lifetimes, events.lengths) if row is None else of_lifetimes[row]  # (E,) or ()
        # Of all lifetimes, those whose episode is over have no events, and the others are at the same step.
        step = (self._now if row is None else int(self.steps[row])) - 1
        try:
            change = self._write(events, delta_d, step, pace)
        except NotFiniteError:
            bad = int((~delta_d.isfinite()).nonzero()[0])
            lifetime = int(per_event(self._all_rows, events.lengths)[bad]) if row is None else row
            where = f"in lifetime {lifetime}, episode {self.ages[lifetime] + 1}, time step {step + 1}"
            raise NotFiniteError(f"delta_d must be finite, got NaN or infinity {where}; look at the rule") from None
        if self.task.rewards_events:
            entry = WrittenEvents(step, row, events.synapse, events.projection, events.weight, change)
            self.recorder.record.written.append(entry)

    def settle(self, rows: Sequence[int] | None = None) -> Outcome | None:
        """End a time step of the lifetimes `rows` (None: all, at the same step): apply rewards, mark ended episodes.

        Returns:
            The step result; None: no reward, and no episode ended.
        """
        where, done = self._place(rows)
        outcome = self.last_outcome = self.task.outcome(where, done - 1)
        if outcome is None:
            return None
        which = check_outcome(outcome, self.task).rows
        self.earnings.add(outcome, done if isinstance(done, int) else self.steps)
        self.ended[which.cpu().numpy()] = (outcome.terminated | outcome.truncated).cpu().numpy()
        self.modulation.apply_rewards(which, outcome.reward, self.changes)
        return outcome

    def run_episode(self, rule: Rule) -> bool:
        """Run the episode begun by `begin` in all lifetimes at once by a rule, if possible.

        Spikes and weights are those of `advance` and `write`; membranes and histories are not changed. If it
        returns False nothing was done: the rule must be called with events.
        """
        assert not np.count_nonzero(self.steps), "begin() comes first"
        if (whole := self.whole.run(rule, self._pace(), self.changes.sums)) is None:
            return False
        events, result = whole
        self.num_events.copy_(events)
        self._unprepared[:], self.steps[:] = False, self.task.num_steps
        if result is None:
            self.settle()
        else:
            self.steps[:], self.ended[:] = result.steps.numpy(), True
            self.earnings.take(result, self.task.window)
        return True

    def run_series(self, rule: Rule, count: int) -> list[EpisodeResult]:
        """Run several episodes of all lifetimes in one call of compiled loops, if possible, from the one begun on.

        All is as after so many calls of `run_episode`, `finish` and, in between, `begin`, which has to follow.

        Args:
            rule: As in `run_episode`.
            count: Most episodes.

        Returns:
            Their results; if there are none, nothing was done: episodes have to be run one by one.
        """
        task = series_task(self._parts)
        way = None if task is None else self.whole.compiled_way(rule)
        if task is None or way is None:
            return []
        left = images_left(self.ages, self.config.lifetime_length, self.config.plastic_episodes)
        count = min(count, left, self.whole.images.most)
        if count < 2:
            return []
        paces = torch.stack([self._pace(later) for later in range(count)])  # (M, B)
        results = show_series(task, self.whole.images, way, paces, self.ages.tolist(), self.changes.sums)
        self.lifetimes.finish(slice(None), count)
        for result in results[:-1]:
            self._silence.see(result.spikes)
        self._end(range(self.num_lifetimes), results[-1])
        return results

    def finish(self, rows: Sequence[int]) -> EpisodeResult:
        """Return the results of the ended episodes of the lifetimes `rows`."""
        index, some = self._index(rows), self._some(rows)
        assert np.count_nonzero(self.ended[some]) == len(rows), "settle() comes first"
        length = torch.from_numpy(self.steps[some].copy()).to(self.device)
        rewards = self.earnings.of(rows, index)
        self.lifetimes.finish(some)
        result = EpisodeResult(
            **rewards._asdict(),
            spikes=self.recorder.spikes(index),
            rates=self.recorder.rates(index, length),
            num_events=self.num_events.index_select(0, index),
            length=length,
        )
        self._end(rows, result)
        return result

    def _end(self, rows: Sequence[int], result: EpisodeResult) -> None:
        """Note what lifetimes have gone through."""
        for row, last in zip(rows, result.by_lifetime(), strict=True):
            self.last_episodes[row] = last
        self._silence.see(result.spikes)

    def plastic_weights(self, row: int) -> dict[str, Tensor]:
        """Return the weights of one lifetime's plastic projections, (n_pre, n_post) each."""
        return {p.name: self.network.weights_of(p.name)[row] for p in self._find_events.projections}
