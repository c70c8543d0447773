"""Hand-written rules by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from snn_plasticity_gym.config.schema import ConfigError, build_configs, setting_fields, unknown
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.bcm import BCM
from snn_plasticity_gym.rules.constant import SeededRandomRule, ZeroRule
from snn_plasticity_gym.rules.delta import DeltaRule
from snn_plasticity_gym.rules.feedback_surrogate import FeedbackSurrogate
from snn_plasticity_gym.rules.oja import Oja
from snn_plasticity_gym.rules.stdp import MultiplicativeSTDP, PairSTDP, RewardSTDP
from snn_plasticity_gym.rules.svpg import ScoreRule
from snn_plasticity_gym.rules.target_stdp import TargetSTDP
from snn_plasticity_gym.rules.triplet_stdp import TripletSTDP

RULES: dict[str, type[Any]] = {
    "zero": ZeroRule,
    "random": SeededRandomRule,
    "stdp": PairSTDP,
    "stdp-multiplicative": MultiplicativeSTDP,
    "triplet-stdp": TripletSTDP,
    "target-stdp": TargetSTDP,
    "reward-stdp": RewardSTDP,
    "oja": Oja,
    "bcm": BCM,
    "delta": DeltaRule,
    "feedback-surrogate": FeedbackSurrogate,
    "svpg": ScoreRule,
}
"""Classes of the rules. Each is a configuration class: `setting_fields` lists its parameters, `to_dict` its values."""


def register_rule(name: str, rule: type[Any]) -> None:
    """Register a user's hand-written rule by a name for `make_rule`, `--rules` and the report.

    Args:
        name: Its name, as in "my-rule".
        rule: A `@config_class` with its parameters as settings, called with events (see `Rule`). A parameter
            `dt`, `scale` or `seed` is filled in from the environment.

    Raises:
        ConfigError: The name is taken or holds a colon, or the class has no such form.
    """
    if RULES.get(name, rule) is not rule:
        raise ConfigError(f"there is a rule {name!r} already; choose another name")
    if not isinstance(name, str) or not name or ":" in name or "/" in name:
        raise ConfigError(f"the name of a rule must hold neither colon nor slash, got {name!r}")
    if not isinstance(rule, type) or not {"__settings__", "__call__"} <= set(dir(rule)):
        raise ConfigError(f"the rule {name!r} must be a @config_class with a method __call__(events), got {rule!r}")
    RULES[name] = rule


def make_rule(name: str, **parameters: Any) -> Rule:
    """Return the rule of that name.

    Parameters may be given as text ("1e-3"), as flags and YAML do.

    Raises:
        ConfigError: No such rule, or a parameter is unknown or not allowed; a ValueError of one line.
    """
    if not isinstance(name, str) or name not in RULES:
        raise ConfigError(unknown("rule", name, RULES))
    try:
        return build_configs(parameters, RULES[name])[0]
    except ConfigError as error:
        raise ConfigError(f"rule {name}: {error}") from error


def read_parameters(text: str, assignments: Iterable[str]) -> dict[str, str]:
    """Return the parameters after a rule's name in `text`.

    Raises:
        ConfigError: One is not written as key=value.
    """
    parameters = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not (key and equals and value):
            raise ConfigError(f"parameters of a rule are written name:key=value:key=value, got {text!r}")
        parameters[key] = value
    return parameters


def read_rule(text: str, **environment: Any) -> Rule:
    """Return the rule of a text with its name and parameters, as in "target-stdp:mu=1:bounds=soft".

    Args:
        text: Name and parameters.
        environment: Parameters that follow from the environment (dt, scale, seed); ignored by rules without such a
            parameter, overridden by the text.

    Raises:
        ConfigError: As `make_rule`, or a parameter is not written as key=value.
    """
    name, *assignments = text.split(":")
    parameters: dict[str, Any] = {**read_parameters(text, assignments)}
    if name in RULES:
        names = {info.name for info in setting_fields(RULES[name])}
        parameters = {key: value for key, value in environment.items() if key in names} | parameters
    return make_rule(name, **parameters)
