"""An evolution strategy over whole rules: CMA-ES (Hansen & Ostermeier 2001) by the library pycma.

It searches where `head_noise` explores, in the coordinates xi of all parameters of the heads, with scales measured
once, in the first rollout. A generation is a rollout: each lifetime follows another rule for `credit_horizon`
images, and its return is the rule's fitness. With thousands of parameters a diagonal
covariance is adapted (Ros & Hansen, A simple modification in CMA-ES achieving linear time and space complexity, 2008).

Axes: B lifetimes, P rules of a generation, D parameters of all heads.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

import numpy as np
import torch
from stable_baselines3.common.type_aliases import GymEnv
from torch import Tensor

from snn_plasticity_gym.config.learning import EvolutionOptions, WholeRuleOptions
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.config.training import ESConfig
from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.learners.arguments import with_options
from snn_plasticity_gym.learners.head_noise import HeadNoise, LayerScale
from snn_plasticity_gym.learners.strategies import new_cma
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.utils.state import State


class EvolvedHeads(HeadNoise):
    """Every lifetime follows a rule sampled by the strategy. The first rollout only measures scales.

    Args:
        policy: Whose heads are the mean of the search distribution; its `sigma` is the first step size.
        generator: Its seed is that of the strategy.
        options: `covariance` is that of the strategy.
        population: P.
    """

    measured_steps = 0  # the scales are those of the first rollout

    def __init__(
        self, policy: PlasticityPolicy, generator: torch.Generator, options: WholeRuleOptions, population: int
    ) -> None:
        super().__init__(policy, generator, options)
        self._population = population
        self._diagonal = options.covariance == "diagonal"
        self._candidates: list[np.ndarray] = []  # (D,) each, candidate rules of this generation
        self._fitness_history: list[list[float] | None] = []  # fitness of each generation, P numbers; None: left out
        self.strategy: Any = None  # of pycma, which has no types; None before scales are measured

    def state_dict(self) -> State:
        """Return the scales, and the fitness of each generation, from which the strategy is replayed."""
        scales = [tuple(scale) for scale in self.scales]
        return {**super().state_dict(), "scales": scales, "told": self._fitness_history}

    def load_state_dict(self, state: State) -> None:
        """Restore a state of `state_dict`."""
        super().load_state_dict(state)
        device = self._generator.device
        self.scales = [LayerScale(*(part.to(device) for part in scale)) for scale in state["scales"]]
        self._fitness_history = [returns and list(returns) for returns in state["told"]]
        self.strategy = None
        if self.ready:
            self.strategy = self._new_strategy()
            for returns in self._fitness_history:
                candidates = self.strategy.ask()
                if returns is not None:
                    self.strategy.tell(candidates, [-value for value in returns])

    def begin_rollout(self) -> None:
        """Sample the rules of a generation, once inputs have been measured."""
        if self.strategy is None:
            super().begin_rollout()
            if not self.ready:
                return
            self.strategy = self._new_strategy()
        self.drawn, self._candidates, self._steps = [], self.strategy.ask(), 0

    def _new_strategy(self) -> Any:
        random = np.random.default_rng(self._generator.initial_seed())
        return new_cma(np.zeros(self.size), self._policy.sigma, self._population, self._diagonal, random)

    def perturb(self, num_lifetimes: int) -> None:
        """Assign the next rules of the generation to the lifetimes."""
        if self.strategy is None:
            return
        first, count = sum(len(rules) for rules in self.drawn), num_lifetimes * self._world.size
        rules = np.stack(self._candidates[first : first + count]) - self.strategy.mean  # (B, D) of all processes
        self.drawn.append(torch.from_numpy(rules).float())
        self._follow(self.drawn[-1][self._world.rows(num_lifetimes)])

    def learn(self, returns: Tensor) -> Tensor:
        """Tell the strategy the fitness of the generation's rules, (P,); move the heads to the new mean.

        Returns:
            The step of the mean, (D,).
        """
        before = self.strategy.mean.copy()
        fitness = returns.tolist()
        self._fitness_history.append(fitness)
        self.strategy.tell(self._candidates, [-value for value in fitness])  # it minimises
        way = torch.from_numpy(self.strategy.mean - before).float()
        self.move(self._policy.rule, way)
        return way

    def leave_out(self) -> None:
        """Record that this generation is left out."""
        self._fitness_history.append(None)


@with_options
class EventES(EventA2C):
    """CMA-ES over the heads of a `PlasticityPolicy`, run and saved as `EventA2C` is.

    Args:
        policy: "PlasticityPolicy", or a class derived from it.
        env: As for `EventA2C`, with rewards of whole episodes.
        n_steps: Episodes of each lifetime in a generation, a multiple of `credit_horizon`.
        seed: Of everything.
        options: Those listed below, and of `stable_baselines3.A2C` policy_kwargs, device, verbose, tensorboard_log and
            stats_window_size.

    Raises:
        ConfigError: An argument is unknown, beyond its limits, or contradicts another.
    """

    config_type = ESConfig
    options_type = WholeRuleOptions
    keywords = (EvolutionOptions,)
    fixed: ClassVar[dict[str, str]] = {
        name: str(getattr(WholeRuleOptions(), name)) for name in ("exploration", "perturb", "baseline")
    }
    options: WholeRuleOptions

    def __init__(
        self,
        policy: str | type[PlasticityPolicy],
        env: GymEnv | str,
        n_steps: int = 1,
        seed: int | None = None,
        _init_setup_model: bool = True,
        **options: Any,
    ) -> None:
        if "learning_rate" in options:  # which `EventA2C` would take
            raise ConfigError("learning_rate has no effect in EventES, which takes no gradient; leave it out")
        super().__init__(policy, env, n_steps=n_steps, seed=seed, _init_setup_model=_init_setup_model, **options)

    def _setup_model(self) -> None:
        super()._setup_model()
        population = self._num_lifetimes * self.n_steps // self.options.credit_horizon
        self._explore = EvolvedHeads(self.policy, self._noise, self.options, population)

    def train(self) -> None:
        """End a generation; the first rollout only measures scales."""
        explore = cast(EvolvedHeads, self._explore)
        if explore.strategy is None:
            return
        if not self.rollout_buffer.pos:  # a number was not finite
            explore.leave_out()
            return
        own = self.rollout_buffer.lifetime_returns()[:: self.options.credit_horizon]
        returns = self._world.join(own, dim=1)  # (draws, B), B lifetimes of all processes
        way = explore.learn(returns.flatten())
        self._n_updates += 1
        record = self.logger.record
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record("train/return", returns.mean().item())
        record("train/return_best", returns.max().item())
        record("train/sigma", float(explore.strategy.sigma))
        record("train/rule_step", way.norm().item() / float(explore.strategy.sigma))
