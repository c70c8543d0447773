"""Hand-written rules by name."""

from __future__ import annotations

from typing import Any

from snn_plasticity_gym.config.schema import ConfigError, build_configs, unknown
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.bcm import BCM
from snn_plasticity_gym.rules.constant import SeededRandomRule, ZeroRule
from snn_plasticity_gym.rules.delta import DeltaRule
from snn_plasticity_gym.rules.oja import Oja
from snn_plasticity_gym.rules.stdp import MultiplicativeSTDP, PairSTDP
from snn_plasticity_gym.rules.target_stdp import TargetSTDP
from snn_plasticity_gym.rules.triplet_stdp import TripletSTDP

RULES: dict[str, type[Any]] = {
    "zero": ZeroRule,
    "random": SeededRandomRule,
    "stdp": PairSTDP,
    "stdp-multiplicative": MultiplicativeSTDP,
    "triplet-stdp": TripletSTDP,
    "target-stdp": TargetSTDP,
    "oja": Oja,
    "bcm": BCM,
    "delta": DeltaRule,
}
"""Classes of the rules. Each is a configuration class: `setting_fields` lists its parameters, `to_dict` its values."""


def make_rule(name: str, **parameters: Any) -> Rule:
    """Return the rule of that name.

    Parameters may be given as text ("1e-3"), as flags and YAML do.

    Raises:
        ConfigError: No such rule, or a parameter is unknown or not allowed; a ValueError of one line.
    """
    if name not in RULES:
        raise ConfigError(unknown("rule", name, RULES))
    try:
        return build_configs(parameters, RULES[name])[0]
    except ConfigError as error:
        raise ConfigError(f"rule {name}: {error}") from error
