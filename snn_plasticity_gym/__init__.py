"""SNN Plasticity Gym: plasticity rules of spiking neural networks, learned by reinforcement.

Importing this package registers its environments with Gymnasium, and imports no torch:

    import gymnasium
    import snn_plasticity_gym

    env = gymnasium.make("SNNPlastic-Unsup1-v0")
    envs = gymnasium.make_vec("SNNPlastic-Unsup1-v0", num_envs=8)

The building blocks of user-defined environments are exported here, too, as in `from snn_plasticity_gym import Task`;
what needs torch is imported at first use.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium
from gymnasium.envs.registration import parse_env_id

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.config.control import ControlConfig
from snn_plasticity_gym.config.environments import ENVIRONMENTS, TASKS, add_environment, environment_config
from snn_plasticity_gym.config.images import ImageConfig
from snn_plasticity_gym.config.schema import ConfigError, config_class, setting

if TYPE_CHECKING:
    from snn_plasticity_gym.learners.a2c import EventA2C
    from snn_plasticity_gym.learners.evolution import EventES
    from snn_plasticity_gym.learners.ppo import EventPPO
    from snn_plasticity_gym.networks.activity import NetworkActivity
    from snn_plasticity_gym.networks.decoder_registry import register_decoder
    from snn_plasticity_gym.networks.encoder_registry import register_encoder
    from snn_plasticity_gym.networks.groups import Groups
    from snn_plasticity_gym.networks.lif import LIFParams
    from snn_plasticity_gym.networks.populations import Plasticity, Population, Projection
    from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams
    from snn_plasticity_gym.plasticity.events import SynapseEvents
    from snn_plasticity_gym.plasticity.local_scalars import NeuronView, register_local_scalar
    from snn_plasticity_gym.policies.head_registry import register_head
    from snn_plasticity_gym.policies.loading import load_rule
    from snn_plasticity_gym.policies.policy import PlasticityPolicy
    from snn_plasticity_gym.rewards.result import RewardResult
    from snn_plasticity_gym.rules.backpropamine import Backpropamine
    from snn_plasticity_gym.rules.base import Rule
    from snn_plasticity_gym.rules.differentiable import DifferentiableHebb
    from snn_plasticity_gym.rules.differentiable_formula import DifferentiableFormula
    from snn_plasticity_gym.rules.differentiable_head import DifferentiableHead
    from snn_plasticity_gym.rules.plastic_sequence import run_sequence
    from snn_plasticity_gym.rules.registry import make_rule, register_rule
    from snn_plasticity_gym.tasks.base import Outcome, Seed, StepInput, Task
    from snn_plasticity_gym.tasks.changes import FlippedActions
    from snn_plasticity_gym.tasks.control import ControlTask
    from snn_plasticity_gym.tasks.datasets import register_dataset
    from snn_plasticity_gym.tasks.image_task import Episode, ImageTask, Verdict
    from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

__version__ = "0.2.0"

_LATER = {  # public names by module, imported at first use
    "learners.a2c": ("EventA2C",),
    "learners.evolution": ("EventES",),
    "learners.ppo": ("EventPPO",),
    "networks.decoder_registry": ("register_decoder",),
    "networks.encoder_registry": ("register_encoder",),
    "networks.groups": ("Groups",),
    "networks.lif": ("LIFParams",),
    "networks.activity": ("NetworkActivity",),
    "networks.populations": ("Plasticity", "Population", "Projection"),
    "networks.srm_alpha": ("SRMAlphaParams",),
    "plasticity.events": ("SynapseEvents",),
    "plasticity.local_scalars": ("NeuronView", "register_local_scalar"),
    "policies.head_registry": ("register_head",),
    "policies.policy": ("PlasticityPolicy",),
    "policies.loading": ("load_rule",),
    "rewards.result": ("RewardResult",),
    "rules.backpropamine": ("Backpropamine",),
    "rules.base": ("Rule",),
    "rules.differentiable": ("DifferentiableHebb",),
    "rules.differentiable_formula": ("DifferentiableFormula",),
    "rules.differentiable_head": ("DifferentiableHead",),
    "rules.plastic_sequence": ("run_sequence",),
    "rules.registry": ("make_rule", "register_rule"),
    "tasks.base": ("Outcome", "Seed", "StepInput", "Task"),
    "tasks.changes": ("FlippedActions",),
    "tasks.control": ("ControlTask",),
    "tasks.datasets": ("register_dataset",),
    "tasks.image_task": ("Episode", "ImageTask", "Verdict"),
    "wrappers.sb3": ("make_sb3_env",),
}
_MODULES = {name: module for module, names in _LATER.items() for name in names}

__all__ = [
    "ENVIRONMENTS",
    "Backpropamine",
    "ConfigError",
    "ControlConfig",
    "ControlTask",
    "DifferentiableFormula",
    "DifferentiableHead",
    "DifferentiableHebb",
    "EnvironmentConfig",
    "Episode",
    "EventA2C",
    "EventES",
    "EventPPO",
    "FlippedActions",
    "Groups",
    "ImageConfig",
    "ImageTask",
    "LIFParams",
    "NetworkActivity",
    "NeuronView",
    "Outcome",
    "Plasticity",
    "PlasticityPolicy",
    "Population",
    "Projection",
    "RewardResult",
    "Rule",
    "SRMAlphaParams",
    "Seed",
    "StepInput",
    "SynapseEvents",
    "Task",
    "Verdict",
    "__version__",
    "config_class",
    "environment_config",
    "load_rule",
    "make_rule",
    "make_sb3_env",
    "register_dataset",
    "register_decoder",
    "register_encoder",
    "register_head",
    "register_local_scalar",
    "register_rule",
    "register_task",
    "run_sequence",
    "setting",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


def register_task(env_id: str, task: str | Callable[..., Any], config: type[EnvironmentConfig]) -> None:
    """Make a task of one's own known to `gymnasium.make`, the trainers, the judge and the report.

    Args:
        env_id: Its id, as in "Mine-v0".
        task: A class derived from `Task`, or "module:class", which is imported when it is needed. It is made with the
            configuration, the number of lifetimes and the torch device.
        config: Its settings, a `@config_class` derived from `EnvironmentConfig`.

    Raises:
        ConfigError: The id is taken or has another form, or task or settings are not what they must be.
    """
    try:
        parse_env_id(env_id)
    except (TypeError, gymnasium.error.Error) as error:
        raise ConfigError(f"env_id must be a text of the form 'Name-v0', got {env_id!r}") from error
    spec = gymnasium.registry.get(env_id)
    if spec is not None and spec.kwargs.get("env_id") != env_id:  # somebody else's
        raise ConfigError(f"there is an environment {env_id!r} already; choose another id")
    add_environment(env_id, task, config)
    _register(env_id)


_SOLVED = {  # the returns at which Gymnasium calls the worlds solved
    "SNNPlastic-CartPole-v0": 475.0,
    "SNNPlastic-MountainCar-v0": -110.0,
    "SNNPlastic-Acrobot-v0": -100.0,
    "SNNPlastic-InvertedPendulum-v0": 950.0,
    "SNNPlastic-HalfCheetah-v0": 4800.0,
    "SNNPlastic-LunarLander-v0": 200.0,
}


def _register(env_id: str) -> None:
    if env_id in gymnasium.registry:
        return
    gymnasium.register(
        id=env_id,
        entry_point="snn_plasticity_gym.envs.single:PlasticityEnv",
        vector_entry_point="snn_plasticity_gym.envs.vector:PlasticityVectorEnv",
        reward_threshold=_SOLVED.get(env_id),
        max_episode_steps=None,  # a TimeLimit would cut off images with many events before their reward
        kwargs={"env_id": env_id},
    )


for _env_id in TASKS:
    _register(_env_id)
if "CueAssociation-v0" not in gymnasium.registry:
    gymnasium.register(
        id="CueAssociation-v0",
        entry_point="snn_plasticity_gym.tasks.cue_world:CueAssociationEnv",
        max_episode_steps=500,  # the horizon of the source; trials with seven cues end before
    )
