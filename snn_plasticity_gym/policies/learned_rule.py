"""A learned rule independent of its trainer: called with events or plain arrays, and exported."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.policies.network import RuleNetwork, new_network
from snn_plasticity_gym.policies.rule_description import Description
from snn_plasticity_gym.rules.python_source import python_source
from snn_plasticity_gym.rules.whole_formula import WholeFormula
from snn_plasticity_gym.rules.whole_heads import WholeHeads


class LearnedRule:
    """A learned rule: called with events, it returns the mean weight change of each, as needed by `env.run_episode`.

    Args:
        description: Content of rule.json.
        rule: Its networks; ownership passes to this object.
    """

    def __init__(self, description: Description, rule: RuleNetwork) -> None:
        shape = description.architecture
        self.description = description
        self.rule = rule.requires_grad_(False).eval()
        self.num_groups, self.use_kind, self.sigma = shape.num_groups, shape.use_kind, shape.sigma
        self.extra_keys = list(shape.extra_keys)
        self.hidden_sizes, self.channels = shape.hidden_sizes, shape.channels
        self.kernel_sizes, self.formula_terms = shape.kernel_sizes, shape.formula_terms
        self._frozen: FrozenRule | None = None

    def for_groups(self, groups: Sequence[str]) -> LearnedRule:
        """Return the rule for an environment with other groups of synapses, all served by its only head.

        Args:
            groups: Names of the groups.

        Raises:
            ConfigError: The rule has several heads.
        """
        if self.num_groups != 1:
            raise ConfigError(f"only a rule with one head fits any groups, this one has {self.num_groups}")
        shape = dataclasses.replace(self.description.architecture, num_groups=len(groups))
        with torch.random.fork_rng(devices=[]):
            network = new_network(shape).to(next(self.rule.parameters()).device)
        state = self.rule.state_dict()
        for name in network.state_dict():
            head = re.sub(r"^heads\.\d+\.", "heads.0.", name)
            state[name] = state[head]
        network.load_state_dict(state)
        changes = {"architecture": shape, "groups": list(groups), "checksum": ""}
        description = self.description.model_copy(update=changes)
        return LearnedRule(description, network)

    def frozen(self, history_length: int) -> FrozenRule:
        """Return the rule for acting on histories of a length that may differ from that of its training."""
        return FrozenRule(self.rule, history_length)

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the mean weight change of each event, (E,).

        Raises:
            ConfigError: The events have another history length, or other scalars, than the rule's.
        """
        return self._own(events)

    def whole_formula(self) -> WholeFormula | None:
        """Return the rule as a formula, for compiled loops; None: it is none."""
        return self._own.whole_formula()

    def whole_heads(self) -> WholeHeads | None:
        """Return front and heads for compiled loops; None: see `FrozenRule.whole_heads`."""
        return self._own.whole_heads()

    def delta_d(self, history: Any, weight: Any, kind: Any = None, group: Any = None, extras: Any = None) -> Any:
        """Return the mean weight change of events given as plain arrays; see `FrozenRule.delta_d`."""
        return self._own.delta_d(history, weight, kind, group, extras)

    def to_torchscript(self, path: str | Path) -> Path:
        """Write the rule as a TorchScript module, and return the file; see `export.export_torchscript`."""
        from snn_plasticity_gym.policies.export import export_torchscript  # torch's tracer, rarely needed

        return export_torchscript(self.rule, self.description.history_length, path)

    def to_python(self) -> str:
        """Return a formula as the source of plain Python functions, one for each group; see `python_source`.

        Raises:
            ConfigError: The rule is no formula.
        """
        if not self.description.architecture.is_formula:
            raise ConfigError(
                "only a formula can be written out as Python, and this rule is a network; to_torchscript works"
            )
        formulas = dict(zip(self.description.groups, self.rule.formulas(), strict=True))
        return python_source(formulas, self.description.architecture.dt, bounded=True)

    @property
    def _own(self) -> FrozenRule:
        """The rule frozen for its history length."""
        if self._frozen is None:
            self._frozen = self.frozen(self.description.history_length)
        return self._frozen
