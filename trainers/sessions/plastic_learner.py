"""Learner of a network and its plasticity on cue association, by gradients through whole trials."""

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
from snn_plasticity_gym.learners.plastic_network import PlasticNetwork, Spikes
from snn_plasticity_gym.tasks.cue_association import CONDITIONS, CUE_STEPS, Trials, draw_trials
from snn_plasticity_gym.trainers.sessions.validated_learner import ValidatedLearner
from snn_plasticity_gym.utils.state import State

FIRST_SEED = {"validation": 1_000_000_000, "test": 1_100_000_000}  # of held-out trials, the same for all networks
JUDGE_BATCH = 250  # trials at a time in evaluations
MEAN_DECAY = 0.9  # of the running mean of rewards, per update


class Judgement(NamedTuple):
    """Evaluation of a network on trials of one condition."""

    accuracy: float  # a tie of both outputs counts half
    by_rest: dict[int, float]
    hidden_rate: float  # spikes per neuron and second
    output_rate: float


class CueLearner(ValidatedLearner):
    """Adam on batches of fresh trials; keeps the parameters with the best validation accuracy.

    Args:
        config: Settings of learning.
        network: The network to train.
        trials: Source of training trials.
        answers: Source of sampled decisions, of the CPU.
    """

    def __init__(
        self, config: PlasticConfig, network: PlasticNetwork, trials: np.random.Generator, answers: torch.Generator
    ) -> None:
        optimiser = torch.optim.Adam(network.parameters(), config.learning_rate)
        super().__init__(config.episodes, network.state_dict(), optimiser)
        self.network = network
        self.not_finite = 0  # steps left out, as their gradient was not finite
        self._config, self._trials, self._answers = config, trials, answers
        self._mean_reward = 0.0
        self._conditions = list(CONDITIONS) if config.condition == BOTH else [config.condition]

    def steps(self) -> Iterator[None]:
        """Yield after the update step of each remaining batch; may be called once."""
        config = self._config
        learn = self._supervised if config.learner == "bptt" else self._proximal
        while self.episodes < self.total:
            count = min(config.batch_size, self.total - self.episodes)
            learn(self._draw(count, self._conditions))
            self.episodes += count
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
        """Evaluate the network in each condition.

        Args:
            part: "validation" or "test".
            count: Trials of each condition.
            rests: Replaces that of training.
            cues: Replaces that of training.
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

    def state_dict(self) -> State:
        """See `ValidatedLearner`."""
        return super().state_dict() | {
            "trials": self._trials.bit_generator.state,
            "answers": self._answers.get_state(),
            "not_finite": self.not_finite,
            "mean_reward": self._mean_reward,
        }

    def load_state_dict(self, state: State) -> None:
        """See `ValidatedLearner`."""
        super().load_state_dict(state)
        self._trials.bit_generator.state = state["trials"]
        self._answers.set_state(state["answers"])
        self.not_finite, self._mean_reward = state["not_finite"], state["mean_reward"]

    def _supervised(self, trials: Trials) -> None:
        answers = torch.from_numpy(trials.answers)  # (B,)
        counts = decision_spikes(show(self.network, trials))  # (B, 2)
        loss = F.cross_entropy(counts, answers)
        self._step(loss)
        self._note_answers(counts, answers, loss)

    def _proximal(self, trials: Trials) -> None:
        """Reward one sampled decision of each trial; advantage: reward minus running mean, over the deviation."""
        config = self._config
        answers = torch.from_numpy(trials.answers)
        for epoch in range(config.epochs):
            counts = decision_spikes(show(self.network, trials))  # (B, 2)
            policy = Categorical(logits=counts)
            if epoch == 0:
                with torch.no_grad():
                    decision = torch.multinomial(policy.probs, 1, generator=self._answers)[:, 0]  # (B,)
                    before = policy.log_prob(decision)
                reward = 2.0 * (decision == answers) - 1.0  # (B,)
                advantage = reward - self._mean_reward
                advantage = advantage / (advantage.square().mean().sqrt() + 1e-6)
                self._mean_reward += (1 - MEAN_DECAY) * (float(reward.mean()) - self._mean_reward)
            ratio = (policy.log_prob(decision) - before).exp()
            clipped = ratio.clamp(1 - config.clip_range, 1 + config.clip_range)
            loss = -torch.min(ratio * advantage, clipped * advantage).mean()
            loss = loss - config.entropy * policy.entropy().mean()
            self._step(loss)
            if epoch == 0:
                self._note_answers(counts, answers, loss, reward=float(reward.sum()))

    def _step(self, loss: Tensor) -> None:
        """Take a gradient step; skip and count it if the gradient is not finite."""
        config = self._config
        self._set_rate(config.learning_rate * math.sqrt(1 - self.episodes / self.total))
        self._optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        if torch.isfinite(norm):
            self._optimiser.step()
        else:
            self.not_finite += 1

    def _note_answers(self, counts: Tensor, answers: Tensor, loss: Tensor, **sums: float) -> None:
        count, right = len(answers), float(scores(counts.detach(), answers).sum())
        self._count(count, loss=loss.item() * count, accuracy=right, **sums)


def show(network: PlasticNetwork, trials: Trials) -> Spikes:
    """Run a network on trials."""
    spikes: Spikes = network(torch.from_numpy(trials.spikes).to(network.weights[0].device))
    return spikes


def decision_spikes(done: Spikes) -> Tensor:
    """Return the spikes of the outputs while the decision cue is on, (B, 2)."""
    return done.output[-CUE_STEPS:].sum(dim=0).cpu()


def scores(counts: Tensor, answers: Tensor) -> Tensor:
    """Return 1 where the target's output spiked most, 0.5 for ties, else 0, (B,)."""
    right = counts.gather(1, answers[:, None])[:, 0]
    wrong = counts.gather(1, 1 - answers[:, None])[:, 0]
    return 0.5 * (1 + torch.sign(right - wrong))


@torch.no_grad()
def judge_network(
    network: PlasticNetwork, rng: np.random.Generator, condition: str, count: int, rests: Sequence[int], cues: int
) -> Judgement:
    """Evaluate a network on fresh trials."""
    draw = functools.partial(draw_trials, rng, condition=condition, rests=rests, num_cues=cues)
    right, rest_of, rates = [], [], np.zeros(2)
    for start in range(0, count, JUDGE_BATCH):
        trials = draw(count=min(JUDGE_BATCH, count - start))
        done = show(network, trials)
        right.append(scores(decision_spikes(done), torch.from_numpy(trials.answers)).numpy())
        rest_of.append(trials.rests)
        rates += [1000 * float(layer.mean()) * len(trials.answers) / count for layer in done]
    got, where = np.concatenate(right), np.concatenate(rest_of)  # (count,) both
    by_rest = {rest: float(got[where == rest].mean()) for rest in rests if (where == rest).any()}
    return Judgement(float(got.mean()), by_rest, *map(float, rates))
