"""Learns in some ways, alone or as one of several processes, and keeps what came out: `spread_worker.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from toys import SMALL

from snn_plasticity_gym.learners.a2c import EventA2C
from snn_plasticity_gym.learners.evolution import EventES
from snn_plasticity_gym.learners.exploration import IndependentNoise
from snn_plasticity_gym.utils.distributed import World, joined_processes
from snn_plasticity_gym.wrappers.sb3 import make_sb3_env

NUM_LIFETIMES = 4
ALL_EVENTS = {"events_per_episode": 0, "max_grad_norm": 1e9}
RULE = {"exploration": "rule", "n_steps": 2, "credit_horizon": 2}
WAYS: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {  # rollouts, arguments, settings of the environment
    "critic": (1, ALL_EVENTS | {"normalize_returns": True, "ent_coef": 0.1}, {}),
    "lifetimes": (1, ALL_EVENTS | {"baseline": "lifetimes", "loss_weighting": "step", "n_steps": 2}, {}),
    "last layers": (4, RULE | {"mirrored": True, "advantage": "ranks"}, {"common_noise": True, "lifetime_length": 3}),
    "heads": (2, RULE | {"perturb": "head"}, {}),
    "evolution": (3, RULE, {}),
    "own noise": (3, {"normalize_returns": True}, {}),
}


class NoiseOfWeights(IndependentNoise):
    """Noise that an event has whatever else happens beside it, so that lifetimes can be shared out."""

    def act(self, rule, events):
        mean = rule(events)
        actions = mean + self._policy.sigma * torch.sin(1e4 * events.local_state().weight)
        return actions, self._policy.log_prob(mean, actions)


def learn(way: str, world: World) -> dict[str, Any]:
    """Return gradients of each step (before clipping, none here), parameters, the logged numbers, and weights."""
    rollouts, arguments, settings = WAYS[way]
    num_own = world.share(NUM_LIFETIMES)
    env = make_sb3_env("SNNPlastic-Unsup2-v0", num_own, **SMALL | {"n_exc": 8} | settings)
    learner = EventES if way == "evolution" else EventA2C
    model = learner(
        "PlasticityPolicy", env, seed=3, policy_kwargs={"hidden_sizes": (16, 16), "kernel_sizes": (3, 3)}, **arguments
    )
    if way in ("critic", "lifetimes"):
        model._explore = NoiseOfWeights(model.policy, model._noise)
    gradients: list[torch.Tensor] = []
    parameters = list(model.policy.parameters())
    model.policy.optimizer.register_step_pre_hook(
        lambda *_: gradients.append(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]))
    )
    model.learn(rollouts * model.n_steps * NUM_LIFETIMES * SMALL["num_steps"], log_interval=None)
    logged = {name: value for name, value in model.logger.name_to_value.items() if not name.startswith("time/")}
    return {
        "gradients": gradients,
        "parameters": torch.nn.utils.parameters_to_vector(parameters).detach(),
        "logged": {name: float(value) for name, value in logged.items() if name.startswith(("train/", "rollout/"))},
        "weights": env.unwrapped.vector_env.engine.network.weights.clone(),
        "steps": model.num_timesteps,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined_processes("cpu") as world:
        results = {way: learn(way, world) for way in WAYS}
        torch.save(results, Path(sys.argv[1]) / f"{world.rank}.pt")
