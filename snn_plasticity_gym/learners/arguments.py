"""What all learners check of their arguments before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from snn_plasticity_gym.config.arguments import LARGEST_SEED, check_argument, check_arguments
from snn_plasticity_gym.config.schema import ConfigError, setting_fields
from snn_plasticity_gym.config.training import SearchConfig
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.utils.device import torch_device
from snn_plasticity_gym.utils.distributed import World

NAMES = {"n_steps": "episodes_per_update"}  # Stable-Baselines3's names of settings
SCHEDULES = ("learning_rate", "clip_range")  # numbers, or functions of the progress that remains
OTHERS = ("env", "seed")  # arguments that mean something else than the settings of these names


def check_learner(config_type: type[SearchConfig], arguments: Mapping[str, Any]) -> None:
    """Refuse what a learner cannot be made of.

    Args:
        config_type: Settings of the learner's trainer.
        arguments: All arguments of the constructor by name, further ones under `kwargs`.

    Raises:
        ConfigError: In one line.
    """
    given = {**arguments, **arguments["kwargs"]}
    policy, env, policy_kwargs, device = (given.get(name) for name in ("policy", "env", "policy_kwargs", "device"))
    if policy != "PlasticityPolicy" and not (isinstance(policy, type) and issubclass(policy, PlasticityPolicy)):
        raise ConfigError(f"policy must be 'PlasticityPolicy' or a class derived from it, got {policy!r}")
    check_argument("seed", given.get("seed"), int | None, ge=0, le=LARGEST_SEED)
    if not isinstance(policy_kwargs, dict | None):
        raise ConfigError(f"policy_kwargs must be a dict of arguments of PlasticityPolicy, got {policy_kwargs!r}")
    if device not in (None, "auto"):
        torch_device(device)
    names = {info.name for info in setting_fields(config_type)}.difference(OTHERS)
    schedules = [name for name in SCHEDULES if callable(given.get(name))]
    settings = {
        name: value for name, value in given.items() if NAMES.get(name, name) in names and name not in schedules
    }
    if given.get("_init_setup_model", True):  # else it is being loaded, and its own settings come later
        if env is None:
            raise ConfigError("env must be an environment or its id, got None")
        settings["num_envs"] = env.num_envs * World().size if isinstance(env, VecEnv) else 1
    check_arguments(config_type, settings, NAMES)
