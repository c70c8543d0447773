"""Learned rules as files: parameters in rule.safetensors, their description in rule.json.

Neither can run code, and reading them takes no trainer: torch, safetensors and this package's networks are enough.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.policies.architecture import Architecture
from snn_plasticity_gym.policies.learned_rule import LearnedRule
from snn_plasticity_gym.policies.network import RuleNetwork, new_network
from snn_plasticity_gym.policies.rule_description import Description
from snn_plasticity_gym.utils.files import atomic_path

NUMBERS, DESCRIPTION = "rule.safetensors", "rule.json"
LARGEST = {NUMBERS: 1 << 30, DESCRIPTION: 1 << 24}  # bytes; larger files are refused


def save_rule(folder: Path, rule: RuleNetwork, description: Description) -> None:
    """Write rule.safetensors and rule.json, the latter last, so that it describes existing parameters.

    Args:
        folder: Folder to write to.
        rule: Front, heads and critic.
        description: Its description; the checksum is filled in.

    Raises:
        OSError: The files cannot be written.
    """
    numbers = safetensors.torch.save({name: value.contiguous().cpu() for name, value in rule.state_dict().items()})
    description = description.model_copy(update={"checksum": hashlib.sha256(numbers).hexdigest()})
    with atomic_path(folder / NUMBERS) as temporary:
        temporary.write_bytes(numbers)
    with atomic_path(folder / DESCRIPTION) as temporary:
        temporary.write_text(json.dumps(description.model_dump(), indent=1) + "\n", encoding="utf-8")


def read_rule(folder: Path, device: torch.device | str = "cpu") -> LearnedRule:
    """Read a rule from the folder of its two files.

    Raises:
        ConfigError: There is none, or the files are damaged, contradict each other or hold non-finite values.
    """
    description = read_description(folder)
    content = _content(folder / NUMBERS)
    if hashlib.sha256(content).hexdigest() != description.checksum:
        raise ConfigError(f"{folder / NUMBERS} is not the file described by {DESCRIPTION}: its checksum differs")
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
    """Return networks with the given tensors, or refuse them; memory is allocated for the file's tensors only."""
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):  # heads of other kinds may draw parameters
            network = new_network(shape)
    except ConfigError as error:
        raise ConfigError(f"{folder / DESCRIPTION}: {_reason(error)}") from error
    dtypes = {name: value.dtype for name, value in network.state_dict().items()}
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in tensors.items()}
    if expected != given:
        odd = sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name))[0]
        what = f"{odd} must be {expected.get(odd, 'absent')}, got {given.get(odd, 'nothing')}"
        raise ConfigError(f"{folder / NUMBERS} does not fit {DESCRIPTION}: {what}")
    for name, value in tensors.items():
        if value.dtype != dtypes[name] or not value.isfinite().all():
            dtype = str(dtypes[name]).removeprefix("torch.")
            raise ConfigError(f"{folder / NUMBERS} must hold finite {dtype} numbers, and {name} does not")
    network.load_state_dict(dict(tensors), assign=True)
    return network


def _reason(error: Exception | str) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
