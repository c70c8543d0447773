"""Registry of user-defined heads: networks that map a synapse's features to one number, by name.

    class MyHead(nn.Module):
        def __init__(self, num_features: int, num_scalars: int) -> None: ...
        def forward(self, features: Tensor, scalars: Tensor) -> Tensor: ...  # (E, F), (E, S) -> (E,)

Each row is one synapse event: features h of its two spike histories, and its scalars, the weight first (see
`Architecture.scalar_names`). tanh of the output is the mean weight change. Each group of synapses has a separate head.
Exploration `independent` works with any head. Exploration `rule` that perturbs last layers needs two more
attributes, `last_hidden(features, scalars) -> (E, H)` and `last_layer`, an `nn.Linear(H, 1)`, such that the output is
`last_layer(last_hidden(...))`.

Axes: E events, M some of them, F width of h, S scalars, H width of the last hidden layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.policies.architecture import PERCEPTRON, TERM_HEAD
from snn_plasticity_gym.policies.head_inputs import Rows
from snn_plasticity_gym.policies.heads import LayeredHead, LinearHead
from snn_plasticity_gym.policies.spike_features import SpikeView

HeadFactory = Callable[[int, int], nn.Module]

_FACTORIES: dict[str, HeadFactory] = {}


def register_head(name: str, factory: HeadFactory) -> None:
    """Register a kind of head by a name, for settings and rule files.

    Args:
        name: Not taken yet.
        factory: Called as factory(num_features, num_scalars), it returns the head of one group; mostly a class.

    Raises:
        ConfigError: The name is taken or is none, or the factory cannot be called.
    """
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"a head's name must be a text that is not empty, got {name!r}")
    if not callable(factory):
        raise ConfigError(f"head {name!r} must be called as head(num_features, num_scalars), got {factory!r}")
    if name in (PERCEPTRON, TERM_HEAD) or _FACTORIES.get(name, factory) is not factory:
        raise ConfigError(f"the name {name!r} of a head is taken; register yours by another one")
    _FACTORIES[name] = factory


def registered_head(name: str) -> HeadFactory:
    """Return the factory of the heads of that name.

    Raises:
        ConfigError: There are none.
    """
    if name not in _FACTORIES:
        module = name.partition(":")[0] if ":" in name else "the module that registers it"
        raise ConfigError(
            f"head {name!r} is not registered (known: {', '.join([PERCEPTRON, *_FACTORIES])}); import {module} and have"
            f" it call register_head({name!r}, ...), or give programs --plugin with that module"
        )
    return _FACTORIES[name]


def resolve_head(head: str | HeadFactory) -> tuple[str, HeadFactory | None]:
    """Return the name of a kind of head, and its factory; None: a built-in head.

    Unregistered factories are named by module and name, as in "my_heads:MyHead".

    Raises:
        ConfigError: It is neither a registered name nor a factory.
    """
    if head == TERM_HEAD:
        raise ConfigError(
            f"head {TERM_HEAD!r} is that of rules of train_plastic.py --network head; take another one here"
        )
    if isinstance(head, str):
        return head, None if head == PERCEPTRON else registered_head(head)
    if not callable(head) or isinstance(head, nn.Module):
        given = f"a {type(head).__name__}" if isinstance(head, nn.Module) else repr(head)
        raise ConfigError(
            f"head must be a name, or make a head of (num_features, num_scalars) as a class does, got {given}"
        )
    for name, factory in _FACTORIES.items():
        if factory is head:
            return name, factory
    place = head if hasattr(head, "__qualname__") else type(head)
    return f"{place.__module__}:{place.__qualname__}", head


class OwnHead(nn.Module):
    """Wrapper of a user-defined head; its first outputs are checked.

    Args:
        name: Of the kind of head.
        factory: Makes it.
        num_features: F.
        num_scalars: S.

    Raises:
        ConfigError: The factory returns no head.
    """

    def __init__(self, name: str, factory: HeadFactory, num_features: int, num_scalars: int) -> None:
        super().__init__()
        self.name = name
        self._num_features = num_features
        self._checked = False
        try:
            with torch.device("cpu"):  # real tensors also under the meta device, where a rule file is checked
                module = factory(num_features, num_scalars)
        except TypeError as error:
            raise ConfigError(f"head {name!r} must be called as head(num_features, num_scalars): {error}") from error
        if not isinstance(module, nn.Module):
            raise ConfigError(f"head {name!r} must make a torch.nn.Module, got {type(module).__name__}")
        self.module = module

    def forward(self, features: Tensor, scalars: Tensor) -> Tensor:
        """Return one number per event, (E,), from h (E, F) and scalars (E, S).

        Raises:
            ConfigError: The output has another shape or type, or, at the first call, is not finite.
        """
        if not len(features):
            return features.sum(dim=1)  # no event: many layers refuse an empty batch
        output = self.module(features, scalars)
        if not isinstance(output, Tensor) or output.shape != features.shape[:1]:
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ConfigError(
                f"head {self.name!r} must return one number per event, shape ({len(features)},), got {got}"
            )
        if not self._checked:
            if not output.isfinite().all():
                raise ConfigError(f"head {self.name!r} must return finite numbers, got {_first_nonfinite(output)}")
            self._checked = True
        return output.to(features.dtype)

    def of_inputs(self, inputs: Tensor) -> Tensor:
        """Return one number per event, (E,), from h and scalars side by side, (E, F + S)."""
        return self(inputs[:, : self._num_features], inputs[:, self._num_features :])

    def answers(self, view: SpikeView) -> Callable[[Rows], Tensor]:
        """Return a function from event indices to outputs, -> (M,)."""
        return lambda rows: self(view.features[view.pair[rows]], view.scalars[rows])

    @property
    def last(self) -> nn.Linear | None:
        """The last layer, (1, H), if the head exposes it."""
        layer = getattr(self.module, "last_layer", None)
        exposed = isinstance(layer, nn.Linear) and layer.out_features == 1 and layer.bias is not None
        return layer if exposed and callable(getattr(self.module, "last_hidden", None)) else None

    @property
    def width(self) -> int:
        """Width H of the last hidden layer, if the head exposes its last layer."""
        return cast(nn.Linear, self.last).in_features

    def last_inputs(self, view: SpikeView) -> Callable[[Rows], Tensor]:
        """Return a function from event indices to the last hidden layer, -> (M, H)."""
        last_hidden = cast(Any, self.module).last_hidden
        return lambda rows: last_hidden(view.features[view.pair[rows]], view.scalars[rows])

    def output(self, hidden: Tensor) -> Tensor:
        """Last layer: (E, H) -> (E,)."""
        return cast(nn.Linear, self.last)(hidden).squeeze(1)


def linear_heads(heads: nn.ModuleList) -> list[LinearHead]:
    """Return the heads as `LinearHead`s, whose last layers can be perturbed.

    Raises:
        ConfigError: They expose no last layer.
    """
    for head in heads:
        if isinstance(head, OwnHead) and head.last is None:
            raise ConfigError(
                f"exploration rule perturbs last layers, and head {head.name!r} exposes none: give it last_hidden("
                "features, scalars) and last_layer, an nn.Linear with one output, or set exploration to independent"
            )
    return cast(list[LinearHead], heads)


def layered_heads(heads: nn.ModuleList) -> list[LayeredHead]:
    """Return the heads as `LayeredHead`s, all of whose layers can be perturbed.

    Raises:
        ConfigError: They are user-defined, without accessible layers.
    """
    for head in heads:
        if isinstance(head, OwnHead):
            raise ConfigError(
                f"evolution strategies and perturb head move all layers of a head, and those of {head.name!r} are not "
                f"accessible; take head {PERCEPTRON} or a formula, set perturb to last, or exploration to independent"
            )
    return cast(list[LayeredHead], heads)


def _first_nonfinite(output: Tensor) -> float:
    return output[~output.isfinite()][0].item()
