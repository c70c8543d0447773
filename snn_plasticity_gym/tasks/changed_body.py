"""Any MuJoCo world of Gymnasium with another friction, other masses or a damaged motor, as a Gymnasium world.

Its id is `snn_plasticity_gym.tasks.changed_body:ChangedBody-v0`; it needs the extra `mujoco`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gymnasium

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.tasks.world_warnings import handle_warnings

CHANGED_BODY = f"{__name__}:ChangedBody-v0"


def make_changed_body(
    world: str,
    world_kwargs: Mapping[str, Any] | None = None,
    friction: float = 1.0,
    mass: float = 1.0,
    joint: int = -1,
    strength: float = 1.0,
    **kwargs: Any,
) -> gymnasium.Env[Any, Any]:
    """Make the environment, and modify the model of its body.

    Args:
        world: Id of the world, e.g. HalfCheetah-v5.
        world_kwargs: Further arguments of `gymnasium.make`, e.g. max_episode_steps.
        friction: Factor of the friction of all geoms: sliding, torsional and rolling; not negative.
        mass: Factor of all masses and moments of inertia, i.e. of the density; positive.
        joint: Motor whose force is changed, from 0; -1: none.
        strength: Factor of its force, in [0, 1].
        kwargs: As `world_kwargs`, which `gymnasium.make` gives itself, e.g. render_mode.

    Raises:
        ConfigError: A number is out of range, or the world has no such motor or is none of MuJoCo.
        gymnasium.error.DependencyNotInstalled: There is no MuJoCo.
    """
    if not (0 <= friction < math.inf and 0 < mass < math.inf and 0 <= strength <= 1):
        raise ConfigError(
            "friction must not be negative, mass positive and strength in [0, 1], got "
            f"{friction}, {mass} and {strength}"
        )
    handle_warnings(world)
    env = gymnasium.make(world, **(dict(world_kwargs or {}) | kwargs))
    inner: Any = env.unwrapped
    if not hasattr(getattr(inner, "model", None), "actuator_gear") or not hasattr(inner, "data"):
        raise ConfigError(f"friction, masses and motors can be changed in worlds of MuJoCo only, and {world!r} is none")
    model = inner.model
    if not -1 <= joint < model.nu:
        raise ConfigError(f"world {world!r} has motors 0 to {model.nu - 1}, got {joint}")
    import mujoco

    model.geom_friction[:] *= friction  # (geoms, 3)
    model.body_mass[:] *= mass  # (bodies,) kg
    model.body_inertia[:] *= mass  # (bodies, 3) kg m^2
    mujoco.mj_setConst(model, inner.data)  # what follows from masses
    if joint >= 0:
        model.actuator_gear[joint] *= strength  # (6,) force per unit of the action
    return env


gymnasium.register(CHANGED_BODY.partition(":")[2], f"{__name__}:make_changed_body")
