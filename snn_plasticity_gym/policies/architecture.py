"""Architecture of a rule, shared by policies, networks and rule files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from snn_plasticity_gym.config.arguments import check_argument
from snn_plasticity_gym.config.schema import ConfigError, unknown
from snn_plasticity_gym.policies.formula import check_terms
from snn_plasticity_gym.policies.front import check_front
from snn_plasticity_gym.policies.heads import check_hidden_sizes

MAX_EXTRAS = 64
KIND_NAMES = ("pre", "post", "both")
MAX_GROUPS = 64
PERCEPTRON = "mlp"  # name of the default head
TERM_HEAD = "terms"  # name of heads over terms of events in place of h and scalars
ADDED = ("formula_terms", "dt", "head")  # fields missing in older rule files


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Inputs of a rule, and the form of its heads.

    Args:
        num_groups: Number of heads; `LocalState.group` selects one for each event.
        use_kind: Whether the event's kind (pre, post, both; one-hot) is part of the state. Formulas use spikes.
        extra_keys: Names of the local scalars of events (`LocalState.extras`), in that order.
        hidden_sizes: Widths of the hidden layers of heads and critic; formulas and heads of other kinds have none.
        channels: Output channels of the front's convolutions.
        kernel_sizes: Their widths, odd.
        sigma: Standard deviation of the weight changes around their mean.
        formula_terms: Products of a formula, as "post*x20*w"; none: `default_terms`. None: heads are networks. With
            head "terms" the inputs of a perceptron.
        dt: Length of the environment's time step, ms, for the traces of terms.
        head: Name of the kind of head; see `register_head` and `term_head`.

    Raises:
        ConfigError: There is no such rule.
    """

    num_groups: int = 1
    use_kind: bool = False
    extra_keys: tuple[str, ...] = ()
    hidden_sizes: tuple[int, ...] = (128, 128)
    channels: tuple[int, int] = (16, 32)
    kernel_sizes: tuple[int, int] = (5, 5)
    sigma: float = 0.1
    formula_terms: tuple[str, ...] | None = None
    dt: float = 1.0
    head: str = PERCEPTRON

    def __post_init__(self) -> None:
        extra_keys = check_argument("extra_keys", self.extra_keys, tuple[str, ...], length=(0, MAX_EXTRAS))
        if len(set(extra_keys)) < len(extra_keys) or not all(name.isidentifier() for name in extra_keys):
            raise ConfigError(f"extra_keys must be names of local scalars, each once, got {extra_keys}")
        channels, kernel_sizes = check_front(self.channels, self.kernel_sizes)
        head = check_argument("head", self.head, str)
        terms = self.formula_terms
        if terms is not None:
            terms = check_terms(terms, extra_keys)
            if head not in (PERCEPTRON, TERM_HEAD):
                raise ConfigError(f"a formula has no head, got head {head!r} and formula_terms; leave one of them out")
        elif head == TERM_HEAD:
            raise ConfigError(f"head {TERM_HEAD!r} sees terms, got no formula_terms; give some, or another head")
        values = {
            "num_groups": check_argument("num_groups", self.num_groups, int, ge=1, le=MAX_GROUPS),
            "use_kind": check_argument("use_kind", self.use_kind, bool),
            "extra_keys": extra_keys,
            "hidden_sizes": check_hidden_sizes(self.hidden_sizes),
            "channels": channels,
            "kernel_sizes": kernel_sizes,
            "sigma": check_argument("sigma", self.sigma, float, gt=0),
            "formula_terms": terms,
            "dt": check_argument("dt", self.dt, float, gt=0),
            "head": head,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def is_formula(self) -> bool:
        """Whether the rule is a formula."""
        return self.sees_terms and self.head != TERM_HEAD

    @property
    def sees_terms(self) -> bool:
        """Whether heads have terms of events as inputs, not their histories."""
        return self.formula_terms is not None

    @property
    def scalar_names(self) -> tuple[str, ...]:
        """Names of the scalar inputs of heads and critic next to h, in the order of their columns."""
        return ("weight", *(KIND_NAMES if self.use_kind else ()), *self.extra_keys)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as rule.json has them; `head` only where it is not the default."""
        fields = {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(self).items()}
        if self.head == PERCEPTRON:
            del fields["head"]
        return fields

    @classmethod
    def from_dict(cls, fields: Any) -> Architecture:
        """Return the architecture described in rule.json.

        Raises:
            ConfigError: A field is missing, unknown or not allowed.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(fields, Mapping):
            raise ConfigError(f"fields must be a table of {', '.join(names)}, got {type(fields).__name__}")
        for name in fields:
            if name not in names:
                raise ConfigError(unknown("field", str(name), names))
        for name in names:
            if name not in fields and name not in ADDED:
                raise ConfigError(f"{name} is missing")
        return cls(**fields)
