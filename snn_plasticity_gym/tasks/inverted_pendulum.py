"""MuJoCo's inverted pendulum with a pole of any length and thickness, as a Gymnasium world.

Its id is `snn_plasticity_gym.tasks.inverted_pendulum:InvertedPendulumPole-v0`; it needs the extra `mujoco`. All but the
pole is that of Gymnasium's InvertedPendulum-v5: a cart is pushed along a rail by a force in [-3, 3], each action lasts
40 ms, reward 1 each until the pole leans by more than 0.2 rad.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import gymnasium

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.tasks.world_warnings import send_warnings_to_log

LENGTH, THICKNESS = 0.6, 0.049  # m, of InvertedPendulum-v5; thickness is the radius of the capsule


def make_inverted_pendulum(
    pole_length: float = LENGTH, pole_thickness: float = THICKNESS, **kwargs: Any
) -> gymnasium.Env[Any, Any]:
    """Make the environment; mass and inertia of the pole follow from its size at constant density.

    MuJoCo's warnings then go to the package's log, not into a file of the working folder, for the whole process.

    Args:
        pole_length: m.
        pole_thickness: Radius, m.
        kwargs: Further arguments of `gymnasium.envs.mujoco.inverted_pendulum_v5.InvertedPendulumEnv`.

    Raises:
        ConfigError: A size is not a positive finite number.
        gymnasium.error.DependencyNotInstalled: There is no MuJoCo.
    """
    for name, value in (("pole_length", pole_length), ("pole_thickness", pole_thickness)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ConfigError(f"{name} must be a positive number of metres, got {value!r}")
    from gymnasium.envs.mujoco import inverted_pendulum_v5, mujoco_env  # raises if MuJoCo is missing

    send_warnings_to_log()
    tree = ElementTree.parse(Path(mujoco_env.__file__).parent / "assets" / "inverted_pendulum.xml")
    pole = tree.find(".//geom[@name='cpole']")
    assert pole is not None
    pole.set("fromto", f"0 0 0 0.001 0 {pole_length}")
    pole.set("size", str(pole_thickness))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "inverted_pendulum.xml"
        tree.write(file)
        return inverted_pendulum_v5.InvertedPendulumEnv(xml_file=str(file), **kwargs)  # the file is read once


gymnasium.register("InvertedPendulumPole-v0", f"{__name__}:make_inverted_pendulum", max_episode_steps=1000)
