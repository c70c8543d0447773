"""How a network and its plasticity learn cue association, by gradients through whole trials."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Categorical

from snn_plasticity_gym.config.plastic import BOTH, PlasticConfig
from snn_plasticity_gym.learners.plastic_network import PlasticNetwork
from snn_plasticity_gym.tasks.cue_association import CONDITIONS, CUE_STEPS, Trials, draw_trials
from snn_plasticity_gym.utils.state import State

FIRST_SEED = {"validation": 1_000_000_000, "test": 1_100_000_000}  # of held-out trials, the same for all networks
JUDGE_BATCH = 250  # trials at a time where nothing is learned
MEAN_DECAY = 0.9  # of the running mean of rewards, per update


class Judgement(NamedTuple):
    """What a network is worth on trials of one condition."""

    accuracy: float  # an answer in which both outputs spike alike counts half
    by_rest: dict[int, float]
    hidden_rate: float  # spikes per neuron and second
    output_rate: float


class CueLearner:
    """Adam on batches of fresh trials; keeps the parameters that were best on held-out ones.

    Args:
        config: Settings of learning.
        network: What learns.
        trials: Source of training trials.
        answers: Source of answers that are drawn, of the CPU.
    """

    def __init__(
        self, config: PlasticConfig, network: PlasticNetwork, trials: np.random.Generator, answers: torch.Generator
    ) -> None:
        self.network = network
        self.total = config.episodes
        self.episodes = 0  # trials learned from so far
        self.not_finite = 0  # steps left out, as their gradient was not finite
        self._config, self._trials, self._answers = config, trials, answers
        self._optimiser = torch.optim.Adam(network.parameters(), config.learning_rate)
        self._best, self._best_value, self._best_at = self._copy(), -math.inf, 0
        self._mean_reward = 0.0
        self._updates = 0
        self._since: dict[str, float] = {}  # sums over trials since the last row, by name

    def steps(self) -> Iterator[None]:
        """Take one step for each batch that is left; may be called once."""
        config = self._config
        conditions = list(CONDITIONS) if config.condition == BOTH else [config.condition]
        learn = self._supervised if config.learner == "bptt" else self._proximal
        while self.episodes < self.total:
            count = min(config.batch_size, self.total - self.episodes)
            learn(self._draw(count, conditions))
            self.episodes += count
            self._updates += 1
            yield

    def _draw(self, count: int, conditions: Sequence[str]) -> Trials:
        """Draw trials in nearly equal parts of each condition."""
        config = self._config
        parts = [
            draw_trials(self._trials, len(part), condition, config.rests, config.cues)
            for condition, part in zip(conditions, np.array_split(np.arange(count), len(conditions)), strict=True)
        ]
        spikes = np.concatenate([part.spikes for part in parts], axis=1)  # (T, B, NUM_INPUTS)
        return Trials(spikes, *(np.concatenate(some) for some in zip(*(part[1:] for part in parts), strict=True)))

    def judge(self, part: str, count: int, rests: Sequence[int] = (), cues: int = 0) -> dict[str, Judgement]:
        """Return what the network is worth in each condition.

        Args:
            part: "validation" or "test".
            count: Trials of each condition.
            rests: In place of those of training.
            cues: In place of those of training.
        """
        return {
            condition: judge_network(
                self.network,
                np.random.default_rng(FIRST_SEED[part] + place),
                condition,
                count,
                rests or self._config.rests,
                cues or self._config.cues,
            )
            for place, condition in enumerate(CONDITIONS)
        }

    def note(self, value: float) -> None:
        """Keep the parameters if they are the best so far on validation; of equal ones the latest."""
        if value >= self._best_value:
            self._best, self._best_value, self._best_at = self._copy(), value, self.episodes

    def take_best(self) -> tuple[float, int]:
        """Put the best parameters in place; return their value and after how many trials they were."""
        self.network.load_state_dict(self._best)
        return self._best_value, self._best_at

    def take_means(self) -> dict[str, float]:
        """Return means per trial since this was last asked."""
        sums, self._since = self._since, {}
        seen = sums.pop("seen", 0.0)
        return {name: value / seen for name, value in sums.items()} if seen else {}

    def state_dict(self) -> State:
        """Return all that decides what follows, between two steps."""
        return {
            "network": self._copy(),
            "optimiser": self._optimiser.state_dict(),
            "trials": self._trials.bit_generator.state,
            "answers": self._answers.get_state(),
            "episodes": self.episodes,
            "updates": self._updates,
            "not_finite": self.not_finite,
            "mean_reward": self._mean_reward,
            "best": (self._best, self._best_value, self._best_at),
            "since": dict(self._since),
        }

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`, of a learner with the same arguments, before the first step."""
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._trials.bit_generator.state = state["trials"]
        self._answers.set_state(state["answers"])
        self.episodes, self._updates = state["episodes"], state["updates"]
        self.not_finite, self._mean_reward = state["not_finite"], state["mean_reward"]
        self._best, self._best_value, self._best_at = state["best"]
        self._since = dict(state["since"])

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}

    def _supervised(self, trials: Trials) -> None:
        answers = torch.from_numpy(trials.answers)  # (B,)
        counts = output_counts(self.network, trials)  # (B, 2)
        loss = F.cross_entropy(counts, answers)
        self._step(loss)
        self._note_answers(counts, answers, loss)

    def _proximal(self, trials: Trials) -> None:
        """Pay one drawn answer of each trial; its advantage is the reward less the running mean, over the deviation."""
        config = self._config
        answers = torch.from_numpy(trials.answers)
        for epoch in range(config.epochs):
            counts = output_counts(self.network, trials)  # (B, 2)
            policy = Categorical(logits=counts)
            if epoch == 0:
                with torch.no_grad():
                    given = torch.multinomial(policy.probs, 1, generator=self._answers)[:, 0]  # (B,)
                    before = policy.log_prob(given)
                reward = 2.0 * (given == answers) - 1.0  # (B,)
                advantage = reward - self._mean_reward
                advantage = advantage / (advantage.square().mean().sqrt() + 1e-6)
                self._mean_reward += (1 - MEAN_DECAY) * (float(reward.mean()) - self._mean_reward)
            ratio = (policy.log_prob(given) - before).exp()
            clipped = ratio.clamp(1 - config.clip_range, 1 + config.clip_range)
            loss = -torch.min(ratio * advantage, clipped * advantage).mean()
            loss = loss - config.entropy * policy.entropy().mean()
            self._step(loss)
            if epoch == 0:
                self._note_answers(counts, answers, loss, reward=float(reward.sum()))

    def _step(self, loss: Tensor) -> None:
        """Follow the gradient of the loss, unless it is not finite, which is counted."""
        config = self._config
        for group in self._optimiser.param_groups:
            group["lr"] = config.learning_rate * math.sqrt(1 - self.episodes / self.total)
        self._optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        if torch.isfinite(norm):
            self._optimiser.step()
        else:
            self.not_finite += 1

    def _note_answers(self, counts: Tensor, answers: Tensor, loss: Tensor, **sums: float) -> None:
        count = len(answers)
        counts = counts.detach()
        sums |= {"seen": count, "loss": loss.item() * count, "accuracy": float(scores(counts, answers).sum())}
        for name, value in sums.items():
            self._since[name] = self._since.get(name, 0.0) + value


