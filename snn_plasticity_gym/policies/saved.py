"""Loading of policies from run folders, for evaluation or as the start of another training."""

from __future__ import annotations

import json
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any, cast

import torch
from stable_baselines3.common.save_util import load_from_zip_file

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.policies.former_modules import former_modules
from snn_plasticity_gym.policies.formula import FormulaHead
from snn_plasticity_gym.policies.head_registry import OwnHead
from snn_plasticity_gym.policies.heads import Head
from snn_plasticity_gym.policies.learned_rule import LearnedRule
from snn_plasticity_gym.policies.network import RuleNetwork
from snn_plasticity_gym.policies.policy import PlasticityPolicy

_NEEDED = ("observation_space", "action_space", "policy_kwargs")  # all that is unpickled of a zip, apart from tensors
_UNREADABLE = (  # errors of Stable-Baselines3, torch and pickle for other or damaged files
    *(ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, OSError, RuntimeError),
    *(TypeError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error),
)


def load_policy(path: str | Path, device: torch.device | str = "cpu") -> PlasticityPolicy:
    """Load the policy of a training, whichever algorithm trained it.

    A Stable-Baselines3 zip can run code when it is loaded: load only those that you trust. `load_rule` reads a run's
    rule files, which cannot.

    Args:
        path: A run's folder, which has a final.zip, or a zip file.
        device: Of the policy.

    Raises:
        ConfigError: There is no such file, or it holds no `PlasticityPolicy`.
    """
    path = Path(path).expanduser()
    file = path / "final.zip" if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(f"no policy at {file}; give the folder of a finished run, or its final.zip")
    try:
        with former_modules():
            data, parameters, _ = load_from_zip_file(file, device=device, custom_objects=_left_out(file))
        assert data is not None
        policy = PlasticityPolicy(
            data["observation_space"], data["action_space"], lambda _: 0.0, **data["policy_kwargs"]
        ).to(device)
        policy.load_state_dict(parameters["policy"])  # type: ignore[arg-type]
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ConfigError(f"{file} holds no policy of this project: {reason}") from error
    policy.set_training_mode(False)
    return policy


def _left_out(file: Path) -> dict[str, Any]:
    """Return replacements for the parts of a zip that are not needed, so that they are not unpickled."""
    with zipfile.ZipFile(file) as archive:
        return dict.fromkeys(set(json.loads(archive.read("data"))).difference(_NEEDED))


@torch.no_grad()
def transfer(source: LearnedRule | PlasticityPolicy, target: PlasticityPolicy) -> None:
    """Copy into `target` the parameters it shares with `source`, which may come from another environment.

    The front is copied whole. Heads copy the source's heads in their order, several the same one if there are fewer, so
    that heads of split kinds start equal: the weights of h, of the weight, of the kind and of extras of the same name.
    Scalars that the source lacks get weight 0, so that `target` and `source` have equal outputs; so do terms of a
    formula that the source's formula lacks. The critic likewise.

    Raises:
        ConfigError: Widths differ, or one is a formula and the other is not.
    """
    old, new = source.rule, target.rule
    was, now = old.architecture, new.architecture
    forms = ["formula" if shape.is_formula else "network" for shape in (was, now)]
    if forms[0] != forms[1]:
        raise ConfigError(f"the policy to start from is a {forms[0]}, this one a {forms[1]}; give rule_form={forms[0]}")
    settings = {"head": "head", "hidden_sizes": "head_sizes", "channels": "channels", "kernel_sizes": "kernel_sizes"}
    for name, setting in settings.items():
        mine, given = getattr(now, name), getattr(was, name)
        if mine != given:
            raise ConfigError(f"the policy to start from has {setting} {given}, this one {mine}")
    columns = _scalar_columns(old), _scalar_columns(new)
    if any(isinstance(head, OwnHead) for head in new.heads) and was.scalar_names != now.scalar_names:
        raise ConfigError(
            f"heads of the kind {now.head!r} are copied whole, and the policy to start from has the scalars "
            f"{', '.join(was.scalar_names)}, this one {', '.join(now.scalar_names)}; give both the same"
        )

    new.front.load_state_dict(old.front.state_dict())
    for number, head in enumerate(new.heads):
        same = old.heads[number * len(old.heads) // len(new.heads)]
        if isinstance(head, FormulaHead):
            _transfer_formula(cast(FormulaHead, same), head, _products(old), _products(new))
        elif isinstance(head, Head):
            _transfer_head(cast(Head, same), head, *columns)
        else:
            head.load_state_dict(same.state_dict())
    _transfer_head(old.critic, new.critic, *columns)


def _products(network: RuleNetwork) -> list[tuple[str, ...]]:
    """Return the factors of each term of a formula, in a canonical order."""
    return [tuple(sorted(term.split("*"))) for term in network.architecture.formula_terms or ()]


def _transfer_formula(
    old: FormulaHead, new: FormulaHead, source: list[tuple[str, ...]], target: list[tuple[str, ...]]
) -> None:
    new.coefficients.bias.copy_(old.coefficients.bias)
    coefficient_of = dict(zip(source, old.coefficients.weight[0], strict=True))
    for place, factors in enumerate(target):
        new.coefficients.weight[0, place] = coefficient_of.get(factors, 0.0)


def _scalar_columns(network: RuleNetwork) -> dict[str, int]:
    """Return the column of each scalar in a head's first layer, by name."""
    names = network.architecture.scalar_names
    return {name: network.front.out_features + place for place, name in enumerate(names)}


def _transfer_head(old: Head, new: Head, old_columns: dict[str, int], new_columns: dict[str, int]) -> None:
    state = {name: value for name, value in old.state_dict().items() if name != "first.weight"}
    new.load_state_dict(state, strict=False)
    features = old.num_features
    new.first.weight.zero_()
    new.first.weight[:, :features] = old.first.weight[:, :features]
    for name, column in new_columns.items():
        if name in old_columns:
            new.first.weight[:, column] = old.first.weight[:, old_columns[name]]
