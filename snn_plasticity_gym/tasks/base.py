"""Interface of tasks: the network, its inputs, rewards and ends of episodes. An engine runs one task.

A user's task derives from `Task` and is registered with `snn_plasticity_gym.register_task`.

Axes: B parallel lifetimes, R lifetimes of one call, T steps, N neurons.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.kernels.closed_loop import Loop
from snn_plasticity_gym.kernels.tables import ImageRecord, Learning, Networks, StepFactor
from snn_plasticity_gym.networks.activity import NetworkActivity
from snn_plasticity_gym.networks.encoders import SpikeTrain
from snn_plasticity_gym.networks.populations import Population, Projection
from snn_plasticity_gym.tasks.episode_record import EpisodeRecord
from snn_plasticity_gym.tasks.scene import Moment, Scene, plain_panels, recent_spikes
from snn_plasticity_gym.utils.state import State, restore_all

WEIGHTS, SHOWN, TASK, EPISODE = range(4)  # purposes of the random streams of a lifetime
_NOTHING: Mapping[str, Tensor] = {}  # no MappingProxyType, which cannot go to another process


class Seed(NamedTuple):
    """Seed of the random numbers of one episode of one lifetime.

    Streams of different purposes are independent, and functions of these numbers alone, so independent of the other
    lifetimes.
    """

    own: int  # seed of the network: with `common_network`, the same in all lifetimes
    shown: int  # seed of its inputs: with `common_noise`, the same in all lifetimes
    generation: int  # number of earlier lifetimes from the seed
    episode: int = 0  # number of earlier episodes of the lifetime, without aborted ones
    attempt: int = 0  # number of earlier, aborted attempts at the episode

    def rng(self, purpose: int = TASK) -> np.random.Generator:
        """Return the lifetime's stream for a purpose: `WEIGHTS`, `SHOWN`, `TASK`, or a number from 4 on."""
        root = self.shown if purpose == SHOWN else self.own
        return np.random.default_rng(np.random.SeedSequence(root, spawn_key=(self.generation, purpose)))

    def episode_rng(self) -> np.random.Generator:
        """Return the episode's stream, shared by all lifetimes with `common_noise`."""
        key = (self.generation, EPISODE, self.episode, *([self.attempt] if self.attempt else []))
        return np.random.default_rng(np.random.SeedSequence(self.shown, spawn_key=key))

    def draws_key(self) -> int:
        """Return the random key of winner-take-all groups in the episode, a uint64; shared as its stream is."""
        key = (self.generation, EPISODE, self.episode, self.attempt, 1)  # longer than that of any stream
        return int(np.random.SeedSequence(self.shown, spawn_key=key).generate_state(1, np.uint64)[0])


class StepInput(NamedTuple):
    """Input of the network in one time step."""

    spikes: dict[str, Tensor]  # bool (R, N) of every input population
    currents: Mapping[str, Tensor] = MappingProxyType({})  # (R, N) into computed populations
    rest: Tensor | None = None  # bool (R,): whether membranes are reset to rest first, as at the start of an episode
    # Bool (R, N) of computed populations with a refractory period: neurons without input until they are reset to rest
    deaf: Mapping[str, Tensor] = MappingProxyType({})


class Outcome(NamedTuple):
    """Step result: rewards and ends of episodes in a time step, for the lifetimes with either."""

    rows: Tensor  # int64 (R,), the lifetimes; the others have no reward, and their episodes continue
    reward: Tensor  # float32 (R,), of this step
    terminated: Tensor  # bool (R,): the episode has terminated
    truncated: Tensor  # bool (R,): the episode is truncated
    terms: Mapping[str, Tensor] = _NOTHING  # (R,) each, parts of the reward, summed over the episode; NaN: no value
    info: Mapping[str, Tensor] = _NOTHING  # (R, ...) each, further values; of an episode, those of its last outcome
    event_rewards: list[Tensor] | None = None  # (E,) each, of the entries of `EpisodeRecord.of`, if `rewards_events`


