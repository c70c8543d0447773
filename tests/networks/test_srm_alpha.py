"""Traces and potentials of SRM-alpha against kernels written down in closed form."""

import math

import torch

from snn_plasticity_gym.networks.srm_alpha import SRMAlphaParams, alpha_init, alpha_step, srm_potential

PARAMS = SRMAlphaParams()


def kernel(steps: int, tau: float, dt: float) -> float:
    return steps * dt / tau * math.exp(1 - steps * dt / tau) if steps > 0 else 0.0


def test_traces_and_potential_are_sums_of_kernels() -> None:
    dt, length = 0.5, 60
    rng = torch.Generator().manual_seed(0)
    pre = (torch.rand(length, 2, 3, generator=rng) < 0.3).double()
    own = (torch.rand(length, 2, 1, generator=rng) < 0.1).double()
    weights = torch.rand(3, 1, generator=rng, dtype=torch.float64)
    trace, refractory = alpha_init(pre[0]), alpha_init(own[0])
    for t in range(length):
        response = sum(kernel(t - s, PARAMS.tau_syn, dt) * pre[s] @ weights for s in range(t + 1))
        after = sum(kernel(t - s, PARAMS.tau_ref, dt) * own[s] for s in range(t + 1))
        expected = response - PARAMS.scale_ref * PARAMS.v_th * after
        torch.testing.assert_close(srm_potential(trace.level @ weights, refractory, PARAMS), expected)
        trace = alpha_step(trace, pre[t], PARAMS.tau_syn, dt)
        refractory = alpha_step(refractory, own[t], PARAMS.tau_ref, dt)
