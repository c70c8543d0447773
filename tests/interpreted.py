"""Compiled loops as the Python that they are written in: a proof in double precision then needs no compiling."""

import sys

import pytest


def interpret_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Python run all loops of the package, for as long as `monkeypatch` holds."""
    for module in [module for name, module in sys.modules.items() if name.startswith("snn_plasticity_gym.")]:
        for name, value in list(vars(module).items()):
            if hasattr(value, "py_func"):
                monkeypatch.setattr(module, name, value.py_func)