class LivedEpisodes(NamedTuple):
    """Rewards of all lifetimes in an episode of a closed loop that was run at once."""

    rewards: Tensor  # float32 (B, A) of each action; 0 after the last one
    steps: Tensor  # int64 (B,) time steps done
    terminated: Tensor  # bool (B,)
    info: Mapping[str, Tensor]  # (B, ...) each


class ClosedLoop(Protocol):
    """A closed loop that compiled loops can run."""

    loop: Loop  # tables, valid once `begin` has set the states of the worlds; the compiling code sets `signals`

    def begin(self) -> Sequence[np.random.Generator]:
        """Set the tables to the episode started by `Task.reset`; return the random streams of the B lifetimes."""

    def end(self) -> LivedEpisodes:
        """Set the task to the final state of `loop`, and return the rewards."""


class Task(ABC):
    """One environment: its network, inputs, and rewards.

    An engine calls `start_lifetimes`, then for each episode `reset`, and in each of its time steps `input`, `observe`
    (with the spikes), then, after all weight changes, `outcome`. Every call gives its lifetimes by their rows (R,)
    among B.

    Args of the constructor of every registered task: the environment's configuration, the number of lifetimes B, and
    the torch device.
    """

    populations: list[Population]  # in the order in which activity propagates within a step
    projections: list[Projection]
    groups: list[str]  # names of the groups of synapses, each with a policy head (or two, one for each kind of event)
    readout: str  # readout population
    num_steps: int  # most time steps of an episode
    record_steps: int  # W, time steps of recorded spikes of every population
    record: EpisodeRecord  # set by the engine
    max_rate: float = 1.0  # largest spike probability of an input neuron in a step
    source: str  # source of its inputs in a word or two, e.g. the name of a data set or a world
    window: int  # time steps from one reward to the next
    render_mode: str | None = None  # of the environment; set by the code that makes the task, before the first episode
    scalars: Sequence[str] = ()  # scalars of its events in addition to those of the setting `local_state`
    layer_scalars: Sequence[float] = ()  # of each plastic projection, if `scalars` has "layer"
    scalar_bounds: Mapping[str, tuple[float, float]] = MappingProxyType({})  # of scalars, if bounded
    judge_by: ClassVar[str] = "returns"  # evaluation method of rules: returns, classifier or labels
    portrait: ClassVar[str] = "episodes"  # kind of a report's network section: episodes or images
    open_loop: ClassVar[bool] = False  # the input of an episode is fixed at its start; see `whole_input`
    needs_potentials = False  # membrane potentials are recorded
    rewards_events = False  # each event has a separate reward
    teaches = False  # `teach` is called with the weight changes of episodes run at once
    credits_actions = False  # eligibility gets a sign once the action of its window is chosen; see `credit`
    winner_projection = ""  # projection whose weights into the winner are recorded where several images run in one call
    follows_steps = False  # an open loop in which `observe` or currents matter; see `step_factor`

    def start_lifetimes(self, rows: Sequence[int], seeds: Sequence[Seed]) -> None:  # noqa: B027 - a default
        """Start new lifetimes: reset all state, draw lifetime-long variables."""

    def end_plasticity(self, row: int) -> None:  # noqa: B027
        """Called when plasticity of lifetime `row` ends."""

    @abstractmethod
    def reset(self, rows: Tensor, seeds: Sequence[Seed]) -> None:
        """Start a new episode in the lifetimes `rows`."""

    def input(self, rows: Tensor, step: int | Tensor) -> StepInput:
        """Return the network's input in this step; of an open loop, that of `whole_input`, and `currents`.

        Args:
            rows: Lifetimes, int64 (R,), ascending.
            step: Time step of the episode, from 0: common to all, or of each, int64 (R,).
        """
        inputs = (population.name for population in self.populations if population.lif is None)
        spikes = {name: self.record.spikes_at(name, rows, step) for name in inputs}
        return StepInput(spikes, self.currents(rows, step))

    def currents(self, rows: Tensor, step: int | Tensor) -> dict[str, Tensor]:
        """Return the external current into computed populations, (R, N) each."""
        return {}

    def whole_input(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the input spikes of the whole episode started by `reset`, bool (R, T, N) of each input population.

        Only open loops have it.
        """
        raise NotImplementedError(f"{type(self).__name__} is no open loop")

    def whole_trains(self) -> list[SpikeTrain] | None:
        """Return the spikes of `whole_input` for every lifetime as lists, for one input population; None: no lists.

        Whole episodes run fastest with lists. Lifetimes that share their input share the list, too.
        """
        return None

    def step_factor(self) -> StepFactor | None:
        """Return, if an open loop `follows_steps`, its factor as tables.

        Called in every episode. Returning the same object, whose arrays may have changed, saves converting them all.
        Whole episodes then run in compiled loops; None: only `observe` and `currents` compute it, and steps are run one
        by one.
        """
        return None

    def closed_loop(self) -> ClosedLoop | None:
        """Return the tables for running the episodes of a closed loop in compiled loops; None: not supported.

        They hold from the next episode on.
        """
        return None

    def observe(self, rows: Tensor, step: int | Tensor, activity: NetworkActivity) -> None:  # noqa: B027
        """Called with the spikes of a step."""

    @abstractmethod
    def outcome(self, rows: Tensor, step: int | Tensor) -> Outcome | None:
        """Return the step result, after all weight changes; None: no reward, and no episode ended."""

    def factors(self) -> dict[str, Tensor]:
        """Return the third factor of the neurons of each population that has one, (B, N) each, at present."""
        return {}

    def teach(self, row: int, networks: Networks, learning: Learning, record: ImageRecord) -> None:  # noqa: B027
        """Process the record of lifetime `row` after an episode run at once, if the task `teaches`.

        Called from several threads in parallel, for different lifetimes, before `outcome`.

        Args:
            row: Lifetime.
            networks: All networks.
            learning: Their plasticity by the rule.
            record: The record; `trail` is of this lifetime.
        """

    def credit(self) -> dict[str, Tensor]:
        """Return, if the task `credits_actions`, the sign of the changes of the window that has just ended.

        By target population, (B, N): -1 for neurons of actions not taken; +1 for all others.
        """
        return {}

    def trace(self, row: int) -> dict[str, Tensor]:
        """Return variables of lifetime `row` for curves over an episode, at the reward just given.

        Numbers or vectors by name, e.g. the last action, () or (A,).
        """
        return {}

    def answer_groups(self) -> dict[str, Tensor]:
        """Return the groups of readout neurons by their meaning, indices int64 each; empty: no groups."""
        return {}

    def remedy(self, population: str) -> str:
        """Return a remedy for a population that never fires, e.g. "raise max_rate"."""
        leading = [projection.name for projection in self.projections if projection.target == population]
        if not leading:
            return "raise the rates of the input, or the number of time steps"
        return f"raise the gain or the initial weights of {' or '.join(leading)}, or the rates of the input"

    def manifest(self) -> dict[str, Any]:
        """Return the description of the source of episodes for a run's folder: plain values."""
        return {"name": self.source}

    def scene(self, row: int, moment: Moment) -> Scene:
        """Return the scene for rendering lifetime `row` now; no state changes.

        Here: the input spikes so far, the weights of the first plastic projection, the spikes of the readout.
        """
        panels = plain_panels(self.populations, self.projections, self.record, row, moment.steps)
        raster = recent_spikes(self.record, self.readout, row, moment.steps)
        return Scene(f"{self.source}   |   episode {moment.number} of this lifetime", panels, raster)

    def state_dict(self) -> State:
        """Return the state between episodes, right after `reset` of all lifetimes."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`; the episode at which it was taken has then started."""
        restore_all({}, state)

    def close(self) -> None:  # noqa: B027
        """Release the task's resources."""


def places_of(rows: Tensor, num_lifetimes: int) -> Tensor:
    """Return the index of each lifetime in `rows` (R,), int64 (B,); 0 for those not in it."""
    place = torch.zeros(num_lifetimes, dtype=torch.int64, device=rows.device)
    place[rows] = torch.arange(len(rows), device=rows.device)
    return place
