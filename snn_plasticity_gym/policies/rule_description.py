"""Description of a learned rule: the content of rule.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from snn_plasticity_gym.policies.architecture import Architecture

MAX_HISTORY = 1 << 16


def _shape(value: Any) -> Architecture:
    return value if isinstance(value, Architecture) else Architecture.from_dict(value)


class Description(BaseModel):
    """Content of rule.json."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal[1] = 1
    architecture: Annotated[Architecture, PlainValidator(_shape), PlainSerializer(Architecture.as_dict)]
    groups: list[str]  # names of the heads
    history_length: int = Field(ge=1, le=MAX_HISTORY)  # K
    images: int = Field(ge=0)  # training images
    checksum: str  # SHA-256 of rule.safetensors; empty: the rule is not saved
    config: dict[str, Any]  # settings of the training
    metrics: dict[str, dict[str, Any]]  # rewards before and after training
    versions: dict[str, Any]


def describe(
    architecture: Architecture,
    *,
    groups: Sequence[str] | None = None,
    history_length: int,
    images: int = 0,
    config: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Mapping[str, Any]] | None = None,
    versions: Mapping[str, Any] | None = None,
) -> Description:
    """Return the description of a rule that is not saved yet.

    Args:
        architecture: Its shape.
        groups: Names of the heads; None: numbers.
        history_length: K.
        images: Number of training images.
        config: Settings of the training.
        metrics: Rewards before and after training.
        versions: Of the packages.
    """
    return Description(
        architecture=architecture,
        groups=[str(number) for number in range(architecture.num_groups)] if groups is None else list(groups),
        history_length=history_length,
        images=images,
        checksum="",
        config=dict(config or {}),
        metrics={name: {key: _number(value) for key, value in part.items()} for name, part in (metrics or {}).items()},
        versions=dict(versions or {}),
    )


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
