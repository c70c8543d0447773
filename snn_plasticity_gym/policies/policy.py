"""The Stable-Baselines3 policy: Gaussian weight changes for event slots or flat batches of events."""

from __future__ import annotations

import copy
import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor

from snn_plasticity_gym.config.arguments import check_argument, check_arguments
from snn_plasticity_gym.config.schema import ConfigError, unknown
from snn_plasticity_gym.config.training import SearchConfig
from snn_plasticity_gym.plasticity.events import LocalState
from snn_plasticity_gym.policies.architecture import PERCEPTRON, Architecture
from snn_plasticity_gym.policies.dense_events import DenseEvents
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.policies.head_registry import HeadFactory, resolve_head
from snn_plasticity_gym.policies.learned_rule import LearnedRule
from snn_plasticity_gym.policies.network import new_network
from snn_plasticity_gym.policies.rule_description import describe
from snn_plasticity_gym.policies.rule_files import save_rule
from snn_plasticity_gym.utils.files import make_output
from snn_plasticity_gym.utils.nonfinite import NotFiniteError

SLOT_KEYS = ("history", "weight", "group", "kind", "mask")
OWN = (
    "sigma",
    "use_kind",
    "hidden_sizes",
    "channels",
    "kernel_sizes",
    "critic_lr_scale",
    "formula_terms",
    "dt",
    "head",
)


REFUSED = {
    "net_arch": "hidden_sizes gives the widths of heads and critic",
    "activation_fn": "heads have ReLU, and head takes a network of your own",
    "ortho_init": "all layers begin orthogonal",
    "use_sde": "exploration='rule' of EventA2C and EventPPO is its like for synapses",
    **dict.fromkeys(("log_std_init", "full_std", "use_expln", "squash_output"), "sigma is all of the noise"),
    **dict.fromkeys(
        ("features_extractor_class", "features_extractor_kwargs", "share_features_extractor"),
        "channels and kernel_sizes give the front, which heads and critic share",
    ),
    "normalize_images": "observations are no images",
}
"""Arguments of Stable-Baselines3's policies without effect here, and their replacements."""


class MaskedGaussian(DiagGaussianDistribution):
    """Independent Gaussians over event slots; unused slots are masked."""

    mask: Tensor  # (B, E)

    def of(self, mean: Tensor, log_std: Tensor, mask: Tensor) -> MaskedGaussian:
        """Set the means (B, E), the common log standard deviation and the mask (B, E)."""
        self.proba_distribution(mean, log_std)
        self.mask = mask
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        """Sum the log-probabilities of the used slots: (B, E) -> (B,)."""
        return (self.distribution.log_prob(actions) * self.mask).sum(dim=1)

    def entropy(self) -> Tensor:
        """Sum the entropies of the used slots: (B,)."""
        return (self.distribution.entropy() * self.mask).sum(dim=1)


