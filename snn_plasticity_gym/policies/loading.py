"""Loading of learned rules, whichever way they were saved."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import torch

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.policies.learned_rule import LearnedRule
from snn_plasticity_gym.policies.rule_files import DESCRIPTION, NUMBERS, read_rule

_GIVE = f"give the folder of a finished run, its {DESCRIPTION} or {NUMBERS}, or a zip of Stable-Baselines3"


def load_rule(path: str | Path, device: torch.device | str = "cpu", trust: bool = False) -> LearnedRule:
    """Load a rule; no code of its files is run, unless it is a zip that you trust.

    Args:
        path: The folder of a run, with rule.json and rule.safetensors, or one of these files; or a zip that
            Stable-Baselines3 saved, of a model with `PlasticityPolicy`, or the folder of a run that has but final.zip.
        device: Of the rule.
        trust: Whether a zip may be loaded. Loading one can run code from its author.

    Raises:
        ConfigError: There is no rule, or the files are damaged, contradict each other or hold non-finite values; or
            a zip was given without trust.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"path must be the folder of a run, its {DESCRIPTION} or {NUMBERS}, or a zip, got {path!r}")
    path = Path(path).expanduser()
    if path.name in (DESCRIPTION, NUMBERS):
        return read_rule(path.parent, device)
    if path.is_dir() and (path / DESCRIPTION).exists():
        return read_rule(path, device)
    if path.is_dir() and (path / "final.zip").exists():
        return _zipped(path / "final.zip", device, trust)
    if path.is_file():
        return _zipped(path, device, trust)
    raise ConfigError(f"no rule at {path}; {_GIVE}")


def _zipped(path: Path, device: torch.device | str, trust: bool) -> LearnedRule:
    if not zipfile.is_zipfile(path):
        raise ConfigError(f"{path} is no rule; {_GIVE}")
    if not trust:
        raise ConfigError(
            f"{path} is a zip, which can run code when it is loaded; give trust=True if you know who made it, or the "
            f"{DESCRIPTION} of its run, which cannot"
        )
    from snn_plasticity_gym.policies.saved import load_policy  # Stable-Baselines3, not needed for rule files

    return load_policy(path, device).as_rule()
