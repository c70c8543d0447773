"""Module names of version 0.1, for files in which classes are named by their module.

Stable-Baselines3's zips are such files. The names are importable only while one of them is read, so that no new code
uses them.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

PACKAGE = "snn_plasticity_gym"
_LEARNERS = ("a2c", "evolution", "event_buffer", "exploration", "head_noise", "on_policy", "ppo")
_POLICIES = ("formula", "front", "frozen_rule", "heads", "policy", "saved")
FORMER = {
    "agents": "policies",
    **{f"agents.{name}": f"learners.{name}" for name in _LEARNERS},
    **{f"agents.{name}": f"policies.{name}" for name in _POLICIES},
    "agents.learned_rule": "policies.rule_files",
    "finite": "utils.nonfinite",
}
"""New module by old module, both without the package's name."""


class _Former(ModuleType):
    """Lazy alias of a moved module, imported at first attribute access."""

    def __init__(self, name: str, now: str) -> None:
        super().__init__(name)
        self._now = now

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._now), name)


@contextlib.contextmanager
def former_modules() -> Iterator[None]:
    """Make modules importable by their former names."""
    aliases = {f"{PACKAGE}.{name}": _Former(f"{PACKAGE}.{name}", f"{PACKAGE}.{now}") for name, now in FORMER.items()}
    sys.modules.update(aliases)
    try:
        yield
    finally:
        for name in aliases:
            sys.modules.pop(name, None)
