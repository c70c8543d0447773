"""PPO of a plastic network: backpropagation through time within segments of episodes, through the weight changes.

Axes: n actions per environment, B environments, L actions of the longest piece, S pieces, T ms of an action, I input
neurons, M actions of all pieces.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.learners.plastic_actor import PlasticActor
from snn_plasticity_gym.rules.carried_states import joined_rows, some_rows
from snn_plasticity_gym.tasks.worlds import Worlds
from snn_plasticity_gym.trainers.sessions.plastic_rollouts import Episodes, Rollout, RolloutCollector, run_episodes
from snn_plasticity_gym.trainers.sessions.validated_learner import ValidatedLearner
from snn_plasticity_gym.utils.state import State

FIRST_SEED = {"validation": 1_000_000_000, "test": 1_100_000_000}  # of held-out episodes; training's are below 2^29


class Piece(NamedTuple):
    """Consecutive actions of one episode, in one environment, in one rollout."""

    world: int
    first: int
    last: int  # the action after


def pieces_of(begins: NDArray[np.bool_], truncation: int) -> list[Piece]:
    """Split a rollout where episodes start, and at every multiple of `truncation`; (n, B)."""
    length, num_worlds = begins.shape
    pieces = []
    for world in range(num_worlds):
        cuts = [step for step in range(1, length) if begins[step, world] or step % truncation == 0]
        edges = [0, *cuts, length]
        pieces += [Piece(world, *edges[place : place + 2]) for place in range(len(edges) - 1)]
    return pieces


class WorldLearner(ValidatedLearner):
    """Updates after every `rollout` actions per environment; keeps the parameters with the best validation return.

    PPO (Schulman et al. 2017, equation 7) with generalized advantages over the whole rollout, normalized over it. Each
    epoch reruns the network on the recorded input spikes, in pieces that start from the recorded states: truncated
    backpropagation through time.

    Args:
        config: Settings.
        actor: The network to train.
        acting: Collector of its rollouts.
        order: Source of the order of pieces.
    """

    def __init__(
        self, config: PlasticConfig, actor: PlasticActor, acting: RolloutCollector, order: np.random.Generator
    ) -> None:
        critic = list(actor.critic.parameters())
        own = {id(parameter) for parameter in critic}
        others = [parameter for parameter in actor.parameters() if id(parameter) not in own]
        groups: list[dict[str, Any]] = [{"params": others}, {"params": critic, "lr": config.critic_rate}]
        super().__init__(config.steps, actor.state_dict(), torch.optim.Adam(groups, config.learning_rate))
        self.actor, self.network, self.acting = actor, actor.network, acting
        self.not_finite = 0  # steps left out, as their gradient was not finite
        self._config, self._order = config, order
        self._groups = others, critic

    def steps(self) -> Iterator[None]:
        """Yield after each update until all actions are taken; may be called once."""
        config = self._config
        while self.episodes < self.total:
            length = min(config.rollout, -(-(self.total - self.episodes) // config.num_worlds))
            self._learn(self.acting.run(length))
            self.episodes += min(length * config.num_worlds, self.total - self.episodes)
            yield

    def judge(self, part: str, count: int, worlds: Worlds, action_noise: float = 0.0) -> Episodes:
        """Run held-out episodes of "validation" or "test", always with the same initial states."""
        first = FIRST_SEED[part]
        return run_episodes(self.actor, worlds, range(first, first + count), first, action_noise)

    def state_dict(self) -> State:
        """See `ValidatedLearner`."""
        own = {"acting": self.acting.state_dict(), "order": self._order.bit_generator.state}
        return super().state_dict() | own | {"not_finite": self.not_finite}

    def load_state_dict(self, state: State) -> None:
        """See `ValidatedLearner`."""
        super().load_state_dict(state)
        self.acting.load_state_dict(state["acting"])
        self._order.bit_generator.state = state["order"]
        self.not_finite = state["not_finite"]

    def _learn(self, rollout: Rollout) -> None:
        config = self._config
        pieces = pieces_of(rollout.begins, config.truncation)
        advantages = rollout.buffer.advantages  # (n, B)
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        for _ in range(config.epochs):
            order = self._order.permutation(len(pieces))
            for part in np.array_split(order, min(config.minibatches, len(pieces))):
                self._improve(rollout, [pieces[place] for place in part], advantages)
        self._count(1, reward=rollout.reward)

    def _improve(self, rollout: Rollout, pieces: Sequence[Piece], advantages: NDArray[np.float32]) -> None:
        """Take one gradient step on some pieces."""
        config, buffer, device = self._config, rollout.buffer, self.network.weights[0].device
        counts, steps, worlds = self._counts(rollout, pieces)  # (M, O), (M,), (M,)

        def taken(values: NDArray[np.float32]) -> Tensor:
            return torch.from_numpy(values[steps, worlds]).to(device)  # (M, ...)

        policy, action = self.actor.policy(counts), taken(buffer.actions)
        action = action if self.actor.log_deviation is not None else action[:, 0]  # (M, A) or (M,)
        advantage = taken(advantages)
        change = policy.log_prob(action) - taken(buffer.log_probs)  # (M,)
        ratio = change.exp()
        clipped = ratio.clamp(1 - config.clip_range, 1 + config.clip_range)
        policy_loss = -torch.min(ratio * advantage, clipped * advantage).mean()
        entropy = policy.entropy().mean()
        value_loss = F.mse_loss(self.actor.value(taken(buffer.observations)), taken(buffer.returns))
        self._step(policy_loss - config.entropy * entropy + 0.5 * value_loss)
        with torch.no_grad():
            means = {
                "policy_loss": policy_loss,
                "value_loss": value_loss,
                "entropy": entropy,
                "approx_kl": (ratio - 1 - change).mean(),
                "clip_fraction": ((ratio - 1).abs() > config.clip_range).float().mean(),
            }
        share = 1 / (config.epochs * config.minibatches)
        self._count(0, **{name: share * mean.item() for name, mean in means.items()})

    def _counts(self, rollout: Rollout, pieces: Sequence[Piece]) -> tuple[Tensor, NDArray[np.int64], NDArray[np.int64]]:
        """Rerun the network on pieces; return output spikes of each action, (M, O), with its step and environment.

        Shorter pieces are padded with silence, whose actions are left out.
        """
        every, device = self._config.truncation, self.network.weights[0].device
        lengths = np.array([piece.last - piece.first for piece in pieces])  # (S,)
        longest, duration, num_inputs = int(lengths.max()), rollout.spikes.shape[1], rollout.spikes.shape[3]
        spikes = np.zeros((longest, duration, len(pieces), num_inputs), dtype=np.float32)  # (L, T, S, I)
        states, rest = [], self.network.rest(1)
        for place, (world, first, last) in enumerate(pieces):
            spikes[: last - first, :, place] = rollout.spikes[first:last, :, world]
            row = slice(world, world + 1)
            states.append(some_rows(rollout.states[first // every], row) if first % every == 0 else rest)
        shown = torch.from_numpy(spikes).flatten(0, 1).to(device)  # (L T, S, I)
        done, _ = self.network.carry_on(joined_rows(states), shown)
        counts = done.output.unflatten(0, (longest, duration)).sum(dim=1)  # (L, S, O)
        there = np.arange(longest)[:, None] < lengths  # (L, S)
        steps = np.arange(longest)[:, None] + np.array([piece.first for piece in pieces])  # (L, S)
        worlds = np.broadcast_to([piece.world for piece in pieces], there.shape)  # (L, S)
        return counts[torch.from_numpy(there).to(device)], steps[there], worlds[there]

    def _step(self, loss: Tensor) -> None:
        """Take a gradient step; skip and count it if the gradient is not finite."""
        config = self._config
        left = math.sqrt(1 - self.episodes / self.total)
        rates = config.learning_rate, config.critic_rate
        for group, rate in zip(self._optimiser.param_groups, rates, strict=True):
            group["lr"] = left * rate
        self._optimiser.zero_grad()
        loss.backward()
        norms = [torch.nn.utils.clip_grad_norm_(group, config.clip_norm) for group in self._groups]
        if all(torch.isfinite(norm) for norm in norms):
            self._optimiser.step()
        else:
            self.not_finite += 1
