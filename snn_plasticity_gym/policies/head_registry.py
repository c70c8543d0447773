"""Heads of one's own: any network that makes one number of a synapse's features, known by a name.

    class MyHead(nn.Module):
        def __init__(self, num_features: int, num_scalars: int) -> None: ...
        def forward(self, features: Tensor, scalars: Tensor) -> Tensor: ...  # (E, F), (E, S) -> (E,)

Each row is one synapse event: features h of its two spike histories, and its scalars, the weight first (see
`Architecture.scalar_names`). The answer becomes the mean weight change by tanh. Each group of synapses has a head of
its own. Exploration `independent` works with any head. Exploration `rule` that perturbs last layers needs two more
attributes, `last_hidden(features, scalars) -> (E, H)` and `last_layer`, an `nn.Linear(H, 1)`, such that the answer is
the one applied to the other.

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
    """Make a kind of head known by a name, which settings and rule files may then give.

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
    """Return what makes the heads of that name.

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
    """Return the name of a kind of head, and what makes such heads; None: the network does.

    What is not registered goes by its module and name, as in "my_heads:MyHead".

    Raises:
        ConfigError: It is neither a name that is known nor a factory.
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
    """A head of one's own, as networks ask for its answers; the first ones are checked.

    Args:
        name: Of the kind of head.
        factory: Makes it.
        num_features: F.
        num_scalars: S.

    Raises:
        ConfigError: It makes no head.
    """

    def __init__(self, name: str, factory: HeadFactory, num_features: int, num_scalars: int) -> None:
        super().__init__()
        self.name = name
        self._num_features = num_features
        self._checked = False
        try:
            with torch.device("cpu"):  # its tensors are real also where a rule file is compared with a shape
                module = factory(num_features, num_scalars)
        except TypeError as error:
            raise ConfigError(f"head {name!r} must be called as head(num_features, num_scalars): {error}") from error
        if not isinstance(module, nn.Module):
            raise ConfigError(f"head {name!r} must make a torch.nn.Module, got {type(module).__name__}")
        self.module = module

    def forward(self, features: Tensor, scalars: Tensor) -> Tensor:
        """Return one number per event, (E,), from h (E, F) and scalars (E, S).

        Raises:
            ConfigError: The head answers something else, at the first time also what is not finite.
        """
        if not len(features):
            return features.sum(dim=1)  # no event: many layers refuse an empty batch
        answer = self.module(features, scalars)
        if not isinstance(answer, Tensor) or answer.shape != features.shape[:1]:
            got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
            raise ConfigError(
                f"head {self.name!r} must return one number per event, shape ({len(features)},), got {got}"
            )
        if not self._checked:
            if not answer.isfinite().all():
                raise ConfigError(f"head {self.name!r} must return finite numbers, got {_first_odd(answer)}")
            self._checked = True
        return answer.to(features.dtype)

    def of_inputs(self, inputs: Tensor) -> Tensor:
        """Return one number per event, (E,), from h and scalars side by side, (E, F + S)."""
        return self(inputs[:, : self._num_features], inputs[:, self._num_features :])

    def answers(self, view: SpikeView) -> Callable[[Rows], Tensor]:
        """Return what answers some events of a batch, -> (M,)."""
        return lambda rows: self(view.features[view.pair[rows]], view.scalars[rows])

    @property
    def last(self) -> nn.Linear | None:
        """The last layer, (1, H), where the head tells it."""
        layer = getattr(self.module, "last_layer", None)
        told = isinstance(layer, nn.Linear) and layer.out_features == 1 and layer.bias is not None
        return layer if told and callable(getattr(self.module, "last_hidden", None)) else None

    @property
    def width(self) -> int:
        """Width H of the last hidden layer, where the head tells its last layer."""
        return cast(nn.Linear, self.last).in_features

    def last_inputs(self, view: SpikeView) -> Callable[[Rows], Tensor]:
        """Return what gives the last hidden layer of some events of a batch, -> (M, H)."""
        last_hidden = cast(Any, self.module).last_hidden
        return lambda rows: last_hidden(view.features[view.pair[rows]], view.scalars[rows])

    def output(self, hidden: Tensor) -> Tensor:
        """Last layer: (E, H) -> (E,)."""
        return cast(nn.Linear, self.last)(hidden).squeeze(1)


def linear_heads(heads: nn.ModuleList) -> list[LinearHead]:
    """Return heads whose last layers can be perturbed.

    Raises:
        ConfigError: They tell none.
    """
    for head in heads:
        if isinstance(head, OwnHead) and head.last is None:
            raise ConfigError(
                f"exploration rule perturbs last layers, and head {head.name!r} tells none: give it last_hidden("
                "features, scalars) and last_layer, an nn.Linear with one output, or set exploration to independent"
            )
    return cast(list[LinearHead], heads)


def layered_heads(heads: nn.ModuleList) -> list[LayeredHead]:
    """Return heads all of whose layers can be perturbed.

    Raises:
        ConfigError: They are of one's own, so that their layers are not known.
    """
    for head in heads:
        if isinstance(head, OwnHead):
            raise ConfigError(
                f"evolution strategies and perturb head move all layers of a head, and those of {head.name!r} are not "
                f"known; take head {PERCEPTRON} or a formula, set perturb to last, or exploration to independent"
            )
    return cast(list[LayeredHead], heads)


def _first_odd(answer: Tensor) -> float:
    return answer[~answer.isfinite()][0].item()
