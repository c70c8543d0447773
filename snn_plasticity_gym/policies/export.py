"""Export of learned rules for programs without this package: as TorchScript, also for C++.

Axes: E events, K history length, G heads, F width of h, S scalars.
"""

from __future__ import annotations

import copy
import math
import warnings
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.plasticity.events import KIND_POST, KIND_PRE, NUM_KINDS
from snn_plasticity_gym.policies.formula import read_term
from snn_plasticity_gym.policies.head_registry import OwnHead
from snn_plasticity_gym.policies.heads import RuleHead
from snn_plasticity_gym.policies.network import RuleNetwork
from snn_plasticity_gym.rules.factors import time_constant
from snn_plasticity_gym.rules.traces import exponential_kernel
from snn_plasticity_gym.utils.files import atomic_path

TOLERANCE = 1e-4  # of outputs of the exported module


class DenseRule(nn.Module):
    """A rule in plain operations on dense arrays, event by event: slow, but without tables.

    Args:
        network: Of the rule, on the CPU.
        history_length: K.
    """

    def __init__(self, network: RuleNetwork, history_length: int) -> None:
        super().__init__()
        self.shape = network.architecture
        self.front, self.heads = network.front, network.heads
        self.factors = [read_term(term, self.shape.extra_keys) for term in self.shape.formula_terms or ()]
        names = {
            name for term in self.factors for name in term if name[0] in "xy" and name not in self.shape.extra_keys
        }
        self.traces = sorted(names)
        for number, name in enumerate(self.traces):
            tau = time_constant(name)
            kernel = exponential_kernel(history_length, self.shape.dt / tau).float()
            kernel[0] = 0.0  # age 0: the present step is not among the earlier ones
            self.register_buffer(f"kernel_{number}", kernel.flip(0))  # (K,) oldest step first

    def forward(self, history: Tensor, weight: Tensor, kind: Tensor, group: Tensor, extras: Tensor) -> Tensor:
        """Return the mean weight change of each event, (E,); arguments as in `DenseEvents`."""
        inputs = self._terms(history, weight, kind, extras) if self.factors else None
        if inputs is None:
            columns = [weight.unsqueeze(1), extras]
            if self.shape.use_kind:
                columns.insert(1, one_hot(kind.long(), NUM_KINDS).to(weight.dtype))  # (E, 3)
            inputs = torch.cat([self.front(history), *columns], dim=1)  # (E, F + S)
        outputs = torch.stack([self._head_output(head, inputs) for head in self.heads], dim=1)  # (E, G)
        return torch.tanh(outputs.gather(1, group.unsqueeze(1)).squeeze(1))

    def _head_output(self, head: nn.Module, inputs: Tensor) -> Tensor:
        if isinstance(head, OwnHead):  # without its checks of outputs
            width = self.front.out_features
            return cast(Tensor, head.module(inputs[:, :width], inputs[:, width:]))
        return cast(RuleHead, head).of_inputs(inputs)

    def _terms(self, history: Tensor, weight: Tensor, kind: Tensor, extras: Tensor) -> Tensor:
        """Return the terms of a formula, (E, K terms)."""
        values = {
            "pre": (kind != KIND_POST).to(weight.dtype),
            "post": (kind != KIND_PRE).to(weight.dtype),
            "w": weight,
            **{name: extras[:, column] for column, name in enumerate(self.shape.extra_keys)},
        }
        for number, name in enumerate(self.traces):
            kernel = cast(Tensor, getattr(self, f"kernel_{number}"))
            values[name] = history[:, "xy".index(name[0])].to(weight.dtype) @ kernel  # (E,)
        return torch.stack(
            [math.prod((values[name] for name in term), start=weight * 0 + 1) for term in self.factors], 1
        )


def export_torchscript(network: RuleNetwork, history_length: int, path: str | Path) -> Path:
    """Write a rule as a TorchScript module, forward(history, weight, kind, group, extras) -> (E,); see `DenseRule`.

    Args:
        network: Of the rule.
        history_length: K.
        path: Of the file.

    Returns:
        The file.

    Raises:
        ConfigError: A user-defined head depends on the events in Python control flow, so that it cannot be traced.
        OSError: The file cannot be written.
    """
    path = Path(path)
    rule = DenseRule(copy.deepcopy(network).cpu().float(), history_length).eval().requires_grad_(False)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch advises programs of Python alone to export otherwise
        traced = torch.jit.trace(rule, _example(rule, history_length, 3), check_trace=False)
        for count in (0, 1, 8):
            events = _example(rule, history_length, count)
            if not torch.allclose(traced(*events), rule(*events), rtol=TOLERANCE, atol=TOLERANCE):
                raise ConfigError(
                    f"head {network.architecture.head!r} cannot be exported: its path depends on the number of events "
                    "or on their values; write it without Python conditions on tensors"
                )
        with atomic_path(path) as temporary:
            torch.jit.save(traced, str(temporary))
    return path


def _example(rule: DenseRule, history_length: int, count: int) -> tuple[Tensor, ...]:
    """Return events of all kinds, arguments of `DenseRule.forward`."""
    generator = torch.Generator().manual_seed(count)
    return (
        torch.randint(2, (count, 2, history_length), generator=generator).to(torch.uint8),
        torch.rand(count, generator=generator),
        torch.arange(count).remainder(NUM_KINDS).to(torch.uint8),
        torch.arange(count).remainder(len(rule.heads)),
        torch.randn(count, len(rule.shape.extra_keys), generator=generator),
    )
