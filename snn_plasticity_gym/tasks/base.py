"""The task: which network lives, what it is shown, what an episode is worth. An engine is given one.

A task of one's own derives from `Task` and is registered with `snn_plasticity_gym.register_task`.

Axes: B lifetimes side by side, R lifetimes of one call, T steps, N neurons.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.kernels.closed_loop import Loop
from snn_plasticity_gym.kernels.tables import Learning, Lives, Shown, StepFactor
from snn_plasticity_gym.networks.activity import NetworkActivity
from snn_plasticity_gym.networks.encoders import SpikeTrain
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Population, Projection
from snn_plasticity_gym.networks.spike_counts import SpikeCounts
from snn_plasticity_gym.plasticity.event_log import WrittenEvents
from snn_plasticity_gym.tasks.scene import Moment, Scene, plain_panels, recent_spikes
from snn_plasticity_gym.utils.state import State, restore_all

WEIGHTS, SHOWN, TASK, EPISODE = range(4)  # purposes of the random streams of a lifetime
_NOTHING: Mapping[str, Tensor] = {}  # no MappingProxyType, which cannot go to another process


class Seed(NamedTuple):
    """Where the random numbers of one episode of one lifetime come from.

    Streams of different purposes are independent. What is drawn from them is a function of these numbers, so it does
    not depend on the other lifetimes.
    """

    own: int  # seed of the network: with `common_network`, the same in all lifetimes
    shown: int  # seed of what it is shown: with `common_noise`, the same in all lifetimes
    generation: int  # how many lifetimes grew from the seed before this one
    episode: int = 0  # how many episodes of the lifetime came before this one, those left out that were given up
    attempt: int = 0  # how often the episode was begun before, and given up

    def rng(self, purpose: int = TASK) -> np.random.Generator:
        """Return the lifetime's stream for a purpose: `WEIGHTS`, `SHOWN`, `TASK`, or a number from 4 on."""
        root = self.shown if purpose == SHOWN else self.own
        return np.random.default_rng(np.random.SeedSequence(root, spawn_key=(self.generation, purpose)))

    def episode_rng(self) -> np.random.Generator:
        """Return the episode's stream, which lifetimes share with `common_noise`."""
        key = (self.generation, EPISODE, self.episode, *([self.attempt] if self.attempt else []))
        return np.random.default_rng(np.random.SeedSequence(self.shown, spawn_key=key))

    def draws_key(self) -> int:
        """Return the key of what winner-take-all groups draw in the episode, a uint64; shared as its stream is."""
        key = (self.generation, EPISODE, self.episode, self.attempt, 1)  # longer than that of any stream
        return int(np.random.SeedSequence(self.shown, spawn_key=key).generate_state(1, np.uint64)[0])


class StepInput(NamedTuple):
    """What goes into the network in one time step."""

    spikes: dict[str, Tensor]  # bool (R, N) of every input population
    currents: Mapping[str, Tensor] = MappingProxyType({})  # (R, N) into computed populations
    rest: Tensor | None = None  # bool (R,): whose membranes are put to rest first, as at the start of an episode
    # Bool (R, N) of computed populations with a refractory period: neurons that hear nothing until they are put to rest
    deaf: Mapping[str, Tensor] = MappingProxyType({})


class Outcome(NamedTuple):
    """What a time step was worth to those lifetimes to which it was worth something, or whose episodes it ended."""

    rows: Tensor  # int64 (R,), which lifetimes; nothing was paid to the others, and nothing ended
    reward: Tensor  # float32 (R,), paid in this step
    terminated: Tensor  # bool (R,): the episode has come to its end
    truncated: Tensor  # bool (R,): the episode is cut off, though it could go on
    terms: Mapping[str, Tensor] = _NOTHING  # (R,) each, parts of the reward, summed over the episode; NaN: no value
    info: Mapping[str, Tensor] = _NOTHING  # (R, ...) each, further facts; of an episode, those of its last outcome
    event_rewards: list[Tensor] | None = None  # (E,) each, of the entries of `EpisodeRecord.of`, if `rewards_events`


class LivedEpisodes(NamedTuple):
    """What all lifetimes were paid in an episode of a closed loop that they have lived through as a whole."""

    rewards: Tensor  # float32 (B, A) of each action; 0 after the last one
    steps: Tensor  # int64 (B,) time steps done
    terminated: Tensor  # bool (B,)
    info: Mapping[str, Tensor]  # (B, ...) each


