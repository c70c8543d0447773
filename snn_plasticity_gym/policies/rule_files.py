"""Learned rules as files: rule.safetensors holds the numbers, rule.json says what they are.

Neither can run code, and reading them takes no trainer: torch, safetensors and this package's networks are enough.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.plasticity.events import SynapseEvents
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.frozen_rule import FrozenRule
from snn_plasticity_gym.policies.network import RuleNetwork, new_network
from snn_plasticity_gym.utils.files import atomic_path

NUMBERS, DESCRIPTION = "rule.safetensors", "rule.json"
LARGEST = {NUMBERS: 1 << 30, DESCRIPTION: 1 << 24}  # bytes; nothing larger is read


def _shape(value: Any) -> Architecture:
    return value if isinstance(value, Architecture) else Architecture.from_dict(value)


class Description(BaseModel):
    """What rule.json holds."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal[1] = 1
    architecture: Annotated[Architecture, PlainValidator(_shape), PlainSerializer(Architecture.as_dict)]
    groups: list[str]  # names of the heads
    history_length: int = Field(ge=1, le=1 << 16)  # K
    images: int = Field(ge=0)  # that it was learned from
    checksum: str  # SHA-256 of rule.safetensors
    config: dict[str, Any]  # settings of the training
    metrics: dict[str, dict[str, Any]]  # what the rule earned, before and after
    versions: dict[str, Any]


class LearnedRule:
    """A learned rule: called with events, it returns the mean weight change of each, as `env.run_episode` wants it.

    Args:
        description: What is known of it.
        rule: Its networks.
    """

    def __init__(self, description: Description, rule: RuleNetwork) -> None:
        shape = description.architecture
        self.description = description
        self.rule = rule.requires_grad_(False).eval()
        self.num_groups, self.use_kind, self.sigma = shape.num_groups, shape.use_kind, shape.sigma
        self.extra_keys = list(shape.extra_keys)
        self.hidden_sizes, self.channels = shape.hidden_sizes, shape.channels
        self.kernel_sizes, self.formula_terms = shape.kernel_sizes, shape.formula_terms
        self._frozen: FrozenRule | None = None

    def frozen(self, history_length: int) -> FrozenRule:
        """Return the rule for acting on histories of a length that may differ from that of its training."""
        return FrozenRule(self.rule, history_length)

    def __call__(self, events: SynapseEvents) -> Tensor:
        """Return the mean weight change of each event, (E,)."""
        if self._frozen is None:
            self._frozen = self.frozen(self.description.history_length)
        return self._frozen(events)


def save_rule(
    folder: Path,
    rule: RuleNetwork,
    architecture: Architecture,
    *,
    groups: Sequence[str],
    history_length: int,
    images: int = 0,
    config: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Mapping[str, Any]] | None = None,
    versions: Mapping[str, Any] | None = None,
) -> None:
    """Write rule.safetensors and rule.json, the latter last, so that it speaks of what is there.

    Args:
        folder: Where to.
        rule: Front, heads and critic.
        architecture: Its shape.
        groups: Names of the heads.
        history_length: K.
        images: Images that the rule was learned from.
        config: Settings of the training.
        metrics: What the rule earned, before and after.
        versions: Of the packages.

    Raises:
        OSError: The files cannot be written.
    """
    numbers = safetensors.torch.save({name: value.contiguous().cpu() for name, value in rule.state_dict().items()})
    description = Description(
        architecture=architecture,
        groups=list(groups),
        history_length=history_length,
        images=images,
        checksum=hashlib.sha256(numbers).hexdigest(),
        config=dict(config or {}),
        metrics={name: {key: _number(value) for key, value in part.items()} for name, part in (metrics or {}).items()},
        versions=dict(versions or {}),
    )
    with atomic_path(folder / NUMBERS) as temporary:
        temporary.write_bytes(numbers)
    with atomic_path(folder / DESCRIPTION) as temporary:
        temporary.write_text(json.dumps(description.model_dump(), indent=1) + "\n", encoding="utf-8")


def load_rule(path: str | Path, device: torch.device | str = "cpu") -> LearnedRule:
    """Load a rule from the folder of a run; no code of the files is run.

    Args:
        path: A folder with rule.json and rule.safetensors, or one of these files.
        device: Where the rule shall live.

    Raises:
        ConfigError: There is no rule, or the files are damaged, contradict each other or hold what is not finite.
    """
    path = Path(path)
    folder = path.parent if path.name in LARGEST else path
    description = read_description(folder)
    content = _content(folder / NUMBERS)
    if hashlib.sha256(content).hexdigest() != description.checksum:
        raise ConfigError(f"{folder / NUMBERS} is not the file that {DESCRIPTION} speaks of: its checksum differs")
    try:
        tensors = safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError, AttributeError) as error:
        raise ConfigError(f"{folder / NUMBERS} is no safetensors file: {_reason(error)}") from error
    network = _network(description.architecture, tensors, folder)
    return LearnedRule(description, network.to(device))


def read_description(folder: Path) -> Description:
    """Read rule.json.

    Raises:
        ConfigError: There is none, or it is damaged.
    """
    file = folder / DESCRIPTION
    try:
        description = Description.model_validate_json(_content(file))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        cause = first.get("ctx", {}).get("error")
        reason = f"{place}.{cause}" if isinstance(cause, ConfigError) else f"{place}: {first['msg']}"
        raise ConfigError(f"{file} describes no rule: {_reason(reason)}") from error
    if len(description.groups) != description.architecture.num_groups:
        raise ConfigError(f"{file} describes no rule: groups must name each of the heads")
    return description


def _content(file: Path) -> bytes:
    """Read a file that is not too large."""
    try:
        size = file.stat().st_size
        if size > LARGEST[file.name]:
            raise ConfigError(f"{file} is too large for a rule: {size} bytes, at most {LARGEST[file.name]}")
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"no rule at {file}: {error.strerror or error}") from error


def _network(shape: Architecture, tensors: Mapping[str, Tensor], folder: Path) -> RuleNetwork:
    """Return networks with the given tensors, or refuse them; memory is taken by what the file holds alone."""
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):  # heads of other kinds may draw theirs
            network = new_network(shape)
    except ConfigError as error:
        raise ConfigError(f"{folder / DESCRIPTION}: {_reason(error)}") from error
    dtypes = {name: value.dtype for name, value in network.state_dict().items()}
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in tensors.items()}
    if wanted != given:
        odd = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))[0]
        what = f"{odd} must be {wanted.get(odd, 'absent')}, got {given.get(odd, 'nothing')}"
        raise ConfigError(f"{folder / NUMBERS} does not fit {DESCRIPTION}: {what}")
    for name, value in tensors.items():
        if value.dtype != dtypes[name] or not value.isfinite().all():
            dtype = str(dtypes[name]).removeprefix("torch.")
            raise ConfigError(f"{folder / NUMBERS} must hold finite {dtype} numbers, and {name} does not")
    network.load_state_dict(dict(tensors), assign=True)
    return network


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _reason(error: Exception | str) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
