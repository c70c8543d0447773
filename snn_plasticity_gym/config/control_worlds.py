"""Settings of the environments named after a world: `ControlConfig` with defaults for it."""

from __future__ import annotations

from snn_plasticity_gym.config.control import ControlConfig
from snn_plasticity_gym.config.schema import config_class


@config_class
class CartPoleConfig(ControlConfig):
    """A spiking network balances the pole of CartPole-v1; fields as in Hasegan et al. (2022)."""

    world: str = "CartPole-v1"
    encoder: str = "one-hot-normal"
    encoder_kwargs: str = (
        '{"fields": 20, "mean": [-0.00646, -0.03634, 0.00529, 0.04752], "period": 10, '
        '"std": [1.0, 0.5399, 0.0913, 0.82071]}'
    )


@config_class
class MountainCarConfig(ControlConfig):
    """A spiking network drives the car of MountainCar-v0; 30 + 30 fields as in Yegenoglu et al. (2022)."""

    encoder_kwargs: str = '{"fields": 30, "period": 2}'
    decoder_kwargs: str = '{"group_size": 1, "tie": "none", "tie_action": 1}'
    hidden_sizes: tuple[int, ...] = (5,)
    w_init_min: float = -1.0
    w_init_max: float = 1.0


@config_class
class PendulumConfig(ControlConfig):
    """A spiking network swings up the pendulum of Pendulum-v1 and holds it; equal fields of all observations."""

    world: str = "Pendulum-v1"
    encoder_kwargs: str = '{"fields": 20, "period": 5}'
    decoder: str = "population"
    decoder_kwargs: str = '{"gain": 10, "group_size": 20}'


@config_class
class AcrobotConfig(ControlConfig):
    """A spiking network swings the two links of Acrobot-v1 up; equal fields of the velocities reached."""

    world: str = "Acrobot-v1"
    encoder_kwargs: str = '{"fields": 20, "high": [1, 1, 1, 1, 6, 9], "low": [-1, -1, -1, -1, -6, -9], "period": 5}'


@config_class
class LunarLanderConfig(ControlConfig):
    """A spiking network lands the ship of Box2D's LunarLander-v3; equal fields over the states of a flight.

    It needs the extra `box2d`.
    """

    world: str = "LunarLander-v3"
    steps_per_action: int = 10
    encoder_kwargs: str = (
        '{"fields": 16, "high": [0.8, 1.5, 1, 0.5, 0.8, 1, 1, 1], "low": [-0.8, 0, -1, -1.5, -0.8, -1, 0, 0], '
        '"period": 3}'
    )
    decoder_kwargs: str = '{"group_size": 10}'


@config_class
class InvertedPendulumConfig(ControlConfig):
    """A spiking network balances the pole of MuJoCo's InvertedPendulum-v5; fields over the states under random forces.

    It needs the extra `mujoco`.
    """

    world: str = "InvertedPendulum-v5"
    encoder_kwargs: str = '{"fields": 20, "high": [0.5, 0.2, 2, 4], "low": [-0.5, -0.2, -2, -4], "period": 5}'
    decoder: str = "population"
    decoder_kwargs: str = '{"gain": 10, "group_size": 20}'


@config_class
class HalfCheetahConfig(ControlConfig):
    """A spiking network runs with MuJoCo's HalfCheetah-v5; population codes as in Schmidgall et al. (2021).

    The bells' floor is that of their supplement; bells cover the states under random torques, with a standard deviation
    of half their distance. It needs the extra `mujoco`.
    """

    world: str = "HalfCheetah-v5"
    steps_per_action: int = 10
    encoder: str = "gaussian"
    encoder_kwargs: str = (
        '{"fields": 6, "floor": 0.05, '
        '"high": [0.3, 3.4, 0.7, 0.7, 0.7, 0.8, 0.8, 0.6, 4, 2.5, 4, 12, 12, 12, 14, 12, 12], '
        '"low": [-0.6, -0.4, -0.6, -0.7, -0.5, -0.9, -0.8, -0.6, -1.5, -2.5, -4, -12, -12, -12, -14, -12, -12], '
        '"max_rate": 0.5}'
    )
    decoder: str = "population"
    decoder_kwargs: str = '{"gain": 10, "group_size": 20}'
    hidden_sizes: tuple[int, ...] = (40,)
    w_init_min: float = -0.3
    w_init_max: float = 0.3


@config_class
class CueAssociationConfig(ControlConfig):
    """A spiking network receives cues, and reports after a rest which one came more often; an action is 1 ms.

    The world is CueAssociation-v0, whose spikes are the network's input spikes.
    """

    world: str = "CueAssociation-v0"
    steps_per_action: int = 1  # ms, as the world's own steps
    encoder: str = "rate"
    encoder_kwargs: str = "{}"
    decoder_kwargs: str = '{"group_size": 10}'
    hidden_sizes: tuple[int, ...] = (30,)
    critic_gamma: float = 0.99
