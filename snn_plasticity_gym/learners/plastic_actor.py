"""Actor of a plastic network: observations to input spikes, output spikes to a policy; and a critic.

Population codes of Schmidgall et al. (2021), supplement, for observations and for actions; scaling and policy are ours.

Axes: R lifetimes, T ms of an action, D observations, I input neurons, O output neurons, A dimensions of an action.
"""

from __future__ import annotations

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal

from snn_plasticity_gym.config.plastic import PlasticConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.learners.plastic_network import PlasticNetwork, make_network
from snn_plasticity_gym.networks.decoders import PopulationDecoder, SoftmaxDecoder
from snn_plasticity_gym.networks.observation_encoders import GaussianPopulation
from snn_plasticity_gym.networks.receptive_fields import observation_ranges

MIN_PROBABILITY = 1e-6  # smallest probability of a Discrete action, so that its logarithm is finite


class PlasticActor(nn.Module):
    """Encoder and decoder around a plastic network; trained parts are the policy's deviation and the critic.

    Observations are mapped so that the centres of their first and last neurons are -1 and 1, and clipped; a neuron
    spikes in each ms with probability max(floor, exp(-sharpness (c - x)^2)). An action of T ms is drawn from a Gaussian
    around A = gain / T sum_t sum_n w_n S_n(t) / (N / 2), w = 1 for half of the N neurons of a dimension and -1 for the
    other, in halves of the action's range; its deviation is trained. A Discrete one is sampled by softmax of its
    neurons' mean spikes. The critic, a network of two tanh layers over the mapped observations, is for training.

    Args:
        config: Settings.
        observations: Of the world, (D,).
        actions: Of the world.
        generator: Source of the initial parameters.

    Raises:
        ConfigError: Observations have no bounds and none are given, or actions have none.
    """

    network: PlasticNetwork
    _middle: Tensor  # (D,)
    _half: Tensor  # (D,)

    def __init__(
        self,
        config: PlasticConfig,
        observations: gymnasium.spaces.Box,
        actions: gymnasium.spaces.Discrete | gymnasium.spaces.Box,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        try:
            given = config.observation_low or None, config.observation_high or None
            low, high = observation_ranges(observations, *given, "give both, a number for each observation")
        except ConfigError as error:
            raise ConfigError(f"observation_low and observation_high of {config.world}: {error}") from error
        self.register_buffer("_middle", torch.from_numpy((low + high) / 2).float(), persistent=False)  # (D,)
        self.register_buffer("_half", torch.from_numpy((high - low) / 2).float(), persistent=False)  # (D,)
        one = np.ones(len(low))
        self._code = GaussianPopulation(
            -one, one, config.fields, sharpness=config.sharpness, floor=config.floor, device=config.device
        )
        self._duration = config.action_ms
        self.log_deviation: nn.Parameter | None = None
        self._decoder: PopulationDecoder | SoftmaxDecoder
        if isinstance(actions, gymnasium.spaces.Discrete):
            beta = config.decoder_gain / config.group_size
            self._decoder = SoftmaxDecoder(int(actions.n), config.group_size, beta=beta)
        else:
            if not actions.is_bounded():
                raise ConfigError(f"actions of {config.world} must have bounds, got {actions}; wrap the world")
            self._low, self._high = actions.low.reshape(-1), actions.high.reshape(-1)  # (A,) both
            ends = np.ones(len(self._low))
            self._decoder = PopulationDecoder(
                -ends, ends, config.group_size, gain=config.decoder_gain, device=config.device
            )
            self.log_deviation = nn.Parameter(torch.full((len(ends),), float(np.log(config.exploration))))  # (A,)
        self.network = make_network(config, generator, self._code.size, self._decoder.size)
        self.critic = _critic(len(low), config.critic_size, generator)

    def encode(self, observation: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the input spikes of one action, bool (T, R, I), of observations (R, D)."""
        probability = self._code.activation(self._mapped(observation).clamp(-1.0, 1.0))  # (R, I)
        uniforms = rng.random((self._duration, *probability.shape), dtype=np.float32)  # (T, R, I)
        return torch.from_numpy(uniforms).to(probability.device) < probability

    def value(self, observation: Tensor) -> Tensor:
        """Return the critic's values, (R,), of observations (R, D)."""
        values: Tensor = self.critic(self._mapped(observation).clamp(-5.0, 5.0)).squeeze(1)
        return values

    def policy(self, counts: Tensor) -> Distribution:
        """Return the policy from the spike counts of the output neurons during an action, (R, O)."""
        if isinstance(self._decoder, SoftmaxDecoder):
            return Categorical(probs=self._decoder.chances(counts).clamp_min(MIN_PROBABILITY))
        assert self.log_deviation is not None
        decoded = self._decoder.decode(counts, self._duration, _no_chance)  # (R, A)
        return Independent(Normal(decoded, self.log_deviation.exp().expand_as(decoded)), 1)

    def most_likely(self, counts: Tensor) -> Tensor:
        """Return the policy's most likely actions, (R, A) or (R,)."""
        policy = self.policy(counts)
        return policy.probs.argmax(dim=1) if isinstance(policy, Categorical) else policy.mean

    def draw(self, policy: Distribution, generator: torch.Generator) -> Tensor:
        """Sample actions, (R, A) or (R,)."""
        if isinstance(policy, Categorical):
            return torch.multinomial(policy.probs, 1, generator=generator)[:, 0]
        middle = policy.mean
        noise = torch.randn(middle.shape, generator=generator, device=middle.device)  # (R, A)
        return middle + policy.stddev * noise

    def disturb(self, action: Tensor, level: float, generator: torch.Generator) -> Tensor:
        """Return actions with Gaussian noise of deviation `level`; Discrete ones change with that probability."""
        if isinstance(self._decoder, SoftmaxDecoder):
            number = self._decoder.num_actions
            slips = torch.rand(len(action), generator=generator, device=action.device) < level  # (R,)
            others = torch.randint(1, max(2, number), (len(action),), generator=generator, device=action.device)  # (R,)
            return torch.where(slips, (action + others) % number, action)
        return action + level * torch.randn(action.shape, generator=generator, device=action.device)

    def to_world(self, action: Tensor) -> Tensor:
        """Return actions in the environment's range, clipped to it."""
        if self.log_deviation is None:
            return action
        low, high = (torch.from_numpy(end).to(action) for end in (self._low, self._high))  # (A,) both
        share = (action.clamp(-1.0, 1.0) + 1) / 2  # (R, A)
        return low * (1 - share) + high * share  # exact at both ends

    def _mapped(self, observation: Tensor) -> Tensor:
        mapped: Tensor = (observation - self._middle) / self._half  # (R, D)
        return mapped


def _critic(num_observations: int, size: int, generator: torch.Generator) -> nn.Sequential:
    """Return a critic of two tanh layers, its weights orthogonal as those of Stable-Baselines3."""
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        for before, after, gain in ((num_observations, size, 2**0.5), (size, size, 2**0.5), (size, 1, 1.0)):
            linear = nn.Linear(before, after)
            nn.init.orthogonal_(linear.weight, gain)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def _no_chance(columns: int) -> Tensor:
    raise AssertionError(f"decoding by a population draws nothing, asked for {columns}")
