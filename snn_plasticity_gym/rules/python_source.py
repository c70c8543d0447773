"""Formulas as source code of plain Python functions, for reading or use in another simulator."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence

from snn_plasticity_gym.rules.distilled import Term
from snn_plasticity_gym.rules.factors import is_trace, time_constant


def python_source(formulas: Mapping[str, Sequence[Term]], dt: float, bounded: bool) -> str:
    """Return a module's source with a function of one synapse's factors for each formula.

    The functions are named `delta_d`, or `delta_d_NAME` where there are several formulas.

    Args:
        formulas: Terms by name.
        dt: Length of a time step, ms, for the decay of traces.
        bounded: Whether tanh bounds the sum to [-1, 1], as in a policy.
    """
    factors = sorted({name for terms in formulas.values() for term in terms for name in term.factors}, key=_order)
    lines = [
        '"""A plasticity rule: the normalised weight change of a synapse at a spike of its pre or post neuron."""',
        "",
    ]
    lines += ["import math", ""] if bounded else [""]
    for name, terms in formulas.items():
        lines += ["", *_function("delta_d" if len(formulas) == 1 else _identifier(f"delta_d_{name}"), terms, factors)]
        lines += [f"        {line}" for line in _explained(factors, dt)] + ['    """']
        total = " + ".join(_product(term) for term in terms if term.coefficient) or "0.0"
        lines += [f"    return math.tanh({total})" if bounded else f"    return {total}", ""]
    return "\n".join(lines)


def _function(name: str, terms: Sequence[Term], factors: Sequence[str]) -> list[str]:
    arguments = ", ".join(_identifier(factor) for factor in factors)
    return [
        f"def {name}({arguments}):",
        '    """Return the weight change in units of the learning rate.',
        "",
        "    Args:",
    ]


def _explained(factors: Sequence[str], dt: float) -> list[str]:
    texts = {
        "pre": "1 if the pre neuron fires now, else 0.",
        "post": "1 if the post neuron fires now, else 0.",
        "w": "Weight before this event.",
    }
    lines = []
    for name in factors:
        side = "pre" if name.startswith("x") else "post"
        if name in texts:
            text = texts[name]
        elif not is_trace(name):
            text = "Scalar of the environment."
        elif name.endswith("n"):
            text = f"Number of earlier spikes of the {side} neuron in the episode."
        else:
            decay = f"exp(-age / {time_constant(name):g} ms)"
            text = f"Sum of {decay} over earlier spikes of the {side} neuron, in time steps of {dt:g} ms."
        lines.append(f"{_identifier(name)}: {text}")
    return lines


def _product(term: Term) -> str:
    return " * ".join([f"({term.coefficient!r})", *(_identifier(name) for name in term.factors)])


def _identifier(name: str) -> str:
    """Return a valid Python identifier: x2.5 becomes x2_5."""
    made = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"{made}_" if keyword.iskeyword(made) else made


def _order(name: str) -> tuple[int, str]:
    first = ("pre", "post", "w")
    return (first.index(name), "") if name in first else (len(first) + (not is_trace(name)), name)
