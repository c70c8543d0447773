"""Factors of formulas: each term of a formula is a product of them.

A factor is one of

    pre, post     1 where that neuron fires now, else 0
    x5, y5        trace of the pre, of the post neuron: sum over earlier spikes of exp(-age / 5 ms); any time constant
    xn, yn        number of their earlier spikes within the history
    w             the weight
    layer, factor, ...  further scalars of the environment, by name

Earlier means: not in the present step.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from snn_plasticity_gym.config.schema import ConfigError

_TRACE = re.compile(r"([xy])(n|\d+(?:\.\d+)?)")

Factors = tuple[str, ...]


def time_constant(name: str) -> float:
    """Return the time constant of a trace, ms; infinity for a number of spikes."""
    match = _TRACE.fullmatch(name)
    assert match is not None, "factors were checked when the rule was made"
    return math.inf if match.group(2) == "n" else float(match.group(2))


def check_factors(factors: Factors, extra_names: Sequence[str]) -> None:
    """Check that factors exist.

    Args:
        factors: Of a term.
        extra_names: Further scalars of the environment's events.

    Raises:
        ConfigError: One does not; the line lists the valid ones.
    """
    for name in factors:
        if name not in ("pre", "post", "w", *extra_names) and not is_trace(name):
            raise ConfigError(
                f"unknown factor {name!r} in a formula; valid: pre, post, w, xn, yn, x and y with a time constant "
                f"in ms as in x20, and further scalars of the environment ({', '.join(extra_names) or 'none'})"
            )


def is_trace(name: str) -> bool:
    """Return whether a factor is a trace or a number of spikes."""
    match = _TRACE.fullmatch(name)
    return match is not None and (match.group(2) == "n" or float(match.group(2)) > 0)
