"""InvertedPendulum-v5 of Gymnasium with a pole of any length and thickness.

    world = gymnasium.make("snn_plasticity_gym.tasks.pendulum:SNNPlasticPendulum-v0", pole_length=1.5)

Yang et al. (2022) balance a pole of length 1.5 and thickness 0.05; that of Gymnasium is 0.6 long and 0.049 thick. It
needs MuJoCo: pip install "snn-plasticity-gym[mujoco]".
"""

from __future__ import annotations

import importlib.resources
import math
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import gymnasium

from snn_plasticity_gym.config.schema import ConfigError

POLE_LENGTH, POLE_THICKNESS = 0.6, 0.049  # m, of Gymnasium's own


def pendulum_xml(length: float, thickness: float) -> str:
    """Return Gymnasium's model of the pendulum with another pole.

    Args:
        length: From the hinge to the tip, m.
        thickness: Radius of the pole, m.

    Raises:
        ConfigError: A number is not positive and finite.
    """
    for name, value in (("pole_length", length), ("pole_thickness", thickness)):
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} must be positive and finite, got {value}")
    model = importlib.resources.files("gymnasium.envs.mujoco") / "assets" / "inverted_pendulum.xml"
    root = ElementTree.fromstring(model.read_text(encoding="utf-8"))
    pole = root.find(".//geom[@name='cpole']")
    assert pole is not None
    pole.set("fromto", f"0 0 0 0.001 0 {length}")
    pole.set("size", f"{thickness} {length / 2}")
    return ElementTree.tostring(root, encoding="unicode")


def make_pendulum(
    pole_length: float = POLE_LENGTH, pole_thickness: float = POLE_THICKNESS, **kwargs: Any
) -> gymnasium.Env[Any, Any]:
    """Make the world; further arguments are those of Gymnasium's InvertedPendulumEnv.

    Raises:
        ConfigError: A number is not positive and finite.
        gymnasium.error.DependencyNotInstalled: MuJoCo is missing.
    """
    from gymnasium.envs.mujoco.inverted_pendulum_v5 import InvertedPendulumEnv

    with tempfile.TemporaryDirectory() as folder:  # MuJoCo reads the model once
        path = Path(folder) / "pendulum.xml"
        path.write_text(pendulum_xml(pole_length, pole_thickness), encoding="utf-8")
        return InvertedPendulumEnv(xml_file=str(path), **kwargs)


gymnasium.register("SNNPlasticPendulum-v0", entry_point=make_pendulum, max_episode_steps=1000)