def output_counts(network: PlasticNetwork, trials: Trials) -> Tensor:
    """Return the spikes of the outputs while the decision cue is on, (B, 2)."""
    device = network.weights[0].device
    return network(torch.from_numpy(trials.spikes).to(device)).output[-CUE_STEPS:].sum(dim=0).cpu()


def scores(counts: Tensor, answers: Tensor) -> Tensor:
    """Return 1 where the output of the answer spiked most, 0.5 where both spiked alike, else 0, (B,)."""
    right = counts.gather(1, answers[:, None])[:, 0]
    wrong = counts.gather(1, 1 - answers[:, None])[:, 0]
    return 0.5 * (1 + torch.sign(right - wrong))


@torch.no_grad()
def judge_network(
    network: PlasticNetwork, rng: np.random.Generator, condition: str, count: int, rests: Sequence[int], cues: int
) -> Judgement:
    """Let a network answer fresh trials."""
    draw = functools.partial(draw_trials, rng, condition=condition, rests=rests, num_cues=cues)
    device = network.weights[0].device
    right, rest_of, rates = [], [], np.zeros(2)
    for start in range(0, count, JUDGE_BATCH):
        trials = draw(count=min(JUDGE_BATCH, count - start))
        done = network(torch.from_numpy(trials.spikes).to(device))
        counts = done.output[-CUE_STEPS:].sum(dim=0).cpu()  # (B, 2)
        right.append(scores(counts, torch.from_numpy(trials.answers)).numpy())
        rest_of.append(trials.rests)
        rates += [1000 * float(layer.mean()) * len(trials.answers) / count for layer in done]
    got, where = np.concatenate(right), np.concatenate(rest_of)  # (count,) both
    by_rest = {rest: float(got[where == rest].mean()) for rest in rests if (where == rest).any()}
    return Judgement(float(got.mean()), by_rest, *map(float, rates))
