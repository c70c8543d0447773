"""Settings of networks with trained plasticity that act in a world: encoding, policy, PPO, evaluation."""

from __future__ import annotations

import json
import math

from snn_plasticity_gym.config.schema import ConfigError, config_class, setting, setting_fields
from snn_plasticity_gym.config.training import RunConfig


@config_class
class PlasticWorldConfig(RunConfig):
    """Part of `PlasticConfig` for Gymnasium environments; without `world` its settings are refused."""

    world: str = setting(
        "",
        "Gymnasium id of a world to act in, in place of cue association, e.g. CartPole-v1; module:Id imports the "
        "module first. Plasticity lasts from an episode's first action to its last.",
        section="World",
        basic=True,
    )
    world_kwargs: str = setting(
        "{}", 'Arguments of the world, a mapping or JSON, e.g. {"max_episode_steps": 200}.', section="World", json=True
    )
    steps: int = setting(200_000, "Actions in all.", unit="actions", section="World", ge=1, basic=True)
    eval_steps: int = setting(
        20_000,
        "Actions between two rows of metrics, each with a validation; the best parameters are kept.",
        unit="actions",
        section="World",
        ge=1,
        basic=True,
    )
    eval_lives: int = setting(10, "Held-out episodes of a validation.", unit="episodes", section="World", ge=1)
    test_lives: int = setting(
        50,
        "Test episodes for the best parameters at the end, also for each disturbance.",
        unit="episodes",
        section="World",
        ge=1,
    )
    observation_low: tuple[float, ...] = setting(
        (), "Value of each observation at the centre of its first neuron; empty: the world's bounds.", section="World"
    )
    observation_high: tuple[float, ...] = setting(
        (), "Value of each observation at the centre of its last neuron; empty: the world's bounds.", section="World"
    )
    fields: int = setting(10, "Input neurons of each observation.", unit="neurons", section="World", ge=2)
    sharpness: float = setting(
        15.0,
        "Of the bells max(floor, exp(-sharpness (c - x)^2)), the probability of an input spike in each ms, over "
        "observations mapped so that the outer centres are -1 and 1.",
        section="World",
        gt=0,
    )
    floor: float = setting(0.05, "Smallest probability of an input spike in each ms.", section="World", ge=0, le=1)
    action_ms: int = setting(20, "Simulated time per action.", unit="ms", section="World", ge=1, basic=True)
    group_size: int = setting(
        20, "Output neurons of each dimension of an action, an even number, or of each Discrete action.",
        unit="neurons", section="World", ge=2,
    )  # fmt: skip
    decoder_gain: float = setting(
        3.0,
        "Gain of the decoder: of a dimension, share of its range per difference of spikes of its halves, per ms and "
        "neuron; of Discrete actions, logit per mean spike of its neurons.",
        section="World",
        gt=0,
    )
    exploration: float = setting(
        0.5, "Initial standard deviation of actions around decoded ones, in halves of their range; trained.",
        section="World", gt=0,
    )  # fmt: skip
    num_worlds: int = setting(8, "Parallel copies of the world.", section="World", ge=1)
    rollout: int = setting(256, "Actions in each world between two updates.", unit="actions", section="World", ge=1)
    truncation: int = setting(
        64,
        "Truncation of backpropagation through time, in actions; states are carried over it, gradients are not.",
        unit="actions",
        section="World",
        ge=1,
    )
    minibatches: int = setting(4, "Gradient steps in an epoch over the actions of an update.", section="World", ge=1)
    gamma: float = setting(0.99, "Discount factor, per action.", section="World", ge=0, le=1)
    gae_lambda: float = setting(0.95, "Lambda of generalized advantage estimation.", section="World", ge=0, le=1)
    critic_size: int = setting(
        64, "Neurons of each of the critic's two layers; it is used in training only, on observations.",
        unit="neurons", section="World", ge=1,
    )  # fmt: skip
    critic_rate: float = setting(1e-3, "Initial learning rate of the critic (Adam).", section="World", gt=0)

    test_action_noise: tuple[float, ...] = setting(
        (0.3,),
        "Test at the end also with noise on actions: standard deviation in halves of their range; of Discrete actions, "
        "probability of any other one.",
        section="World",
        gt=0,
    )
    test_friction: tuple[float, ...] = setting(
        (), "Test also with all friction of a MuJoCo world times each of these.", section="World", ge=0
    )
    test_mass: tuple[float, ...] = setting(
        (), "Test also with all masses of a MuJoCo world times each of these.", section="World", gt=0
    )
    test_joints: tuple[int, ...] = setting(
        (), "Test also with one damaged motor of a MuJoCo world, each of these, from 0.", section="World", ge=0
    )
    joint_strength: float = setting(0.0, "Share of its force that a damaged motor keeps.", section="World", ge=0, le=1)
    test_attributes: str = setting(
        "{}",
        'Test also with each of these attributes of the world, a mapping or JSON, e.g. {"force_mag": [5, 20]}.',
        section="World",
        json=True,
    )

    def check_world(self) -> None:
        """Check that settings of worlds agree with each other."""
        attributes(self.test_attributes)
        if len(self.observation_low) != len(self.observation_high):
            raise ConfigError(
                "observation_low and observation_high must hold a number each for each observation, got "
                f"{len(self.observation_low)} and {len(self.observation_high)}"
            )
        if self.group_size % 2:
            raise ConfigError(f"group_size must be even, one half for each sign, got {self.group_size}")
        everywhere = {info.name for info in setting_fields(RunConfig)}
        for info in setting_fields(PlasticWorldConfig):
            if not self.world and info.name not in everywhere and getattr(self, info.name) != info.default:
                raise ConfigError(
                    f"{info.name} is for a world, and there is none; give world, or leave {info.name} out"
                )


def attributes(text: str) -> list[tuple[str, float]]:
    """Return each attribute with each of its values, of a mapping in JSON.

    Raises:
        ConfigError: They are no numbers by name.
    """
    given = json.loads(text)
    if not all(isinstance(values, list) for values in given.values()):
        raise ConfigError(
            f'test_attributes must be lists of numbers by name, e.g. {{"force_mag": [5, 20]}}, got {text}'
        )
    pairs = [(name, value) for name, values in given.items() for value in values]
    for name, value in pairs:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"test_attributes: {name} must be finite numbers, got {value!r}")
    return [(name, float(value)) for name, value in pairs]
