"""Whether a rule and a task allow whole episodes in compiled loops, and as which tables a loop takes the rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from snn_plasticity_gym.config.base import EnvironmentConfig
from snn_plasticity_gym.kernels.formula_images import FormulaRule
from snn_plasticity_gym.kernels.pairs import HeadRule
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.closed_form import ClosedForm, has_closed_form
from snn_plasticity_gym.rules.whole_formula import has_formula
from snn_plasticity_gym.rules.whole_heads import has_heads
from snn_plasticity_gym.tasks.base import Task


class Frozen(NamedTuple):
    """Nothing learns."""


def can_be_whole(config: EnvironmentConfig, task: Task) -> bool:
    """Whether lifetimes can live through whole episodes of a task in compiled loops, if their rule allows it.

    That takes an open loop, of which every step is kept, or a closed one that has tables; networks in the CPU's
    memory, all events of a step presented together, and no reward event by event but that of a teacher, who looks at
    changes as they are made.
    """
    if config.event_kinds == "split":
        return False
    if task.rewards_events and not (task.teaches and config.modulation == "none"):
        return False
    if not task.open_loop:
        return task.closed_loop() is not None
    return task.record_steps == task.num_steps and not (task.follows_steps and task.step_factor() is None)


def closed_form_of(rule: Rule, config: EnvironmentConfig, task: Task) -> ClosedForm | None:
    """Return the closed form of a rule that has one, and sees the scalars that it follows; else None."""
    if not has_closed_form(rule):
        return None
    form = rule.closed_form()
    if form.g != 0 and not task.factors():
        return None
    if form.factor_surrogate and "surrogate" not in config.local_state:
        return None
    if form.tau_theta > 0 and config.history_length < task.num_steps:
        return None  # what has been forgotten is in the running mean
    return form


Way = ClosedForm | FormulaRule | HeadRule | Frozen
"""How lifetimes live whole episodes."""


def way_of(
    rule: Rule, config: EnvironmentConfig, task: Task, scalars: Sequence[str], non_plastic: Tensor
) -> Way | None:
    """Return how lifetimes can live by a rule through whole episodes; None: the rule has to answer events.

    Args:
        rule: Answers events.
        config: Of the environment.
        task: What it is about.
        scalars: What its events show.
        non_plastic: Lifetimes in which nothing learns any more, bool (B,); all of them, or none.
    """
    if not can_be_whole(config, task):
        return None
    frozen = np.count_nonzero(non_plastic.numpy())
    if frozen:
        return Frozen() if frozen == len(non_plastic) else None
    form = closed_form_of(rule, config, task)
    if form is not None:
        return form
    formula = rule.whole_formula() if has_formula(rule) else None
    if formula is not None:
        return formula.tables(task.num_steps) if formula.fits(scalars, len(task.groups)) else None
    heads = rule.whole_heads() if has_heads(rule) else None
    if heads is not None and heads.fits(config.history_length, scalars, len(task.groups)):
        return heads.tables
    return None
