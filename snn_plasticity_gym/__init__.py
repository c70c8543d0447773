"""SNN Plasticity Gym: plasticity rules of spiking neural networks, learned by reinforcement.

Importing this package registers its environments with Gymnasium, and imports no torch:

    import gymnasium
    import snn_plasticity_gym

    env = gymnasium.make("SNNPlastic-Unsup1-v0")
    envs = gymnasium.make_vec("SNNPlastic-Unsup1-v0", num_envs=8)
"""

from typing import TYPE_CHECKING

import gymnasium

from snn_plasticity_gym.config.environments import ENVIRONMENTS, environment_config

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from snn_plasticity_gym.policies.learned_rule import LearnedRule

__version__ = "0.1.0"
__all__ = ["ENVIRONMENTS", "__version__", "environment_config", "load_rule"]


def load_rule(path: "str | Path", device: "torch.device | str" = "cpu", trust: bool = False) -> "LearnedRule":
    """Load a learned rule from a run's folder, or a zip that you trust; see `policies.rule_files.load_rule`."""
    from snn_plasticity_gym.policies.rule_files import load_rule as load  # imports torch

    return load(path, device, trust)


for _env_id in ENVIRONMENTS:
    gymnasium.register(
        id=_env_id,
        entry_point="snn_plasticity_gym.envs.single:PlasticityEnv",
        vector_entry_point="snn_plasticity_gym.envs.vector:PlasticityVectorEnv",
        kwargs={"env_id": _env_id},
    )