class ClosedLoop(Protocol):
    """A closed loop that compiled loops can live through."""

    loop: Loop  # tables, good once `begin` has put the worlds to where they stand; who compiles sets the payment

    def begin(self) -> Sequence[np.random.Generator]:
        """Begin the episode that `Task.reset` has begun; return the random stream of each lifetime's, B of them."""

    def end(self) -> LivedEpisodes:
        """Let the task stand where `loop` has led it, and return what was paid on the way."""


@dataclass
class EpisodeRecord:
    """What was recorded of the episodes under way; a task may read it, and writes nothing."""

    network: Network
    raster: dict[str, Tensor]  # bool (B, W, N), spikes of every population; step t stands at t modulo W
    potentials: dict[str, Tensor]  # (B, W, N) before the reset, if the task `needs_potentials`
    counted: dict[str, SpikeCounts] = field(default_factory=dict)  # (B, N) of episodes that were lived as a whole
    written: list[WrittenEvents] = field(default_factory=list)  # changes in order, if the task `rewards_events`

    def spikes_at(self, population: str, rows: Tensor, step: int | Tensor) -> Tensor:
        """Return what fired in a step, bool (R, N); arguments as in `Task.input`."""
        raster = self.raster[population]
        place = step % raster.shape[1]
        if len(rows) == len(raster) and isinstance(place, int):
            return raster[:, place]
        return raster[rows, place]

    def of(self, rows: Sequence[int]) -> list[WrittenEvents]:
        """Return the changes in the lifetimes `rows`, in order; those of all lifetimes at once if they are so kept."""
        together = [entry for entry in self.written if entry.row is None]
        return together or [entry for row in rows for entry in self.written if entry.row == row]

    def forget(self, rows: Sequence[int]) -> None:
        """Drop the changes in the lifetimes `rows`; of all of them, everything."""
        self.counted = {}
        everyone = len(rows) == self.network.num_networks
        self.written = [] if everyone else [entry for entry in self.written if entry.row not in rows]


