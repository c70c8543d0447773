"""Keyword arguments of learners: their declaration, validation, and conversion.

The options of learners are declared once, in the classes of `config.learning`. A learner names these classes, and its
constructor takes their settings as keywords:

    class EventA2C(EventLearner, A2C):
        options_type, arguments_type = EventOptions, GradientArguments
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping
from typing import Any, TypeVar

from stable_baselines3.common.vec_env import VecEnv

from snn_plasticity_gym.config.arguments import LARGEST_SEED, check_argument, check_arguments
from snn_plasticity_gym.config.learning import (
    EventOptions,
    PPOOptions,
    ProximalArguments,
    WholeRuleOptions,
)
from snn_plasticity_gym.config.schema import ConfigError, SettingInfo, current_names, setting_fields, unknown
from snn_plasticity_gym.config.training import SearchConfig
from snn_plasticity_gym.learners.environment import check_vector_form
from snn_plasticity_gym.policies.policy import PlasticityPolicy
from snn_plasticity_gym.utils.device import torch_device
from snn_plasticity_gym.utils.distributed import World

NAMES = {"n_steps": "episodes_per_update"}  # Stable-Baselines3's names of settings
SCHEDULES = ("learning_rate", "clip_range")  # numbers, or functions of the remaining progress
OTHERS = ("env", "seed")  # arguments that differ in meaning from the settings of these names
PASSED_ON = ("policy_kwargs", "device", "verbose", "tensorboard_log", "stats_window_size")  # to Stable-Baselines3
FIXED: Mapping[str, tuple[Any, str]] = {  # Stable-Baselines3's arguments with one allowed value, and the alternative
    "gae_lambda": (1.0, "returns are sums of rewards; see gamma, credit_horizon and gamma_lifetime"),
    "use_sde": (False, "the exploration of whole rules is exploration='rule'"),
    "sde_sample_freq": (-1, "exploration='rule' holds a perturbation for credit_horizon episodes"),
    "use_rms_prop": (False, "another optimiser is policy_kwargs={'optimizer_class': ...}"),
    "rms_prop_eps": (1e-5, "arguments of the optimiser are policy_kwargs={'optimizer_kwargs': ...}"),
    "clip_range_vf": (None, "the value loss is not clipped, its weight is vf_coef"),
    "monitor_wrapper": (True, "single environments are always watched by Monitor"),
    "rollout_buffer_class": (None, "events are kept by EventRolloutBuffer"),
    "rollout_buffer_kwargs": (None, "events_per_episode, credit_horizon, ... are arguments of the learner"),
}
ALL = (PPOOptions, WholeRuleOptions, ProximalArguments)  # options of all learners
HIDDEN = ("options", "_init_setup_model")  # in a constructor's signature

LearnerType = TypeVar("LearnerType", bound=type)


def keyword_settings(learner: Any) -> dict[str, SettingInfo]:
    """Return a learner's keyword arguments, without its first arguments and those of `PASSED_ON`."""
    kinds = learner.keywords or (learner.options_type, learner.arguments_type)
    return {info.name: info for kind in kinds for info in setting_fields(kind)}


def with_options(learner: LearnerType) -> LearnerType:
    """Append the table of its options to a learner's docstring."""
    lines = [
        textwrap.fill(f"{info.name}: {info.described}", 110, initial_indent="    ", subsequent_indent="        ")
        for info in keyword_settings(learner).values()
    ]
    learner.__doc__ = "\n".join([inspect.cleandoc(learner.__doc__ or ""), "", "Options:", *lines, ""])
    return learner


def read_arguments(learner: Any, given: Mapping[str, Any]) -> tuple[EventOptions, dict[str, Any]]:
    """Check all arguments of a learner, and split its keywords.

    Args:
        learner: Its class, an `EventLearner`.
        given: All arguments of the constructor by name, the keywords under `options`.

    Returns:
        Its options, and the arguments of Stable-Baselines3's constructor, with this project's defaults.

    Raises:
        ConfigError: One line that names the wrong arguments.
    """
    settings = keyword_settings(learner)
    options = current_names(given["options"], settings.values())
    for name in [name for name in options if name not in settings and name not in PASSED_ON]:
        _refuse(learner, name, options.pop(name), settings)
    _check(learner.config_type, {**given, **options})
    own = {info.name for info in setting_fields(learner.options_type)}
    arguments = {info.name: info.default for info in setting_fields(learner.arguments_type)}
    arguments |= {name: value for name, value in options.items() if name not in own}
    return learner.options_type(**{name: options[name] for name in own & options.keys()}), arguments


def _refuse(learner: Any, name: str, value: Any, settings: Mapping[str, SettingInfo]) -> None:
    """Refuse an argument without effect here, unless it has the fixed value."""
    if name in learner.fixed:
        if value != learner.fixed[name]:
            raise ConfigError(f"{name} is {learner.fixed[name]!r} in {learner.__name__}, got {value!r}; leave it out")
    elif name in FIXED:
        only, instead = FIXED[name]
        if type(value) is not type(only) or value != only:
            raise ConfigError(f"{name} cannot be set in {learner.__name__}, got {value!r}; {instead}")
    elif name in SCHEDULES or any(name == info.name for kind in ALL for info in setting_fields(kind)):
        raise ConfigError(f"{name} has no effect in {learner.__name__}, got {value!r}; leave it out")
    else:
        first = [parameter for parameter in inspect.signature(learner).parameters if parameter not in HIDDEN]
        raise ConfigError(unknown("argument", name, [*first, *settings, *PASSED_ON]))


def _check(config_type: type[SearchConfig], given: Mapping[str, Any]) -> None:
    """Check a learner's arguments by the limits of its trainer's settings, each and together."""
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
    if given.get("_init_setup_model", True):  # else it is being loaded, and its settings come later
        if env is None:
            raise ConfigError("env must be an environment or its id, got None")
        check_vector_form(env)
        settings["num_envs"] = env.num_envs * World().size if isinstance(env, VecEnv) else 1
    check_arguments(config_type, settings, NAMES)
