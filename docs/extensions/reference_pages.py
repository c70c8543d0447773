"""The API reference: one page of each group of public names, by autodoc."""

from __future__ import annotations

import inspect
from typing import Any

from generated import folder, write
from sphinx.application import Sphinx

import snn_plasticity_gym

GROUPS = {
    "environments": "Environments and their settings",
    "networks": "Networks, tasks and data",
    "plasticity": "Events and rules",
    "learners": "Learners and policies",
}
DATA = {"ENVIRONMENTS": "snn_plasticity_gym.config.environments"}  # values have docstrings where they are made
_HOMES = {
    "config": "environments",
    "networks": "networks",
    "tasks": "networks",
    "rewards": "networks",
    "plasticity": "plasticity",
    "rules": "plasticity",
    "policies": "learners",
    "learners": "learners",
    "wrappers": "learners",
}


def group_of(public: Any) -> str:
    """Return the group of a public name by the folder that it comes from.

    Raises:
        KeyError: Its folder has no group.
    """
    parts = str(getattr(public, "__module__", "")).split(".")
    return _HOMES[parts[1]] if len(parts) > 1 else "environments"


def reference(name: str) -> str:
    """Return what makes autodoc document one public name."""
    public = getattr(snn_plasticity_gym, name)
    if inspect.isclass(public):
        return f".. autoclass:: snn_plasticity_gym.{name}\n   :members:\n"
    if callable(public):
        return f".. autofunction:: snn_plasticity_gym.{name}\n"
    return f".. autodata:: {DATA[name]}.{name}\n   :no-value:\n"


def pages() -> dict[str, str]:
    """Return the pages by group."""
    names: dict[str, list[str]] = {group: [] for group in GROUPS}
    for name in sorted(snn_plasticity_gym.__all__, key=str.lower):
        if not name.startswith("__"):
            names[group_of(getattr(snn_plasticity_gym, name))].append(name)
    return {
        group: f"# {GROUPS[group]}\n\n"
        + "\n".join(f"## {name}\n\n```{{eval-rst}}\n{reference(name)}```\n" for name in some)
        for group, some in names.items()
    }


def _write(app: Sphinx) -> None:
    for group, text in pages().items():
        write(folder(app, "reference") / f"{group}.md", text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Be an extension."""
    app.connect("builder-inited", _write)
    return {"parallel_read_safe": True}
