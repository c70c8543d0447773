"""Learners from rewarded actions: one-step image classification, and the base class for all tasks."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.config.svpg import SVPGConfig
from snn_plasticity_gym.learners.agents import Agent
from snn_plasticity_gym.learners.svpg import confidence
from snn_plasticity_gym.tasks.datasets import ImageSet
from snn_plasticity_gym.trainers.sessions.bptt_learner import minibatches
from snn_plasticity_gym.trainers.sessions.validated_learner import ValidatedLearner
from snn_plasticity_gym.utils.state import State

JUDGE_BATCH = 2000  # images at a time in evaluations
MEAN_DECAY = 0.95  # of the running mean of rewards, per update


class Learner(ValidatedLearner):
    """Base class of learning from images and in environments.

    Args:
        config: Settings of learning.
        agent: The agent to train.
        floor: Share of the learning rate to which the schedule falls.
    """

    def __init__(self, config: SVPGConfig, agent: Agent, floor: float) -> None:
        weights = list(agent.weights.values())
        optimiser: torch.optim.Optimizer
        if config.optimiser == "adam":
            optimiser = torch.optim.Adam(weights, config.learning_rate, maximize=True, fused=True)
        else:
            optimiser = torch.optim.SGD(weights, config.learning_rate, maximize=True)
        super().__init__(config.episodes, agent.weights, optimiser)
        self.agent = agent
        self._config, self._floor = config, floor

    @abstractmethod
    def judge(self, part: str) -> float:
        """Return the agent's accuracy or mean return, greedily, on the split "validation" or "test"."""

    def _step(self) -> None:
        """Take an optimiser step along the weights' `grad` at the current learning rate."""
        share = self.episodes / self.total
        falls = {"cosine": 0.5 * (1 + math.cos(math.pi * share)), "linear": 1 - share, "constant": 1.0}
        self._set_rate(self._config.learning_rate * max(self._floor, falls[self._config.schedule]))
        self._optimiser.step()


class ImageLearner(Learner):
    """One action for each image, with reward 1 for the correct class and else 0.

    Args:
        config: Settings of learning.
        agent: The agent to train.
        parts: Images by "train", "validation" and "test".
        order: Source of the order of images.
        noise: Source of actions, of the device.
        device: Of the agent.
    """

    def __init__(
        self,
        config: SVPGConfig,
        agent: Agent,
        parts: dict[str, ImageSet],
        order: np.random.Generator,
        noise: torch.Generator,
        device: torch.device,
    ) -> None:
        super().__init__(config, agent, 0.0)
        self._order, self._noise = order, noise
        self._images = {name: (part.images.to(device), part.labels.to(device)) for name, part in parts.items()}
        self._mean_reward = 0.1

    def steps(self) -> Iterator[None]:
        """See `Learner`."""
        config, agent = self._config, self.agent
        images, labels = self._images["train"]
        batches = minibatches(len(labels), self.total, config.batch_size, self._order, self.episodes)
        for batch in batches:
            inputs = _grey(images[batch])  # (B, S)
            look = agent.look(inputs)
            policy = look.policy.detach()  # (B, A)
            action = torch.multinomial(policy.clamp_min(1e-9), 1, generator=self._noise)[:, 0]  # (B,)
            reward = (action == labels[batch]).to(policy.dtype)  # (B,)
            agent.learn(inputs, look, action, reward - self._baseline(policy), config.entropy)
            self._step()
            self._mean_reward += (1 - MEAN_DECAY) * (float(reward.mean()) - self._mean_reward)
            self.episodes += len(batch)
            self._count(len(batch), reward=float(reward.sum()), confidence=float(confidence(policy).sum()))
            yield

    def judge(self, part: str) -> float:
        """Return the accuracy of the most likely actions on the first images of the split."""
        num_images = self._config.test_episodes if part == "test" else self._config.eval_episodes
        images, labels = self._images[part]
        count = min(num_images or len(labels), len(labels))
        right = 0
        for start in range(0, count, JUDGE_BATCH):
            here = slice(start, min(start + JUDGE_BATCH, count))
            answers = self.agent.judge(_grey(images[here])).argmax(dim=1)
            right += int((answers == labels[here]).sum())
        return right / count

    def state_dict(self) -> State:
        """See `Learner`; the order of images follows from the seed."""
        own = {"noise": self._noise.get_state(), "mean_reward": self._mean_reward}
        return super().state_dict() | own

    def load_state_dict(self, state: State) -> None:
        """See `Learner`."""
        super().load_state_dict(state)
        self._noise.set_state(state["noise"])
        self._mean_reward = state["mean_reward"]

    def _baseline(self, policy: Tensor) -> Tensor | float:
        """Return the reward baseline, (B,) or one number for all."""
        if self._config.baseline == "confidence":
            return confidence(policy)
        return self._mean_reward if self._config.baseline == "mean" else 1.0


def _grey(images: Tensor) -> Tensor:
    """Return uint8 images (B, H, W) as inputs in [0, 1], float32 (B, H * W)."""
    return images.flatten(1).float() / 255.0
