"""Compiles the loops that tests of several workers need, each part in a process."""

import gc
import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from typing import NamedTuple

import torch
from lives import SMALL, bold_rule, formula

from snn_plasticity_gym import make_rule
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.kernels import formula_gradient, head_gradient, plastic_gradient
from snn_plasticity_gym.kernels.acting import act_closed_form, act_formula, act_heads
from snn_plasticity_gym.kernels.closed_form import show_closed_form
from snn_plasticity_gym.kernels.compile import Function, is_kept
from snn_plasticity_gym.kernels.formula_images import show_formula
from snn_plasticity_gym.kernels.head_images import show_heads
from snn_plasticity_gym.kernels.together import evaluate_together
from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams
from snn_plasticity_gym.rules.differentiable_formula import DifferentiableFormula
from snn_plasticity_gym.rules.differentiable_head import DifferentiableHead
from snn_plasticity_gym.rules.plastic_sequence import run_sequence

WORLD, IMAGE = "SNNPlastic-CartPole-v0", "SNNPlastic-Unsup1-v0"


class Part(NamedTuple):
    """What a process compiles."""

    functions: Sequence[Function]
    envs: Sequence[str] = ()  # to live in
    after: Sequence[Function] = ()  # which have parts in common with it that need not be compiled twice


PARTS = {
    "closed forms": Part((show_closed_form, act_closed_form), (IMAGE, WORLD)),
    "gradients": Part(tuple(each.differentiate_trials for each in (plastic_gradient, formula_gradient, head_gradient))),
    "heads": Part((show_heads,), (IMAGE,), after=(act_closed_form,)),
    "heads in worlds": Part((act_heads,), (WORLD,), after=(act_closed_form, evaluate_together)),
    "formulas": Part((show_formula, act_formula), (WORLD, IMAGE), after=(act_closed_form,)),
}


def compile_all() -> None:
    """Compile the parts of which this machine has no machine code, side by side."""
    waiting = [name for name, part in PARTS.items() if not all(map(is_kept, part.functions))]
    running: list[BaseProcess] = []
    while waiting or any(process.is_alive() for process in running):
        ready = [name for name in waiting if all(map(is_kept, PARTS[name].after))]
        if not ready and not any(process.is_alive() for process in running):
            ready = list(waiting)  # nobody will compile what they have in common
        for name in ready:
            waiting.remove(name)
            running.append(multiprocessing.get_context("fork").Process(target=compile_part, args=(name,), name=name))
            running[-1].start()
        time.sleep(0.1)
    assert not any(process.exitcode for process in running), running


def compile_part(name: str) -> None:
    """Do what a part is for."""
    gc.freeze()  # types and instructions are many, and all of them stay
    gc.disable()
    if name in ("gradients", "formulas"):
        os.nice(5)  # the others are a longer way
    if name == "gradients":
        pass_back()
    for env_id in PARTS[name].envs:
        live(env_id, name)


def pass_back() -> None:
    """Go through a sequence by each kind of rule that gradients pass through, and back."""
    rng = torch.Generator().manual_seed(0)
    kinds = [
        None,
        DifferentiableFormula([("pre",)], 0.1, -1.0, 1.0),
        DifferentiableHead(2, 0.1, -1.0, 1.0, generator=rng),
    ]
    for rule in kinds:
        inputs, weights = torch.ones(2, 1, 2), torch.ones(2, 2, requires_grad=True)
        run_sequence(inputs, weights, rule, SRMAlphaParams()).sum().backward()


def live(env_id: str, kind: str) -> None:
    """Live through an episode by a rule of a kind."""
    few = {**SMALL, "n_exc": 2} if env_id == IMAGE else {"hidden_sizes": [2]}
    env = PlasticityVectorEnv(env_id, num_envs=1, **few)
    env.reset(seed=0)
    env.run_episode(lambda events: torch.zeros(len(events.weight)))  # its first step is over with the reset
    if kind == "closed forms":
        rule = make_rule("stdp")
    else:
        rule = formula(env, ["pre"]) if kind == "formulas" else bold_rule(env)
    assert env.lives_whole(rule)
    env.run_episode(rule)