class PlasticityPolicy(ActorCriticPolicy):
    """A plasticity rule that can be learned: delta_d ~ N(m(s), sigma^2) for every synapse event s.

    The front is shared by all heads and by the critic; each group of synapses has a separate head (`RuleNetwork`),
    or one for each kind of event where the environment splits the kinds.
    In stock Stable-Baselines3 (`A2C(PlasticityPolicy, env)`, `PPO(PlasticityPolicy, env)`) an action is all slots of
    an observation: log-probability and entropy are sums over the used slots, the value is their mean. `EventA2C` takes
    each event as a separate action, through `evaluate_events` and `frozen`.

    Args:
        observation_space: Of a plasticity environment.
        action_space: Of a plasticity environment.
        lr_schedule: Learning rate schedule.
        sigma: Standard deviation of the weight changes around their mean (sigma_policy); it is not learned.
        use_kind: Whether the event's kind is part of the state.
        hidden_sizes: Widths of the hidden layers of heads and critic.
        channels: Output channels of the front's two convolutions.
        kernel_sizes: Their widths, odd.
        critic_lr_scale: Learning rate of the critic over that of front and heads; used by `EventA2C`.
        formula_terms: Products of which the rule is a weighted sum, as "post*x20*w" (`policies.formula`); none:
            `default_terms`. None: the rule is front and heads, as above.
        dt: Length of the environment's time step, ms, for the traces of a formula.
        head: Kind of the heads: "mlp", a name registered by `register_head`, or a factory of heads from
            (num_features, num_scalars), as a module class; see `policies.head_registry`.
        optimizer_class: Of the front, the heads and the critic.
        optimizer_kwargs: Further arguments of it, but for the learning rate.
        kwargs: None, except use_sde=False, which Stable-Baselines3 passes; see `REFUSED`.

    Raises:
        ConfigError: The spaces are not those of a plasticity environment, there is no such rule, or an argument has
            no effect here.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        *,
        sigma: float = 0.1,
        use_kind: bool = False,
        hidden_sizes: Sequence[int] = (128, 128),
        channels: tuple[int, int] = (16, 32),
        kernel_sizes: tuple[int, int] = (5, 5),
        critic_lr_scale: float = 1.0,
        formula_terms: Sequence[str] | None = None,
        dt: float = 1.0,
        head: str | HeadFactory = PERCEPTRON,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        _refuse(kwargs)
        if not isinstance(observation_space, spaces.Dict) or not set(SLOT_KEYS) <= set(observation_space.keys()):
            raise ConfigError(
                f"observation_space must be a Dict with {', '.join(SLOT_KEYS)} as plasticity environments have, "
                f"got {observation_space}"
            )
        if not isinstance(action_space, spaces.Box) or action_space.shape != observation_space["mask"].shape:
            raise ConfigError(f"action_space must be a Box with a number for each slot, got {action_space}")
        check_arguments(SearchConfig, {"sigma": sigma, "hidden_sizes": hidden_sizes}, {"hidden_sizes": "head_sizes"})
        check_argument("critic_lr_scale", critic_lr_scale, float, gt=0)
        self.sigma = sigma
        self.use_kind = use_kind
        self.hidden_sizes = tuple(hidden_sizes)
        self.channels = channels
        self.kernel_sizes = kernel_sizes
        self.critic_lr_scale = critic_lr_scale
        self.formula_terms = None if formula_terms is None else tuple(formula_terms)
        self.dt = dt
        self.head = head
        self.num_groups = _number_of_groups(observation_space["group"])
        self.extra_keys = sorted(key for key in observation_space.spaces if key not in SLOT_KEYS)
        head_name, self._own_head = resolve_head(head)
        self._shape = Architecture(
            num_groups=self.num_groups,
            use_kind=use_kind,
            extra_keys=tuple(self.extra_keys),
            hidden_sizes=self.hidden_sizes,
            channels=channels,
            kernel_sizes=kernel_sizes,
            sigma=sigma,
            formula_terms=self.formula_terms,
            dt=1.0 if formula_terms is None else dt,
            head=head_name,
        )
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        everything = super()._get_constructor_parameters() | {name: getattr(self, name) for name in OWN}
        return {name: value for name, value in everything.items() if name not in REFUSED}

    @property
    def architecture(self) -> Architecture:
        """Shape of the rule, with the present sigma."""
        return dataclasses.replace(self._shape, sigma=float(self.sigma))

    def _build(self, lr_schedule: Schedule) -> None:
        """Create the networks and the optimizer, with a separate parameter group for the critic."""
        self.rule = new_network(self._shape, self._own_head)
        self.register_buffer("log_std", torch.tensor(float(self.sigma)).log())
        self.action_dist = MaskedGaussian(self.action_space.shape[0])  # type: ignore[index]
        actor = [*self.rule.front.parameters(), *self.rule.heads.parameters()]
        critic = list(self.rule.critic.parameters())
        rate = lr_schedule(1)
        self.optimizer = self.optimizer_class(
            [
                {"params": actor, "lr": rate, "lr_scale": 1.0},
                {"params": critic, "lr": rate * self.critic_lr_scale, "lr_scale": self.critic_lr_scale},
            ],
            **self.optimizer_kwargs,
        )

    # Slots, for stock Stable-Baselines3.

    def forward(self, obs: PyTorchObs, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Return actions (B, E), values (B, 1) and log-probabilities (B,)."""
        distribution, values = self._evaluate_slots(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, values, distribution.log_prob(actions)

    def evaluate_actions(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return values (B, 1), log-probabilities (B,) of the given actions, and entropies (B,)."""
        distribution, values = self._evaluate_slots(obs)
        return values, distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: PyTorchObs) -> MaskedGaussian:
        """Return the distribution of the weight changes of all slots."""
        return self._evaluate_slots(obs)[0]

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Return the values of the observations, (B, 1)."""
        return self._evaluate_slots(obs)[1]

    def _evaluate_slots(self, obs: PyTorchObs) -> tuple[MaskedGaussian, Tensor]:
        assert isinstance(obs, dict)
        mask = obs["mask"] > 0  # (B, E)
        state = _used_slots(obs, mask, self.extra_keys)
        features = self.rule.features(state)
        means = self.rule.mean(features, state)  # of the used slots
        _check_means(means)
        mean = torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, means)  # (B, E)
        value = torch.zeros_like(mean).masked_scatter(mask, self.rule.value(features, state))
        values = value.sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True).clamp(min=1)  # (B, 1)
        assert isinstance(self.action_dist, MaskedGaussian)
        return self.action_dist.of(mean, self.log_std, mask), values

    # Flat batches of events, for EventA2C.

    def evaluate_events(self, state: LocalState) -> tuple[Tensor, Tensor]:
        """Return the mean weight change (E,) and the value (E,) of each event, both with gradient."""
        features = self.rule.features(state)
        return self.rule.mean(features, state), self.rule.value(features, state)

    def log_prob(self, mean: Tensor, actions: Tensor) -> Tensor:
        """Return log N(action; mean, sigma^2) of each event, of the sample before clipping: (E,).

        Raises:
            NotFiniteError: A mean is not finite.
        """
        _check_means(mean)
        return torch.distributions.Normal(mean, self.sigma, validate_args=False).log_prob(actions)

    @property
    def entropy(self) -> float:
        """Entropy of one weight change, in nats: log(sigma sqrt(2 pi e))."""
        return math.log(self.sigma * math.sqrt(2 * math.pi * math.e))

    def frozen(self, history_length: int) -> FrozenRule:
        """Return the present rule for acting, unaffected by later updates."""
        return FrozenRule(self.rule, history_length)

    # The rule alone.

    def as_rule(self, groups: Sequence[str] | None = None) -> LearnedRule:
        """Return the present rule without its noise, unaffected by later updates.

        Args:
            groups: Names of the heads; None: numbers.
        """
        description = describe(self.architecture, groups=groups, history_length=self._history_length)
        return LearnedRule(description, copy.deepcopy(self.rule))

    def save_rule(self, folder: str | Path, **metadata: Any) -> Path:
        """Write rule.safetensors and rule.json, which `load_rule` reads and which cannot run code.

        Args:
            folder: Folder to write to; it is made if missing.
            metadata: Further content of rule.json: groups, images, config, metrics, versions; see `describe`.

        Returns:
            The folder.

        Raises:
            ConfigError: It is no folder, or cannot be written to.
        """
        if not isinstance(folder, str | os.PathLike):
            raise ConfigError(f"folder must be a path, got {folder!r}")
        folder = make_output(folder, what="the folder of a rule")
        save_rule(folder, self.rule, describe(self.architecture, history_length=self._history_length, **metadata))
        return folder

    @property
    def _history_length(self) -> int:
        """K of the environment."""
        space = cast(spaces.Dict, self.observation_space)["history"]
        return int(space.shape[-1])  # type: ignore[index]


