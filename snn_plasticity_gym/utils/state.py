"""State for resuming a run: tensors and plain numbers, like torch's `state_dict`.

Whatever persists between episodes has a `state_dict()` and a `load_state_dict()`. States hold nothing but tensors,
numbers, texts, lists, tuples and dicts, so that `torch.load(weights_only=True)` reads them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

State = dict[str, Any]


def clone_state(value: Any) -> Any:
    """Return a deep copy of a state."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: clone_state(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(clone_state(part) for part in value)
    return value


def restore(target: Tensor, saved: Tensor, name: str) -> None:
    """Copy a saved tensor into an existing one.

    Raises:
        ValueError: It has another shape or dtype.
    """
    if saved.shape != target.shape or saved.dtype != target.dtype:
        raise ValueError(
            f"{name} must be {target.dtype} of shape {tuple(target.shape)}, got {saved.dtype} of shape "
            f"{tuple(saved.shape)}"
        )
    target.copy_(saved)


def restore_all(targets: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Copy saved tensors into those of the same names; see `restore`.

    Raises:
        ValueError: Names, shapes or types differ.
    """
    if targets.keys() != saved.keys():
        raise ValueError(f"the state must hold {', '.join(targets) or 'nothing'}, got {', '.join(saved) or 'nothing'}")
    for name, target in targets.items():
        restore(target, saved[name], name)


def global_generators() -> State:
    """Return the state of the process's random generators: Python's, NumPy's, and torch's of CPU and all GPUs."""
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 - libraries may draw from it
    assert isinstance(numpy_state, dict)
    key = torch.from_numpy(numpy_state["state"]["key"].astype(np.int64))
    numpy_state = numpy_state | {"state": {"key": key, "pos": int(numpy_state["state"]["pos"])}}
    return {
        "python": random.getstate(),
        "numpy": numpy_state,
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_global_generators(state: State) -> None:
    """Set the process's random generators to a state of `global_generators`."""
    random.setstate(state["python"])
    inner = state["numpy"]["state"]
    key = inner["key"].numpy().astype(np.uint32)
    np.random.set_state(state["numpy"] | {"state": {"key": key, "pos": inner["pos"]}})  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
