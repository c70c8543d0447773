"""A rollout of synapse events: what was seen and done, and what it was worth, one row per event.

Axes: B lifetimes, E events kept, P distinct pairs of histories, H histories.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from gymnasium import spaces
from stable_baselines3.common.utils import get_device
from torch import Tensor

from snn_plasticity_gym.config.arguments import LARGEST_SEED, check_argument, check_arguments
from snn_plasticity_gym.config.learning import EventOptions
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.config.training import LearnerConfig
from snn_plasticity_gym.envs.episode import EpisodeResult
from snn_plasticity_gym.learners.credit import Pay, mean_ahead, returns_ahead
from snn_plasticity_gym.plasticity.events import LocalState, SynapseEvents, per_event
from snn_plasticity_gym.utils.distributed import World
from snn_plasticity_gym.utils.state import State


class EventSamples(NamedTuple):
    """Events to learn from."""

    state: LocalState
    actions: Tensor  # (E,) before clipping
    log_probs: Tensor  # (E,) of the actions when they were taken
    returns: Tensor  # (E,)
    advantages: Tensor  # (E,) returns less a baseline; from the buffer, less the mean over lifetimes
    step: Tensor  # (E,) int64, number of the (episode, lifetime, time step) that an event belongs to

    def take(self, part: slice | Tensor) -> EventSamples:
        """Return some of the events; the tables of pairs and histories stay whole."""
        return EventSamples(self.state.take(part), *(column[part] for column in self[1:]))

    def chunks(self, size: int) -> Iterator[EventSamples]:
        """Cut the events into chunks; the tables of pairs and histories stay whole."""
        for start in range(0, len(self.actions), size):
            yield self.take(slice(start, start + size))

    def compact(self) -> EventSamples:
        """Drop the pairs and histories that no event points to."""
        state = self.state
        histories, pair_pre, pair_post, pair = _used(state.histories, state.pair_pre, state.pair_post, state.pair)
        return self._replace(
            state=state._replace(histories=histories, pair_pre=pair_pre, pair_post=pair_post, pair=pair)
        )


class _Step(NamedTuple):
    """Kept events of one time step, or of several, with the tables that they point to."""

    histories: Tensor  # (H, W)
    pair_pre: Tensor  # (P,)
    pair_post: Tensor  # (P,)
    pair: Tensor  # (E,)
    weight: Tensor  # (E,)
    group: Tensor  # (E,)
    kind: Tensor  # (E,)
    extras: Tensor  # (E, X)
    lifetime: Tensor  # (E,)
    actions: Tensor  # (E,)
    log_probs: Tensor  # (E,)
    time: Tensor  # (E,) int64, time step of the episode, from 1
    place: Tensor  # (E,) int64, which event of the episode, of all lifetimes together
    keys: Tensor  # (E,) random, by which the sample is drawn


class EventRolloutBuffer:
    """Collects whole episodes of all lifetimes, and keeps a uniform sample of the events of each.

    The sample is exact and drawn on the way: each event has a random key, and the `events_per_episode` smallest of a
    lifetime's episode stay (bottom-k sampling; Cohen & Kaplan 2007). An event beyond the present k-th key is dropped
    at once.

    Args:
        buffer_size: Episodes per lifetime in a rollout; what Stable-Baselines3 calls n_steps.
        observation_space: Of the environment.
        action_space: Of the environment.
        device: Where the samples live.
        gae_lambda: Not used; part of Stable-Baselines3's call.
        gamma: Discount per time step: an event at step t has the return sum_s gamma^(s - t) r_s of what is paid at
            steps s >= t, and what later episodes add is paid at the last step of the lifetime's own episode.
        n_envs: Number of lifetimes B.
        options: `events_per_episode` are kept of each episode, 0 keeps all; `credit_horizon` is the number H of
            episodes that an episode's return G looks at, this one and those of the same lifetime that follow in the
            rollout, without the first f = `credit_from`: G = sum_h gamma_lifetime^h R_h, h = f ... H - 1.
        seed: Of the sampling.

    Raises:
        ConfigError: A number is beyond what the trainers' settings of its name allow, or no history is observed.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Dict,
        action_space: spaces.Space,
        device: torch.device | str = "auto",
        gae_lambda: float = 1.0,
        gamma: float = 1.0,
        n_envs: int = 1,
        options: EventOptions | None = None,
        seed: int = 0,
    ) -> None:
        options = EventOptions() if options is None else options
        horizon = {"credit_horizon": options.credit_horizon, "credit_from": options.credit_from}
        settings = {"buffer_size": buffer_size, "gamma": gamma, "n_envs": n_envs} | horizon
        check_arguments(LearnerConfig, settings, {"buffer_size": "episodes_per_update", "n_envs": "num_envs"})
        check_argument("seed", seed, int, ge=0, le=LARGEST_SEED)
        if not isinstance(observation_space, spaces.Dict) or "history" not in observation_space.spaces:
            raise ConfigError(
                f"observation_space must be a Dict with history, as plasticity environments have, "
                f"got {observation_space}"
            )
        self.options = options
        self.buffer_size = buffer_size
        self.n_envs = n_envs
        self.device = get_device(device)
        history_space = observation_space["history"]
        assert isinstance(history_space, spaces.Box)
        self._history_length = history_space.shape[-1]
        self.gamma = gamma
        self._world = World()
        self._generator = torch.Generator(self.device).manual_seed(self._world.own_seed(seed))
        self.reset()

    def state_dict(self) -> State:
        """Return what goes on from rollout to rollout: the random stream of the sampling."""
        return {"stream": self._generator.get_state()}

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`."""
        self._generator.set_state(state["stream"])

    def reset(self) -> None:
        """Forget all episodes."""
        self.pos = 0
        self._episodes: list[_Step | None] = []  # None: no event
        self._paid: list[Pay] = []
        self._begin_episode()

    def _begin_episode(self) -> None:
        self._steps: list[_Step] = []
        self._held = self._added = 0
        # Key of the last event in each lifetime's sample: nothing above it can enter.
        self._bound = torch.full((self.n_envs,), torch.inf, device=self.device)

    def add(self, events: SynapseEvents, actions: Tensor, log_probs: Tensor, time: int) -> None:
        """Add the events of one time step of all lifetimes, or of one phase of it.

        Args:
            events: The events; `lengths` has B entries.
            actions: What was done, before clipping, (E,).
            log_probs: Its log-probabilities, (E,).
            time: Time step of the episode, from 1.
        """
        lifetime = per_event(torch.arange(self.n_envs, device=self.device), events.lengths)  # (E,)
        if self.options.events_per_episode:
            keys = torch.rand(len(actions), generator=self._generator, device=self.device)  # (E,)
            kept = (keys < self._bound[lifetime]).nonzero().squeeze(1)
        else:
            keys = torch.zeros_like(actions)
            kept = torch.arange(len(actions), device=self.device)
        step = _Step(
            histories=events.histories,
            pair_pre=events.pair_pre,
            pair_post=events.pair_post,
            pair=events.pair[kept],
            weight=events.weight[kept],
            group=events.group[kept],
            kind=events.kind[kept],
            extras=events.extras[kept],
            lifetime=lifetime[kept],
            actions=actions[kept],
            log_probs=log_probs[kept],
            time=torch.full_like(kept, time),
            place=self._added + kept,
            keys=keys[kept],
        )
        self._steps.append(_used_tables(step))
        self._held += len(kept)
        self._added += len(actions)
        if self.options.events_per_episode and self._held > 4 * self.options.events_per_episode * self.n_envs:
            self._prune()

    def _prune(self) -> None:
        """Keep the events with the smallest keys, `events_per_episode` of each lifetime."""
        step = _join(self._steps)
        order = torch.argsort(step.keys, stable=True)
        order = order[torch.argsort(step.lifetime[order], stable=True)]  # by lifetime, then key
        counts = torch.bincount(step.lifetime, minlength=self.n_envs)  # (B,)
        rank = torch.arange(len(order), device=self.device) - per_event(counts.cumsum(0) - counts, counts)
        full = counts >= self.options.events_per_episode  # (B,)
        last = order[rank == self.options.events_per_episode - 1]  # one per full lifetime, by lifetime
        self._bound[full] = step.keys[last]
        self._steps = [_used_tables(_select(step, order[rank < self.options.events_per_episode]))]
        self._held = len(self._steps[0].keys)

    def end_episode(self, result: EpisodeResult, fresh: Tensor | None = None) -> None:
        """Pay the episode that was added since the last call.

        Args:
            result: How it went. Where it has `event_rewards`, those of each call of `add` in order, they are the
                returns of the events; elsewhere an event's return is what is paid to its lifetime from its step on.
            fresh: Whether the episode was its lifetime's first, bool (B,); None: it was for none.
        """
        if self.options.events_per_episode and self._steps:
            self._prune()
        own = None
        if result.event_rewards is not None:
            own = torch.cat(list(result.event_rewards))
            assert len(own) == self._added, "every event has a reward, and no other has"
        rewards, payments = result.reward.to(self.device), result.payments.to(self.device)
        fresh = torch.zeros_like(rewards, dtype=torch.bool) if fresh is None else fresh
        steps, length = result.payment_steps.to(self.device), result.length.to(self.device)
        self._paid.append(Pay(rewards, fresh, payments, steps, length, own))
        self._episodes.append(_join(self._steps) if self._steps else None)
        self.pos += 1
        self._begin_episode()

    def __len__(self) -> int:
        """Return how many events the rollout holds."""
        return sum(len(episode.pair) for episode in self._episodes if episode is not None)

    def samples(self) -> EventSamples:
        """Return all events of the rollout that are this process's.

        Raises:
            ValueError: There is none.
        """
        if not len(self):
            raise ValueError("the rollout holds no event to learn from")
        totals = self.lifetime_returns()  # (episodes, B)
        episodes, returns, advantages, numbers = [], [], [], []
        for place, (episode, pay) in enumerate(zip(self._episodes, self._paid, strict=True)):
            if episode is None:
                continue
            episodes.append(episode)
            numbers.append((place * self.n_envs + episode.lifetime) * (pay.num_steps + 1) + episode.time)
            if pay.event_rewards is not None:
                returns.append(pay.event_rewards[episode.place])
                advantages.append(returns[-1])
            else:
                own, better = self._discounted(episode, pay, totals[place])
                returns.append(own)
                advantages.append(better)
        events = _join(episodes)
        state = LocalState(
            histories=events.histories,
            history_length=self._history_length,
            pair_pre=events.pair_pre,
            pair_post=events.pair_post,
            pair=events.pair,
            weight=events.weight,
            group=events.group,
            kind=events.kind,
            extras=events.extras,
        )
        return EventSamples(
            state,
            events.actions,
            events.log_probs,
            torch.cat(returns),
            advantages=torch.cat(advantages),
            step=torch.cat(numbers),
        )

    def _discounted(self, episode: _Step, pay: Pay, total: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each event's lifetime earns from its step on, and by how much that is above the mean, (E,) both.

        The mean is over the lifetimes whose episode goes on at that step.

        Args:
            episode: The events.
            pay: What their episode was worth.
            total: What it and later episodes were worth to each lifetime, (B,); see `lifetime_returns`.
        """
        if self.options.credit_from:  # the episode's own payments do not count
            pay = pay.unpaid()
        ahead = returns_ahead(pay, total, self.gamma)  # (B, P)
        mean = mean_ahead(pay, ahead, self.gamma, self._world)  # (P,)
        place = torch.searchsorted(pay.payment_steps, episode.time)  # (E,) first payment from the event's step on
        discount = self.gamma ** (pay.payment_steps[place] - episode.time).to(total.dtype)  # (E,)
        return discount * ahead[episode.lifetime, place], discount * (ahead - mean)[episode.lifetime, place]

    def lifetime_returns(self) -> Tensor:
        """Return G of every episode and lifetime, (episodes, B)."""
        rewards = torch.stack([pay.rewards for pay in self._paid])  # (episodes, B)
        fresh = torch.stack([pay.fresh for pay in self._paid])
        total = rewards.clone() if self.options.credit_from == 0 else torch.zeros_like(rewards)
        alive = torch.ones_like(fresh)  # whether the lifetime has gone on so far
        for ahead in range(1, min(self.options.credit_horizon, len(self._paid))):
            alive = alive[:-1] & ~fresh[ahead:]  # (episodes - ahead, B)
            if ahead < self.options.credit_from:
                continue
            total[:-ahead] += self.options.gamma_lifetime**ahead * alive * rewards[ahead:]
        return total


def _select(step: _Step, index: Tensor) -> _Step:
    """Return some of the events, in the order of `index` (E,); the tables stay."""
    tables = step[:3]
    return _Step(*tables, *(column[index] for column in step[3:]))


def _used_tables(step: _Step) -> _Step:
    """Drop the pairs and histories that no event points to."""
    histories, pair_pre, pair_post, pair = _used(step.histories, step.pair_pre, step.pair_post, step.pair)
    return step._replace(histories=histories, pair_pre=pair_pre, pair_post=pair_post, pair=pair)


def _used(histories: Tensor, pre: Tensor, post: Tensor, pair: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the histories, pair ends and pair pointers that are left when unused rows are dropped."""
    used_pairs, pair = torch.unique(pair, return_inverse=True)
    ends = torch.stack([pre[used_pairs], post[used_pairs]])  # (2, P)
    used_histories, ends = torch.unique(ends, return_inverse=True)
    return histories[used_histories], ends[0], ends[1], pair


def _join(steps: list[_Step]) -> _Step:
    """Put the tables and events of several steps one after the other."""
    columns = dict(zip(_Step._fields, (list(column) for column in zip(*steps, strict=True)), strict=True))
    _shift(columns["pair"], columns["pair_pre"])
    _shift(columns["pair_pre"], columns["histories"])
    _shift(columns["pair_post"], columns["histories"])
    return _Step(**{name: torch.cat(column) for name, column in columns.items()})


def _shift(pointers: list[Tensor], tables: list[Tensor]) -> None:
    """Let each step's pointers count from the start of all tables joined."""
    start = 0
    for place, table in enumerate(tables):
        pointers[place] = pointers[place] + start
        start += len(table)
