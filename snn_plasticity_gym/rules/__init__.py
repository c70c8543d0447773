"""Plasticity rules: maps from synapse events to normalised weight changes."""

from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.registry import RULES, make_rule, read_rule

__all__ = ["RULES", "Rule", "make_rule", "read_rule"]
