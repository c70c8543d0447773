"""Torch devices by name."""

from __future__ import annotations

import torch


def torch_device(name: torch.device | str) -> torch.device:
    """Return the device `name`.

    Raises:
        ValueError: It does not exist here; the message lists the available ones.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (TypeError, RuntimeError, AssertionError) as error:
        available = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
        raise ValueError(f"device must be one of {', '.join(available)} here, got {name!r}") from error
    return device