class Task(ABC):
    """One environment: its network, what it is shown, what it earns.

    An engine calls `start_lifetimes`, then for each episode `reset`, and in each of its time steps `input`, `observe`
    (the spikes are known), then, when all synapses have answered, `outcome`. Every call names the lifetimes that it is
    about by their rows (R,) among B.

    Args of the constructor of every registered task: the environment's configuration, the number of lifetimes B, and
    the torch device.
    """

    populations: list[Population]  # in the order in which activity travels within a step
    projections: list[Projection]
    groups: list[str]  # names of the groups of synapses, each with a policy head (or two, one for each kind of event)
    readout: str  # population that answers
    num_steps: int  # most time steps of an episode
    record_steps: int  # W, time steps that are kept of the spikes of every population
    record: EpisodeRecord  # set by the engine
    max_rate: float = 1.0  # largest spike probability of an input neuron in a step
    source: str  # what it shows, in a word or two, e.g. the name of a data set or a world
    window: int  # time steps from one payment to the next
    render_mode: str | None = None  # of the environment; set by whoever makes the task, before the first episode
    scalars: Sequence[str] = ()  # scalars that its events always show beside those of the setting `local_state`
    layer_scalars: Sequence[float] = ()  # of each plastic projection, if `scalars` has "layer"
    scalar_bounds: Mapping[str, tuple[float, float]] = MappingProxyType({})  # of scalars, where they are known
    judge_by: ClassVar[str] = "returns"  # how rules are judged in it: returns, classifier or labels
    portrait: ClassVar[str] = "episodes"  # what a report shows of a network: episodes or images
    open_loop: ClassVar[bool] = False  # the input of an episode is known when it begins; see `whole_input`
    needs_potentials = False  # membrane potentials are recorded
    rewards_events = False  # each event has a reward of its own
    teaches = False  # `teach` sees what is asked of synapses in episodes that are lived as a whole
    credits_actions = False  # eligibility gets a sign when the action of its window is known; see `credit`
    follows_steps = False  # an open loop in which `observe` or currents matter; see `step_factor`

    def start_lifetimes(self, rows: Sequence[int], seeds: Sequence[Seed]) -> None:  # noqa: B027 - a default
        """Begin lifetimes anew: forget those before, draw what lasts as long as they do."""

    def end_plasticity(self, row: int) -> None:  # noqa: B027
        """Note that the synapses of lifetime `row` will not change any more."""

    @abstractmethod
    def reset(self, rows: Tensor, seeds: Sequence[Seed]) -> None:
        """Begin a new episode in the lifetimes `rows`."""

    def input(self, rows: Tensor, step: int | Tensor) -> StepInput:
        """Return what goes into the network now; of an open loop, what `whole_input` has said, and `currents`.

        Args:
            rows: Lifetimes, int64 (R,), ascending.
            step: Time step of the episode, from 0: common to all, or each one's own, int64 (R,).
        """
        inputs = (population.name for population in self.populations if population.lif is None)
        spikes = {name: self.record.spikes_at(name, rows, step) for name in inputs}
        return StepInput(spikes, self.currents(rows, step))

    def currents(self, rows: Tensor, step: int | Tensor) -> dict[str, Tensor]:
        """Return the current from outside into computed populations, (R, N) each."""
        return {}

    def whole_input(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the input spikes of the whole episode that `reset` has begun, bool (R, T, N) of each input population.

        Only open loops have it.
        """
        raise NotImplementedError(f"{type(self).__name__} is no open loop")

    def whole_trains(self) -> list[SpikeTrain] | None:
        """Return what `whole_input` does of every lifetime as lists, if there is one input population; None: as there.

        Lists are what whole episodes are quickest with. Lifetimes that share their input share the list, too.
        """
        return None

    def step_factor(self) -> StepFactor | None:
        """Return, where an open loop `follows_steps`, what comes of it as tables.

        Asked for in every episode. The same object as before, whose arrays may have changed, saves a look at them all.
        Lifetimes then live through whole episodes in compiled loops; None: only `observe` and `currents` can tell, and
        every step is taken by itself.
        """
        return None

    def closed_loop(self) -> ClosedLoop | None:
        """Return what compiled loops have to know to live through the episodes of a closed loop; None: they cannot.

        It is about the task from now on, not about the episode under way.
        """
        return None

    def observe(self, rows: Tensor, step: int | Tensor, activity: NetworkActivity) -> None:  # noqa: B027
        """See what fired in a step."""

    @abstractmethod
    def outcome(self, rows: Tensor, step: int | Tensor) -> Outcome | None:
        """Return what the step was worth, now that all synapses have answered; None: nothing paid, nothing ended."""

    def factors(self) -> dict[str, Tensor]:
        """Return the third factor of the neurons of each population that has one, (B, N) each, as of now."""
        return {}

    def teach(self, row: int, lives: Lives, learning: Learning, shown: Shown) -> None:  # noqa: B027
        """Look at what lifetime `row` has gone through in an episode lived as a whole, if the task `teaches`.

        Called from several threads side by side, of different lifetimes, before `outcome`.

        Args:
            row: Lifetime.
            lives: All networks.
            learning: How their weights have followed the rule.
            shown: What was kept; `trail` is of this lifetime.
        """

    def credit(self) -> dict[str, Tensor]:
        """Return, where the task `credits_actions`, the sign of the changes of the window that has just ended.

        By target population, (B, N): -1 where a neuron stood for an action that was not taken; of all others +1.
        """
        return {}

    def trace(self, row: int) -> dict[str, Tensor]:
        """Return what a curve over an episode of lifetime `row` shows beside spikes, as of the payment just made.

        Numbers or vectors by name, e.g. the last action, () or (A,).
        """
        return {}

    def answer_groups(self) -> dict[str, Tensor]:
        """Return the groups of answering neurons by what they stand for, indices int64 each; empty: there are none."""
        return {}

    def remedy(self, population: str) -> str:
        """Return what a user can do where no neuron of a population ever fires, e.g. "raise max_rate"."""
        leading = [projection.name for projection in self.projections if projection.target == population]
        if not leading:
            return "raise the rates of the input, or the number of time steps"
        return f"raise the gain or the initial weights of {' or '.join(leading)}, or the rates of the input"

    def manifest(self) -> dict[str, Any]:
        """Return what a run's folder keeps of where episodes come from: plain values."""
        return {"name": self.source}

    def scene(self, row: int, moment: Moment) -> Scene:
        """Return what a picture of lifetime `row` shows now; nothing is changed by it.

        Here: the input spikes so far, the weights of the first plastic projection, the spikes of the readout.
        """
        panels = plain_panels(self.populations, self.projections, self.record, row, moment.steps)
        raster = recent_spikes(self.record, self.readout, row, moment.steps)
        return Scene(f"{self.source}   |   episode {moment.number} of this lifetime", panels, raster)

    def state_dict(self) -> State:
        """Return what the task carries from episode to episode, right after `reset` of all lifetimes."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`; the episode that it was taken in has begun then."""
        restore_all({}, state)

    def close(self) -> None:  # noqa: B027
        """Free what the task holds."""


def places_of(rows: Tensor, num_lifetimes: int) -> Tensor:
    """Return where each lifetime stands among `rows` (R,), int64 (B,); 0 for those that are not among them."""
    place = torch.zeros(num_lifetimes, dtype=torch.int64, device=rows.device)
    place[rows] = torch.arange(len(rows), device=rows.device)
    return place