def _check_means(means: Tensor) -> None:
    """Check that means are finite, with a short error in place of torch's."""
    if not means.isfinite().all():
        raise NotFiniteError(
            "the policy's weight changes are not finite: its parameters have grown without bound; lower learning_rate"
        )


def _number_of_groups(space: spaces.Space) -> int:
    """Return the number of heads from a slot's `group`; earlier environments had a MultiDiscrete."""
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.max())
    if not isinstance(space, spaces.Box):
        raise ConfigError(f"group of the observation_space must be a Box of whole numbers, got {space}")
    return int(space.high.max()) + 1


def _refuse(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that would be ignored."""
    for name, value in arguments.items():
        if name == "use_sde" and value is False:
            continue
        if name in REFUSED:
            raise ConfigError(f"PlasticityPolicy takes no {name}, got {value!r}: {REFUSED[name]}")
        raise ConfigError(unknown("argument of PlasticityPolicy", name, [*OWN, "optimizer_class", "optimizer_kwargs"]))


def _used_slots(obs: dict[str, Tensor], mask: Tensor, extra_keys: list[str]) -> LocalState:
    """Return the used slots as a flat batch, in order of lifetime, then slot."""
    history = obs["history"][mask]  # (E, 2, K)
    extras = [obs[key][mask].float() for key in extra_keys]
    events = DenseEvents(
        history=history,
        weight=obs["weight"][mask].float(),
        kind=obs["kind"][mask],
        group=obs["group"][mask].long(),
        extras=torch.stack(extras, dim=1) if extras else history.new_empty(len(history), 0, dtype=torch.float32),
    )
    return events.local_state()
