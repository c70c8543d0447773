"""Calls of what only compiled loops can call."""

import inspect
from collections.abc import Callable
from typing import Any

import numba


def from_python(function: Any) -> Callable[..., Any]:
    """Return what calls an inlined function with the same arguments; its machine code is not kept."""
    names = ", ".join(inspect.signature(function.py_func).parameters)
    return numba.njit(eval(f"lambda {names}: inner({names})", {"inner": function}))
