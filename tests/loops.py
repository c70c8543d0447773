"""Compiles the loops that tests of several workers need: `python tests/loops.py PART`, each part a process."""

import subprocess
import sys

import torch
from lives import SMALL, bold_rule, formula

from snn_plasticity_gym import make_rule
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.kernels import formula_gradient, head_gradient, plastic_gradient
from snn_plasticity_gym.kernels.acting import act_closed_form, act_formula, act_heads
from snn_plasticity_gym.kernels.closed_form import show_closed_form
from snn_plasticity_gym.kernels.compile import is_kept
from snn_plasticity_gym.kernels.formula_images import show_formula
from snn_plasticity_gym.kernels.head_images import show_heads
from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams
from snn_plasticity_gym.rules.differentiable_formula import DifferentiableFormula
from snn_plasticity_gym.rules.differentiable_head import DifferentiableHead
from snn_plasticity_gym.rules.plastic_sequence import run_sequence

PARTS = {
    "heads": (show_heads, act_heads),
    "others": (show_closed_form, show_formula, act_closed_form, act_formula),
    "gradients": tuple(each.differentiate_trials for each in (plastic_gradient, formula_gradient, head_gradient)),
}


def compile_all() -> None:
    """Compile the parts of which this machine has no machine code, side by side."""
    missing = [part for part, functions in PARTS.items() if not all(map(is_kept, functions))]
    running = [subprocess.Popen([sys.executable, __file__, part]) for part in missing]
    for part, process in zip(missing, running, strict=True):
        assert process.wait() == 0, part


def compile_part(part: str) -> None:
    """Do what a part is for."""
    if part == "gradients":
        pass_back()
    else:
        live(part)


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


def live(part: str) -> None:
    """Live through an episode by each kind of rule, in an image and in a world."""
    settings = {"SNNPlastic-Unsup1-v0": {**SMALL, "n_exc": 2}, "SNNPlastic-CartPole-v0": {"hidden_sizes": [2]}}
    for env_id, few in settings.items():
        env = PlasticityVectorEnv(env_id, num_envs=1, **few)
        env.reset(seed=0)
        rules = [bold_rule(env)] if part == "heads" else [make_rule("stdp"), formula(env, ["pre"])]
        env.run_episode(make_rule("zero"))  # its first step is over with the reset
        for rule in rules:
            assert env.lives_whole(rule)
            env.run_episode(rule)


if __name__ == "__main__":
    compile_part(sys.argv[1])
