"""Rules as interpretable sums of a few products, which can replace a learned rule.

    delta_d = sum over terms k of c_k * product of the term's factors

with factors as in `rules.factors`. Axes: E events, H distinct histories.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.plasticity.events import KIND_POST, KIND_PRE, LocalState, SynapseEvents
from snn_plasticity_gym.rules.factors import Factors, check_factors, time_constant
from snn_plasticity_gym.rules.traces import Traces, of_post, of_pre
from snn_plasticity_gym.rules.whole_formula import WholeFormula

FILE = "distilled.json"  # in a run's folder


class Term(NamedTuple):
    """A coefficient and the factors that it multiplies."""

    coefficient: float
    factors: Factors


class FactorTable:
    """Values of factors for a batch of events, each computed once.

    Args:
        events: A batch of events, or its local state.
        dt: Length of a time step, ms.
        extra_names: Names of the columns of `events.extras`.
    """

    def __init__(self, events: SynapseEvents | LocalState, dt: float, extra_names: Sequence[str]) -> None:
        self._events = events
        self._traces = Traces(events, dt)
        self._extra_names = list(extra_names)
        self._cache: dict[str, Tensor] = {}

    def __call__(self, factors: Factors) -> Tensor:
        """Return the product of some factors, (E,); 1 for none."""
        product = torch.ones_like(self._events.weight)
        for name in factors:
            if name not in self._cache:
                self._cache[name] = self._value(name)
            product = product * self._cache[name]
        return product

    def _value(self, name: str) -> Tensor:
        events = self._events
        if name in ("pre", "post"):
            return (events.kind != (KIND_POST if name == "pre" else KIND_PRE)).to(events.weight.dtype)
        if name == "w":
            return events.weight
        if name in self._extra_names:
            return events.extras[:, self._extra_names.index(name)]
        trace = self._traces.exponential(time_constant(name))  # (H,)
        return (of_pre if name[0] == "x" else of_post)(events, trace)


class DistilledRule:
    """A formula for every policy head.

    Args:
        heads: Terms of each head.
        dt: Length of a time step of the environment, ms.
        extra_names: Further scalars of the environment's events.

    Raises:
        ConfigError: There is no such factor.
    """

    def __init__(self, heads: Sequence[Sequence[Term]], dt: float, extra_names: Sequence[str]) -> None:
        self.heads = [list(terms) for terms in heads]
        self.dt = dt
        self.extra_names = tuple(extra_names)
        for terms in self.heads:
            for term in terms:
                check_factors(term.factors, self.extra_names)

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the normalised weight change of each event, (E,).

        Raises:
            ConfigError: Events are of a group that has no formula.
        """
        if len(events.group) and int(events.group.max()) >= len(self.heads):
            raise ConfigError(
                f"the number of this rule's formulas is {len(self.heads)}, and events are of more groups of synapses; "
                "make the environment that the rule was trained in"
            )
        table = FactorTable(events, self.dt, self.extra_names)
        answer = torch.zeros_like(events.weight)
        for head, terms in enumerate(self.heads):
            total = torch.zeros_like(events.weight)
            for coefficient, factors in terms:
                total += coefficient * table(factors)
            answer = torch.where(events.group == head, total, answer)
        return answer

    def whole_formula(self) -> WholeFormula:
        """Return all heads' terms, with coefficient 0 where a head lacks one."""
        terms = list(dict.fromkeys(factors for heads in self.heads for _, factors in heads))
        coefficients = np.zeros((1, len(self.heads), len(terms) + 1))
        for head, own in enumerate(self.heads):
            for coefficient, factors in own:
                coefficients[0, head, terms.index(factors)] += coefficient
        return WholeFormula(tuple(terms), coefficients, self.dt, self.extra_names, squashed=False)

    def save(self, folder: Path) -> Path:
        """Write the formula into a run's folder, and return the file."""
        heads = [[{"coefficient": c, "factors": list(factors)} for c, factors in terms] for terms in self.heads]
        text = json.dumps({"dt": self.dt, "extra_names": list(self.extra_names), "heads": heads}, indent=1)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")
        return folder / FILE


def load_distilled(folder: str | Path) -> DistilledRule:
    """Read the formula fitted by a report to a run's rule.

    Raises:
        ConfigError: The folder has none, or the file is damaged.
    """
    file = Path(folder) / FILE
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        heads = [
            [Term(float(t["coefficient"]), tuple(map(str, t["factors"]))) for t in terms] for terms in content["heads"]
        ]
        dt, extra_names = float(content["dt"]), [str(name) for name in content["extra_names"]]
        if not all(math.isfinite(number) for number in (dt, *(t.coefficient for terms in heads for t in terms))):
            raise ValueError("all numbers must be finite")
    except OSError as error:
        raise ConfigError(f"no formula at {file}; python trainers/report.py {folder} makes one") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{file} holds no formula: {type(error).__name__}: {error}") from error
    return DistilledRule(heads, dt, extra_names)


def written_out(terms: Sequence[Term]) -> str:
    """Return a formula as text, e.g. "0.3 post x20 − 0.1 pre w"; terms with coefficient 0 are left out."""
    parts = []
    for coefficient, factors in terms:
        if not coefficient:
            continue
        sign = "−" if coefficient < 0 else "+"
        names = [f"{name}²" if count == 2 else name for name, count in _powers(factors)]
        parts.append(f"{sign} {' '.join([f'{abs(coefficient):.3g}', *names])}")
    text = " ".join(parts)
    return (text.removeprefix("+ ").replace("− ", "−", 1) if text.startswith("−") else text.removeprefix("+ ")) or "0"


def format_formula(terms: Sequence[Term]) -> str:
    """Return the rule of a policy that is a formula (`policies.formula`) as text."""
    return f"Δd = tanh({written_out(terms)})"


def _powers(factors: Factors) -> list[tuple[str, int]]:
    return [(name, factors.count(name)) for name in dict.fromkeys(factors)]
