"""All the physics: B lifetimes of spiking networks, advanced together as torch batches.

Axes: B lifetimes, R the lifetimes of one call, T steps, N neurons, K history length, E events.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.config.environments import EnvironmentConfig
from snn_plasticity_gym.envs.episode import EpisodeResult, LastEpisode
from snn_plasticity_gym.envs.whole_images import CompiledImages, closed_form_of
from snn_plasticity_gym.networks.network import Network, NetworkActivity, SpikeList
from snn_plasticity_gym.networks.spike_counts import count_spikes, total_spikes
from snn_plasticity_gym.networks.spike_history import empty_windows, push
from snn_plasticity_gym.plasticity.eligibility import Eligibility
from snn_plasticity_gym.plasticity.event_log import EventLog
from snn_plasticity_gym.plasticity.events import EventFinder, SynapseEvents, head_names, per_event
from snn_plasticity_gym.plasticity.weight_changes import WeightChanges, learning_pace, weight_statistics
from snn_plasticity_gym.plasticity.weight_updates import WeightWriter
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.tasks.base import Episode
from snn_plasticity_gym.tasks.datasets import ImageSet, load_dataset
from snn_plasticity_gym.tasks.images import Stimuli, Stimulus, draw, largest_pool
from snn_plasticity_gym.tasks.registry import make_task
from snn_plasticity_gym.utils.device import torch_device
from snn_plasticity_gym.utils.nonfinite import NotFiniteError
from snn_plasticity_gym.utils.state import State, restore


class Engine:
    """B lifetimes, each a network with weights that last and episodes that pass.

    The order of calls is `start_lifetimes`, then for each episode `begin`, T times `advance` and `write` (and, until
    it returns None, `after` and `write`), `finish`.
    Every call takes the lifetimes it is about, so that they need not be at the same step. What happens in a lifetime
    is a function of its seed and of the weight changes written to it; the other lifetimes have no influence.

    Args:
        config: Settings of one of the environments.
        num_lifetimes: B.

    Raises:
        ValueError: The device does not exist.
        FileNotFoundError: The data set cannot be had (see `load_dataset`).
    """

    def __init__(self, config: EnvironmentConfig, num_lifetimes: int) -> None:
        self.config = config
        self.num_lifetimes = num_lifetimes
        self.device = torch_device(config.device)
        self.dataset = load_dataset(config.dataset, config.data_dir, config.image_size)
        self._images = self.dataset.split(config.split)
        n_input = self._images.images[0].numel()
        num_images = largest_pool(self._images, config)
        self.task = make_task(config, num_lifetimes, n_input, num_images, self.dataset.num_classes, self.device)
        self.network = Network(self.task.populations, self.task.projections, num_lifetimes, config.dt, self.device)
        split_kinds = config.event_kinds == "split"
        self.heads = head_names(self.task.groups, split_kinds)  # of the policy; `SynapseEvents.group` counts them
        self._find_events = EventFinder(self.network, config.history_length, split_kinds)
        sizes = {population.name: population.size for population in self.task.populations}
        self._windows = {  # (B, N, W)
            name: empty_windows(num_lifetimes, sizes[name], length=config.history_length, device=self.device)
            for name in self._find_events.populations
        }
        self.raster = {  # (B, T, N) spikes of the episode, step by step
            population.name: torch.zeros(
                num_lifetimes, config.num_steps, population.size, dtype=torch.bool, device=self.device
            )
            for population in self.task.populations
        }
        self._potentials = {  # (B, T, N) before the reset, kept where the task needs them
            population.name: torch.zeros(num_lifetimes, config.num_steps, population.size, device=self.device)
            for population in self.task.populations
            if population.lif is not None and self.task.needs_potentials
        }
        self._log = EventLog()
        self._eligibility = Eligibility(config, self.network) if config.modulation == "reward" else None
        self.steps = np.zeros(num_lifetimes, dtype=np.int64)  # time steps of the episode done so far
        self.ages = np.zeros(num_lifetimes, dtype=np.int64)  # images seen in this lifetime
        self.last_episodes: list[LastEpisode | None] = [None] * num_lifetimes  # of this lifetime; None: none judged yet
        self._seeds = [0] * num_lifetimes
        self.common_seed: int | None = None  # of what `common_noise` shares; None: that of the first lifetime
        self._generations = np.zeros(num_lifetimes, dtype=np.int64)  # lifetimes that grew from the seed so far
        self._stimuli: list[Stimuli | None] = [None] * num_lifetimes
        self._shown: list[Stimulus | None] = [None] * num_lifetimes
        self.num_events = torch.zeros(num_lifetimes, dtype=torch.int64, device=self.device)
        self._all = torch.arange(num_lifetimes, device=self.device)
        self.changes = WeightChanges(self.heads, self.device)
        self._write = WeightWriter(self.network, self._find_events.projections, self._eligibility, self.changes)

    @functools.cached_property
    def compiled(self) -> CompiledImages:
        """The compiled way through images."""
        return CompiledImages(self.network, self.task, self._eligibility, self.num_steps)

    @property
    def num_steps(self) -> int:
        """Time steps T of an episode."""
        return self.config.num_steps

    def weight_range(self) -> tuple[float, float]:
        """Return the smallest and the largest weight that a plastic synapse can have."""
        return self._write.weight_range

    def has_begun(self, row: int) -> bool:
        """Whether lifetime `row` has been shown an image."""
        return self._shown[row] is not None

    def shown(self, row: int) -> Stimulus:
        """Return what lifetime `row` is looking at."""
        stimulus = self._shown[row]
        assert stimulus is not None, "begin() comes first"
        return stimulus

    def reserve_images(self, count: int) -> None:
        """Keep the last `count` images of the split from all lifetimes that begin from now on.

        Raises:
            ValueError: That leaves none to be shown, or is less than none.
        """
        whole = self.dataset.split(self.config.split)
        if not 0 <= count < len(whole.labels):
            raise ValueError(
                f"count must be at least 0 and less than the split's {len(whole.labels)} images, got {count}"
            )
        shown = len(whole.labels) - count  # the first ones, so that an image keeps its place in the split
        self._images = ImageSet(whole.images[:shown], whole.labels[:shown])

    def start_lifetimes(self, rows: Sequence[int], seeds: Sequence[int | None]) -> None:
        """Begin lifetimes: fresh weights, thresholds, images and memory.

        Args:
            rows: Which lifetimes.
            seeds: Seed of each; None goes on with the next lifetime that the present seed leads to.
        """
        for row, seed in zip(rows, seeds, strict=True):
            if seed is None:
                self._generations[row] += 1
            else:
                self._seeds[row], self._generations[row] = seed, 0
        begun: dict[tuple[int, int], Stimuli] = {}
        for row in rows:
            generation = int(self._generations[row])
            # With common noise every lifetime has images and input spikes of one seed.
            common = self._seeds[0] if self.common_seed is None else self.common_seed
            shown_seed = common if self.config.common_noise else self._seeds[row]
            self.network.grow(row, _stream(self._seeds[row], generation, 0))
            key = shown_seed, generation
            if key not in begun:
                begun[key] = Stimuli(self._images, self.config, _stream(*key, 1))
            self._stimuli[row] = begun[key]
            self.ages[row] = 0
            self.last_episodes[row] = None
            if self._eligibility is not None:
                self._eligibility.start_lifetime(row)
            self.task.start_lifetime(row, _stream(self._seeds[row], generation, 2))

    def state_dict(self) -> State:
        """Return all that decides what follows, between `begin` and the image's first step.

        Only pictures of the last episode (`last_episodes`, rasters) are left out.

        Raises:
            RuntimeError: An image is being shown.
        """
        if self.steps.any():
            raise RuntimeError("the state of lifetimes can be had between two images only")
        return {
            "network": self.network.state_dict(),
            "task": self.task.state_dict(),
            "eligibility": {} if self._eligibility is None else self._eligibility.state_dict(),
            "seeds": list(self._seeds),
            "generations": self._generations.tolist(),
            "ages": self.ages.tolist(),
            "stimuli": [stimuli.state_dict() for stimuli in self._stimuli if stimuli is not None],
            "shown": [self.shown(row)._asdict() for row in range(self.num_lifetimes)],
        }

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`, of an engine with the same settings.

        Raises:
            ValueError: The settings differ.
        """
        self.network.load_state_dict(state["network"])
        self.task.load_state_dict(state["task"])
        if self._eligibility is not None:
            self._eligibility.load_state_dict(state["eligibility"])
        self._seeds = list(state["seeds"])
        self._generations[:] = state["generations"]
        self.ages[:] = state["ages"]
        for row, (stream, shown) in enumerate(zip(state["stimuli"], state["shown"], strict=True)):
            stimuli = Stimuli(self._images, self.config, np.random.default_rng(0))
            stimuli.load_state_dict(stream)
            self._stimuli[row], self._shown[row] = stimuli, Stimulus(**shown)
            restore(self.raster[self.task.input_name][row], shown["spikes"], "input spikes")

    def begin(self, rows: Sequence[int]) -> None:
        """Show the next image to the lifetimes `rows`; those that have seen `lifetime_length` images start anew."""
        length = self.config.lifetime_length
        expired = [row for row in rows if length and self.ages[row] >= length]
        if expired:
            self.start_lifetimes(expired, [None] * len(expired))
        input_raster = self.raster[self.task.input_name]
        judged = [row for row in rows if 0 < self.config.plastic_episodes == self.ages[row]]
        for row in judged:
            self.network.non_plastic[row] = True
            self.task.end_plasticity(row)
        for row, stimulus in zip(rows, draw(self._stimuli, rows, self.ages.tolist(), judged), strict=True):
            input_raster[row] = stimulus.spikes.to(self.device)
            self._shown[row] = stimulus
        if len(rows) == self.num_lifetimes:
            self._log.forget(None)
        else:
            for row in rows:
                self._log.forget(row)
        index = torch.as_tensor(rows, dtype=torch.int64, device=self.device)
        self.task.begin(index, torch.tensor([self.shown(row).label for row in rows], device=self.device))
        self.network.rest(index)
        for windows in self._windows.values():
            windows[index] = 0
        self.num_events[index] = 0
        self.steps[rows] = 0

    def advance(self, rows: Sequence[int] | None = None) -> SynapseEvents:
        """Advance the lifetimes `rows` (all, which must then be at the same step, if None) by one time step.

        Returns:
            The step's events, or the first phase of them; `lengths` has one entry per lifetime of the call.
        """
        at: int | Tensor  # step, common to all or each one's own (R,)
        some: slice | Tensor  # the lifetimes, where a tensor of all is indexed: a slice costs less than a list of all
        if rows is None:
            index, some, where, at = None, slice(None), self._all, int(self.steps[0])
        else:
            index = some = where = torch.as_tensor(rows, dtype=torch.int64, device=self.device)
            at = torch.as_tensor(self.steps[rows], device=self.device)
        network_input = self.raster[self.task.input_name][some, at]  # (R, n_input)
        currents = self.task.currents(where, at)
        activity = self.network.advance({self.task.input_name: network_input}, index, currents)
        self.task.observe(where, at, activity)
        for name, spikes in activity.spikes.items():
            if name != self.task.input_name:
                self.raster[name][some, at] = spikes
        for name, potentials in self._potentials.items():
            potentials[some, at] = activity.potentials[name]
        windows = {}
        for name, whole in self._windows.items():
            if index is None:
                windows[name] = push(whole, activity.spikes[name], self.config.history_length)
            else:
                windows[name] = push(whole[index], activity.spikes[name], self.config.history_length)
                whole[index] = windows[name]
        self.steps[slice(None) if rows is None else rows] += 1
        events = self._find_events(self._of_plastic(activity, rows), windows, where)
        for phase in events.phases():
            self.num_events[some] += phase.lengths
        return events._replace(extras=self.task.extras(events))

    def _of_plastic(self, activity: NetworkActivity, rows: Sequence[int] | None) -> NetworkActivity:
        """Leave out the spikes of lifetimes that are no longer plastic, which then have no events."""
        if not self.network.non_plastic.any():
            return activity
        still = self.network.non_plastic if rows is None else self.network.non_plastic[rows]  # (R,)
        plastic = ~still.to(self.device).unsqueeze(1)  # (R, 1)
        spikes = {name: fired & plastic for name, fired in activity.spikes.items()}  # (R, N) each
        return activity._replace(spikes=spikes, lists={name: SpikeList.of(fired) for name, fired in spikes.items()})

    def after(self, events: SynapseEvents) -> SynapseEvents | None:
        """Return what follows `events` in the same time step, with the weights as they are now; None: nothing."""
        then = events.then
        if then is None:
            return None
        weight = self.network.weights.index_select(0, then.synapse)
        return then._replace(weight=weight, extras=self.task.extras(then))

    def write(self, events: SynapseEvents, delta_d: Tensor, row: int | None = None) -> None:
        """Change the weights: w <- clip(w + eta * alpha * clip(delta_d, -1, 1), w_min, w_max).

        With age eta falls, see `learning_pace`; with `modulation` reward changes wait for the image's end, see
        `Eligibility`.

        Args:
            events: Events of the present step, all or some.
            delta_d: Normalised weight change of each, (E,).
            row: Lifetime that all of them belong to; None if they are the whole phase's of all lifetimes.

        Raises:
            ValueError: A weight change is missing, too many, or (`NotFiniteError`) not finite; nothing was done.
        """
        if delta_d.shape != events.weight.shape:
            raise ValueError(f"delta_d must have one entry per event, {len(events.weight)}, got {tuple(delta_d.shape)}")
        delta_d = delta_d.detach().to(self.network.weights)  # a graph must not grow over the weights' whole life
        pace = None
        if self.config.eta_decay:
            of_lifetimes = learning_pace(self.ages, self.config.eta_decay).to(delta_d)  # (B,)
            pace = per_event(of_lifetimes, events.lengths) if row is None else of_lifetimes[row]  # (E,) or ()
        step = int(self.steps[row or 0]) - 1
        try:
            change = self._write(events, delta_d, step, pace)
        except NotFiniteError:
            bad = int((~delta_d.isfinite()).nonzero()[0])
            lifetime = int(per_event(self._all, events.lengths)[bad]) if row is None else row
            where = f"in lifetime {lifetime}, image {self.ages[lifetime] + 1}, time step {step + 1}"
            raise NotFiniteError(f"delta_d must be finite, got NaN or infinity {where}; look at the rule") from None
        if self.task.rewards_events:
            self._log.add(step, row, events, change)

    def run_episode(self, rule: Rule) -> bool:
        """Let all lifetimes live by a rule through the whole image that `begin` has shown, if that can be compiled.

        That takes a rule in closed form (`closed_form_of`), or lifetimes that all have ceased to be plastic, whatever
        the rule; spikes and weights are those that `advance` and `write` lead to. What matters no more after an image
        (membranes, histories) is left as it was.

        Returns:
            False: nothing was done, the rule has to answer events.
        """
        assert not self.steps.any(), "begin() comes first"
        still = self.network.non_plastic
        if still.all() and self.device.type == "cpu" and not self.task.rewards_events:
            form = None
        else:
            form = closed_form_of(rule, self.config, self.task)
            if form is None or still.any():
                return False
        pace = learning_pace(self.ages, self.config.eta_decay)
        self.num_events[:] = self.compiled.show(form, self.raster, pace, self.changes.sums)
        self.steps[:] = self.num_steps
        return True

    def finish(self, rows: Sequence[int]) -> EpisodeResult:
        """Judge the episode that the lifetimes `rows` have gone through."""
        index = torch.as_tensor(rows, dtype=torch.int64, device=self.device)
        shown = [self.shown(row) for row in rows]
        labels = torch.tensor([stimulus.label for stimulus in shown], device=self.device)
        places = torch.tensor([stimulus.place for stimulus in shown], device=self.device)
        raster = {name: spikes[index] for name, spikes in self.raster.items()}  # (R, T, N)
        potentials = {name: values[index] for name, values in self._potentials.items()}  # (R, T, N)
        written = self._log.of(None) or [entry for row in rows for entry in self._log.of(row)]
        verdict = self.task.judge(Episode(index, places, labels, raster, potentials, written), self.network)
        if self._eligibility is not None:
            for head, moved in self._eligibility.release(index, verdict.result.reward):
                self.changes.add(torch.full_like(moved, head, dtype=torch.int64), moved)
        self.ages[rows] += 1
        winners, rewards = verdict.winners.tolist(), verdict.result.reward.tolist()
        terms = {name: values.tolist() for name, values in verdict.result.terms.items()}
        for place, row in enumerate(rows):
            of_row = {name: values[place] for name, values in terms.items()}
            self.last_episodes[row] = LastEpisode(shown[place], winners[place], rewards[place], of_row)
        return EpisodeResult(
            reward=verdict.result.reward,
            terms=verdict.result.terms,
            winners=verdict.winners,
            spikes={name: total_spikes(spikes) for name, spikes in raster.items()},
            rates=count_spikes(raster[self.task.readout]).counts / self.num_steps,
            num_events=self.num_events[index],
            images=torch.tensor([stimulus.image for stimulus in shown], device=self.device),
            labels=labels,
            event_rewards=verdict.result.event_rewards,
        )

    def not_finite(self, result: EpisodeResult) -> str:
        """Return what of an image that all lifetimes have been shown is not finite, and in which; empty: nothing."""
        own = [] if result.event_rewards is None else result.event_rewards
        if not result.reward.isfinite().all() or not all(rewards.sum().isfinite() for rewards in own):
            bad = (~result.reward.isfinite()).nonzero().flatten().tolist()
            return f"the reward is not finite in lifetime {bad[0]}" if bad else "the reward of an event is not finite"
        if not self.network.weights.sum().isfinite():  # one number tells of all: rounding aside, sums hide no NaN
            for name in (p.name for p in self._find_events.projections):
                bad = (~self.network.weights_of(name).isfinite()).flatten(1).any(dim=1).nonzero().flatten().tolist()
                if bad:
                    return f"a weight of {name} is not finite in lifetime {bad[0]}"
        return ""

    def plastic_weights(self, row: int) -> dict[str, Tensor]:
        """Return the weights of one lifetime's plastic projections, (n_pre, n_post) each."""
        return {p.name: self.network.weights_of(p.name)[row] for p in self._find_events.projections}

    def weight_statistics(self) -> dict[str, float]:
        """Return mean, spread and saturation of every plastic projection; see `weight_changes.weight_statistics`."""
        return weight_statistics(self.network, self._find_events.projections)


def _stream(seed: int, generation: int, purpose: int) -> np.random.Generator:
    """Return an independent random stream for one purpose of one lifetime."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(generation, purpose)))
