"""An evolution strategy over whole rules: CMA-ES (Hansen & Ostermeier 2001) by the library pycma.

It searches where `head_noise` explores, in the coordinates xi of all parameters of the heads, with scales measured
once, in the first rollout. A generation is a rollout: each lifetime follows a rule of its own for `credit_horizon`
images, and what it earns is all that the strategy learns of the rule. With thousands of parameters a diagonal
covariance is adapted (Ros & Hansen, A simple modification in CMA-ES achieving linear time and space complexity, 2008).

Axes: B lifetimes, P rules of a generation, D parameters of all heads.
"""

from __future__ import annotations

from typing import Any, cast

import cma
import numpy as np
import torch
from stable_baselines3.common.type_aliases import GymEnv
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.config.training import ESConfig
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.learners.arguments import check_learner
from snn_plasticity_gym.learners.head_noise import HeadNoise, LayerScale
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.utils.state import State

WHOLE_RULES = {"exploration": "rule", "perturb": "head", "baseline": "lifetimes"}  # arguments of `EventA2C`


class EvolvedHeads(HeadNoise):
    """Every lifetime follows a rule that the strategy asks about. The first rollout of all only measures.

    Args:
        policy: Whose heads are the mean of the search distribution; its `sigma` is the first step size.
        generator: Its seed is that of the strategy.
        population: P.
        diagonal: Whether the covariance is diagonal.
    """

    def __init__(self, policy: PlasticityPolicy, generator: torch.Generator, population: int, diagonal: bool) -> None:
        super().__init__(policy, generator, mirrored=False)
        self._population = population
        self._diagonal = diagonal
        self._asked: list[np.ndarray] = []  # (D,) each, rules of this generation
        self._told: list[list[float]] = []  # what the rules of each generation so far earned, P numbers each
        self.strategy: Any = None  # of pycma, which has no types; None: there are no scales yet

    def state_dict(self) -> State:
        """Return the scales, and what each generation earned: a strategy that is told the same again is the same."""
        return {**super().state_dict(), "scales": [tuple(scale) for scale in self.scales], "told": self._told}

    def load_state_dict(self, state: State) -> None:
        """Take over a state of `state_dict`."""
        super().load_state_dict(state)
        device = self._generator.device
        self.scales = [LayerScale(*(part.to(device) for part in scale)) for scale in state["scales"]]
        self._told = [list(returns) for returns in state["told"]]
        self.strategy = None
        if self.ready:
            self.strategy = self._new_strategy()
            for returns in self._told:
                self.strategy.tell(self.strategy.ask(), [-value for value in returns])

    def begin_rollout(self) -> None:
        """Ask for the rules of a generation, once inputs have been measured."""
        if self.strategy is None:
            super().begin_rollout()
            if not self.ready:
                return
            self.strategy = self._new_strategy()
        self.drawn, self._asked, self._steps = [], self.strategy.ask(), 0

    def _new_strategy(self) -> Any:
        random = np.random.default_rng(self._generator.initial_seed())
        options = {
            "popsize": self._population,
            "CMA_diagonal": self._diagonal,
            "randn": lambda *shape: random.standard_normal(shape),
            "seed": np.nan,  # or it would seed numpy's global generator
            "verbose": -9,
        }
        return cma.CMAEvolutionStrategy(np.zeros(self.size), self._policy.sigma, options)

    def perturb(self, num_lifetimes: int) -> None:
        """Give the next rules of the generation to the lifetimes."""
        if self.strategy is None:
            return
        first, everyone = sum(len(rules) for rules in self.drawn), num_lifetimes * self._world.size
        rules = np.stack(self._asked[first : first + everyone]) - self.strategy.mean  # (B, D) of all processes
        self.drawn.append(torch.from_numpy(rules).float())
        self._follow(self.drawn[-1][self._world.rows(num_lifetimes)])

    def learn(self, returns: Tensor) -> Tensor:
        """Tell the strategy what the rules of the generation earned, (P,); move the heads to the new mean.

        Returns:
            The way of the mean, (D,).
        """
        before = self.strategy.mean.copy()
        self._told.append(returns.tolist())
        self.strategy.tell(self._asked, [-value for value in self._told[-1]])  # it minimises
        way = torch.from_numpy(self.strategy.mean - before).float()
        self.move(self._policy.rule, way)
        return way


class EventES(EventA2C):
    """CMA-ES over the heads of a `PlasticityPolicy`, run and saved as `EventA2C` is.

    Args:
        policy: "PlasticityPolicy", or a class derived from it.
        env: As for `EventA2C`, with rewards of whole images.
        covariance: "diagonal" or "full".
        n_steps: Images shown to each lifetime in a generation, a multiple of `credit_horizon`.
        credit_horizon: Images for which a lifetime follows a rule.
        kwargs: Further arguments of `EventA2C`: credit_from, gamma_lifetime, policy_kwargs, seed, ...

    Raises:
        ConfigError: An argument is beyond what the trainer's setting of its name allows, or two contradict each other.
    """

    def __init__(
        self,
        policy: str | type[PlasticityPolicy],
        env: GymEnv | str,
        covariance: str = "diagonal",
        n_steps: int = 1,
        credit_horizon: int = 1,
        **kwargs: Any,
    ) -> None:
        check_learner(ESConfig, locals())
        for name, value in WHOLE_RULES.items():
            if kwargs.setdefault(name, value) != value:
                raise ConfigError(f"{name} is {value!r} in an evolution strategy, got {kwargs[name]!r}; leave it out")
        self.covariance = covariance
        super().__init__(policy, env, n_steps=n_steps, credit_horizon=credit_horizon, **kwargs)

    def _setup_model(self) -> None:
        super()._setup_model()
        population = self._num_lifetimes * self.n_steps // self.rollout_buffer.credit_horizon
        self._explore = EvolvedHeads(self.policy, self._noise, population, self.covariance == "diagonal")

    def train(self) -> None:
        """End a generation; the first rollout of all only measures."""
        explore = cast(EvolvedHeads, self._explore)
        if explore.strategy is None:
            return
        own = self.rollout_buffer.lifetime_returns()[:: self.rollout_buffer.credit_horizon]
        returns = self._world.join(own, dim=1)  # (draws, B), B lifetimes of all processes
        way = explore.learn(returns.flatten())
        self._n_updates += 1
        record = self.logger.record
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record("train/return", returns.mean().item())
        record("train/return_best", returns.max().item())
        record("train/sigma", float(explore.strategy.sigma))
        record("train/rule_step", way.norm().item() / float(explore.strategy.sigma))
