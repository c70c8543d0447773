"""Evolution of a network and its plasticity on cue association, as the gradient-free baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.learners.plastic_network import PlasticNetwork
from snn_plasticity_gym.learners.strategies import CMA, Search
from snn_plasticity_gym.tasks.cue_association import Trials
from snn_plasticity_gym.trainers.sessions.plastic_learner import CueLearner, decision_spikes, scores, show
from snn_plasticity_gym.utils.state import State


class CueEvolver(CueLearner):
    """CMA-ES with a diagonal covariance over all parameters, from the same start as gradient descent.

    In each generation all individuals run on the same fresh trials; fitness is the negative cross-entropy of the
    targets. The network is that of the mean.

    Args:
        config: Settings of learning.
        network: The network to train.
        trials: Source of training trials.
        answers: Source of sampled decisions, of the CPU.
        seed: Of the strategy.
    """

    def __init__(
        self,
        config: PlasticConfig,
        network: PlasticNetwork,
        trials: np.random.Generator,
        answers: torch.Generator,
        seed: int,
    ) -> None:
        super().__init__(config, network, trials, answers)
        start = parameters_to_vector(network.parameters()).detach().cpu().double().numpy()
        anywhere = np.full(len(start), math.inf)
        search = Search(start, -anywhere, anywhere, config.population, config.sigma, 0.0, 0, seed)
        self._strategy = CMA(search, diagonal=True)

    def steps(self) -> Iterator[None]:
        """See `CueLearner`; a step is a generation."""
        size = self._config.population
        while self.episodes < self.total:
            each = -(-min(self._config.batch_size, self.total - self.episodes) // size)
            self._evolve(self._draw(each, self._conditions))
            self.episodes += min(each * size, self.total - self.episodes)
            yield

    def state_dict(self) -> State:
        """See `ValidatedLearner`."""
        return super().state_dict() | {"told": [list(fitness) for fitness in self._strategy.fitness_history]}

    def load_state_dict(self, state: State) -> None:
        """See `ValidatedLearner`."""
        super().load_state_dict(state)
        self._strategy.replay(state["told"])

    @torch.no_grad()
    def _evolve(self, trials: Trials) -> None:
        targets = torch.from_numpy(trials.answers)  # (B,)
        losses = []
        for individual in self._strategy.ask():
            self._put(individual)
            counts = decision_spikes(show(self.network, trials))  # (B, 2)
            loss = F.cross_entropy(counts, targets).item()
            losses.append(loss)
            right = float(scores(counts, targets).sum())
            self._count(len(targets), loss=loss * len(targets), accuracy=right)
        self._strategy.tell(-np.array(losses))
        self._put(self._strategy.centre)

    def _put(self, values: np.ndarray) -> None:
        """Set the network's parameters, (D,)."""
        vector_to_parameters(torch.from_numpy(values).to(self.network.weights[0]), self.network.parameters())
