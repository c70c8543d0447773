"""Means over the events of all processes, for updates of distributed runs.

Each process computes its part of a sum over all events, so that gradients equal those of one process with all events.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from stable_baselines3.common.running_mean_std import RunningMeanStd
from torch import Tensor, nn

from snn_plasticity_gym.utils.distributed import World


def event_weights(step: Tensor, weighting: str, world: World) -> Tensor:
    """Return each event's weight in the mean over all processes, (E,).

    Args:
        step: Number of the (episode, lifetime, time step) that an event belongs to, (E,); unique over processes.
        weighting: "event": equal for all events; "step": equal for all time steps.
        world: The processes.
    """
    if weighting == "event":
        return torch.full(step.shape, 1.0 / world.total(len(step)), device=step.device)
    _, place, counts = torch.unique(step, return_inverse=True, return_counts=True)
    return 1.0 / (world.total(len(counts)) * counts[place]).float()


def standardise(advantages: Tensor, world: World) -> Tensor:
    """Shift and scale to mean 0 and standard deviation 1 over all processes; a single advantage is unchanged."""
    number, mean, variance = world.moments(advantages)
    if number < 2:
        return advantages
    return (advantages - mean) / ((variance * (number / (number - 1))).sqrt() + 1e-8)


def update_scale(scale: RunningMeanStd, returns: Tensor, world: World) -> None:
    """Update the running deviation of returns with those of all processes."""
    number, mean, variance = world.moments(returns.double())
    scale.update_from_moments(mean.cpu().numpy(), variance.cpu().numpy(), number)


def sum_gradients(parameters: Iterable[nn.Parameter], world: World) -> None:
    """Replace gradients by their sums over all processes, in one message; parameters without gradient keep none."""
    if world.size == 1:
        return
    own = list(parameters)
    reached = own[0].new_tensor([float(parameter.grad is not None) for parameter in own])
    flat = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in own]
    total = world.all_sum(torch.cat([reached, *flat]))
    reached, *sums = total.split([len(own), *(parameter.numel() for parameter in own)])
    for parameter, hit, gradient in zip(own, reached.tolist(), sums, strict=True):
        parameter.grad = gradient.view_as(parameter).clone() if hit else None
