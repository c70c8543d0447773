"""Rollout buffer of synapse events: states, actions and returns, one row per event.

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
from snn_plasticity_gym.learners.credit import EpisodeRewards, mean_return_to_go, returns_to_go
from snn_plasticity_gym.plasticity.events import LocalState, SynapseEvents, per_event
from snn_plasticity_gym.utils.distributed import World
from snn_plasticity_gym.utils.state import State


class EventSamples(NamedTuple):
    """Events of a rollout for learning."""

    state: LocalState
    actions: Tensor  # (E,) before clipping
    log_probs: Tensor  # (E,) of the actions under the old policy
    returns: Tensor  # (E,)
    advantages: Tensor  # (E,) returns minus a baseline; in the buffer, minus the mean over lifetimes
    step: Tensor  # (E,) int64, number of the (episode, lifetime, time step) that an event belongs to

    def take(self, part: slice | Tensor) -> EventSamples:
        """Return a subset of the events; the tables of pairs and histories stay whole."""
        return EventSamples(self.state.take(part), *(column[part] for column in self[1:]))

    def chunks(self, size: int) -> Iterator[EventSamples]:
        """Split the events into chunks; the tables of pairs and histories stay whole."""
        for start in range(0, len(self.actions), size):
            yield self.take(slice(start, start + size))

    def compact(self) -> EventSamples:
        """Drop the pairs and histories that no event refers to."""
        state = self.state
        histories, pair_pre, pair_post, pair = _used(state.histories, state.pair_pre, state.pair_post, state.pair)
        return self._replace(
            state=state._replace(histories=histories, pair_pre=pair_pre, pair_post=pair_post, pair=pair)
        )


class _Step(NamedTuple):
    """Sampled events of one time step, or of several, with the tables that they index."""

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
    place: Tensor  # (E,) int64, index of the event in the episode, over all lifetimes
    keys: Tensor  # (E,) random keys of the sample


class EventRolloutBuffer:
    """Collects whole episodes of all lifetimes, and keeps a uniform sample of the events of each.

    The sample is exact and drawn online: each event has a random key, and those with the `events_per_episode` smallest
    of a lifetime's episode are kept (bottom-k sampling; Cohen & Kaplan 2007). An event above the present k-th key is
    dropped at once.

    Args:
        buffer_size: Episodes per lifetime in a rollout; Stable-Baselines3's n_steps.
        observation_space: Of the environment.
        action_space: Of the environment.
        device: Of the samples.
        gae_lambda: Not used; part of Stable-Baselines3's call.
        gamma: Discount per time step: an event at step t has the return sum_s gamma^(s - t) r_s of the rewards at
            steps s >= t; rewards of later episodes are added at the last step of the lifetime's episode.
        n_envs: Number of lifetimes B.
        options: `events_per_episode` are kept of each episode, 0 keeps all; `credit_horizon` is the number H of
            episodes in an episode's return G, this one and those of the same lifetime that follow in the
            rollout, without the first f = `credit_from`: G = sum_h gamma_lifetime^h R_h, h = f ... H - 1.
        seed: Of the sampling.

    Raises:
        ConfigError: A number is beyond what the trainers' settings of its name allow, or observations have no history.
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
        """Return the state that persists between rollouts: the random stream of the sampling."""
        return {"stream": self._generator.get_state()}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        self._generator.set_state(state["stream"])

    def reset(self) -> None:
        """Clear all episodes."""
        self.pos = 0
        self._episodes: list[_Step | None] = []  # None: no event
        self._rewards: list[EpisodeRewards] = []
        self._begin_episode()

    def _begin_episode(self) -> None:
        self._steps: list[_Step] = []
        self._held = self._added = 0
        # Largest key in each lifetime's sample: no event above it can enter.
        self._bound = torch.full((self.n_envs,), torch.inf, device=self.device)

    def add(self, events: SynapseEvents, actions: Tensor, log_probs: Tensor, time: int) -> None:
        """Add the events of one time step of all lifetimes, or of one phase of it.

        Args:
            events: The events; `lengths` has B entries.
            actions: Actions before clipping, (E,).
            log_probs: Their log-probabilities, (E,).
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
        """Store the rewards of the episode added since the last call.

        Args:
            result: Its result. `event_rewards`, if present, those of each call of `add` in order, are the returns of
                the events; otherwise an event's return is its lifetime's return-to-go at its step.
            fresh: Whether the episode was its lifetime's first, bool (B,); None: for no lifetime.
        """
        if self.options.events_per_episode and self._steps:
            self._prune()
        own = None
        if result.event_rewards is not None:
            own = torch.cat(list(result.event_rewards))
            assert len(own) == self._added, "every event has a reward, and no other has"
        rewards, step_rewards = result.reward.to(self.device), result.payments.to(self.device)
        fresh = torch.zeros_like(rewards, dtype=torch.bool) if fresh is None else fresh
        steps, length = result.payment_steps.to(self.device), result.length.to(self.device)
        self._rewards.append(EpisodeRewards(rewards, fresh, step_rewards, steps, length, own))
        self._episodes.append(_join(self._steps) if self._steps else None)
        self.pos += 1
        self._begin_episode()

    def __len__(self) -> int:
        """Return the number of events in the rollout."""
        return sum(len(episode.pair) for episode in self._episodes if episode is not None)

    def samples(self) -> EventSamples:
        """Return all events of the rollout of this process.

        Raises:
            ValueError: There is none.
        """
        if not len(self):
            raise ValueError("the rollout holds no event to learn from")
        totals = self.lifetime_returns()  # (episodes, B)
        episodes, returns, advantages, numbers = [], [], [], []
        for place, (episode, rewards) in enumerate(zip(self._episodes, self._rewards, strict=True)):
            if episode is None:
                continue
            episodes.append(episode)
            numbers.append((place * self.n_envs + episode.lifetime) * (rewards.num_steps + 1) + episode.time)
            if rewards.event_rewards is not None:
                returns.append(rewards.event_rewards[episode.place])
                advantages.append(returns[-1])
            else:
                own, better = self._discounted(episode, rewards, totals[place])
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

    def _discounted(self, episode: _Step, rewards: EpisodeRewards, total: Tensor) -> tuple[Tensor, Tensor]:
        """Return the return-to-go of each event's lifetime at its step, and its excess over the mean, (E,) both.

        The mean is over the lifetimes whose episode is not over at that step.

        Args:
            episode: The events.
            rewards: Rewards of their episode.
            total: Reward of it and of later episodes of each lifetime, (B,); see `lifetime_returns`.
        """
        if self.options.credit_from:  # the episode's own rewards do not count
            rewards = rewards.without_rewards()
        ahead = returns_to_go(rewards, total, self.gamma)  # (B, P)
        mean = mean_return_to_go(rewards, ahead, self.gamma, self._world)  # (P,)
        place = torch.searchsorted(rewards.reward_steps, episode.time)  # (E,) next reward time
        discount = self.gamma ** (rewards.reward_steps[place] - episode.time).to(total.dtype)  # (E,)
        return discount * ahead[episode.lifetime, place], discount * (ahead - mean)[episode.lifetime, place]

    def lifetime_returns(self) -> Tensor:
        """Return G of every episode and lifetime, (episodes, B)."""
        totals = torch.stack([episode.rewards for episode in self._rewards])  # (episodes, B)
        fresh = torch.stack([episode.fresh for episode in self._rewards])
        total = totals.clone() if self.options.credit_from == 0 else torch.zeros_like(totals)
        same_lifetime = torch.ones_like(fresh)  # whether the lifetime has not ended so far
        for ahead in range(1, min(self.options.credit_horizon, len(self._rewards))):
            same_lifetime = same_lifetime[:-1] & ~fresh[ahead:]  # (episodes - ahead, B)
            if ahead < self.options.credit_from:
                continue
            total[:-ahead] += self.options.gamma_lifetime**ahead * same_lifetime * totals[ahead:]
        return total


def _select(step: _Step, index: Tensor) -> _Step:
    """Select events by `index` (E,); the tables stay."""
    tables = step[:3]
    return _Step(*tables, *(column[index] for column in step[3:]))


def _used_tables(step: _Step) -> _Step:
    """Drop the pairs and histories that no event refers to."""
    histories, pair_pre, pair_post, pair = _used(step.histories, step.pair_pre, step.pair_post, step.pair)
    return step._replace(histories=histories, pair_pre=pair_pre, pair_post=pair_post, pair=pair)


def _used(histories: Tensor, pre: Tensor, post: Tensor, pair: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return histories, pair ends and pair indices without unused rows."""
    used_pairs, pair = torch.unique(pair, return_inverse=True)
    ends = torch.stack([pre[used_pairs], post[used_pairs]])  # (2, P)
    used_histories, ends = torch.unique(ends, return_inverse=True)
    return histories[used_histories], ends[0], ends[1], pair


def _join(steps: list[_Step]) -> _Step:
    """Concatenate the tables and events of several steps."""
    columns = dict(zip(_Step._fields, (list(column) for column in zip(*steps, strict=True)), strict=True))
    _shift(columns["pair"], columns["pair_pre"])
    _shift(columns["pair_pre"], columns["histories"])
    _shift(columns["pair_post"], columns["histories"])
    return _Step(**{name: torch.cat(column) for name, column in columns.items()})


def _shift(pointers: list[Tensor], tables: list[Tensor]) -> None:
    """Offset each step's indices to the concatenated tables."""
    start = 0
    for place, table in enumerate(tables):
        pointers[place] = pointers[place] + start
        start += len(table)
