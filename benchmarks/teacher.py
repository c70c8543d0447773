"""The gradient teacher: the adjoint pass against autograd through the same layer-wise forward pass."""

from __future__ import annotations

import functools
import itertools
from contextlib import ExitStack
from typing import Any

import torch
import torch.nn.functional as F
from program import BenchmarkConfig, json_flag, run
from rivals import LAYERS, Rival, inputs
from timing import Sampler, take_turns, timed
from torch import Tensor

from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.networks.differentiable import forward
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.surrogate import derivative, spike
from snn_plasticity_gym.rewards.gradient import Adjoint, loss_and_output_gradient

SURROGATE, WIDTH = "sigmoid", 1.0
PARAMS = LIFParams(tau_mem=2.0, v_rest=0.0, v_reset=0.0, v_th=1.0, resistance=1.0, refractory=0.0)
DT = 1.0  # ms
ALPHA = 10.0  # sharpness of the softmax
GAIN = 8.0  # of the random weights: every layer spikes

KEYS = {
    "layers": "neurons of each layer, input first",
    "adjoint": "images per second, forward and backward, with delta of every sample and step: g = s * delta",
    "adjoint_summed": "the same, and the gradient of the batch summed up from it",
    "autograd": "images per second, forward and backward of the layer-wise PyTorch loop: the summed gradient alone",
    "over_autograd": "time of autograd over time of the adjoint",
    "summed_over_autograd": "time of autograd over time of the adjoint with the summed gradient",
    "forward_share": "share of the adjoint's time that is its forward pass",
    "error": "largest difference of the two summed gradients over the largest entry",
    "spikingjelly": "images per second of SpikingJelly, multi-step; null without its interpreter",
    "snntorch": "images per second of snnTorch; null without its interpreter",
    "over_spikingjelly": "time of SpikingJelly over time of the adjoint",
    "over_snntorch": "time of snnTorch over time of the adjoint",
}


@config_class
class TeacherConfig(BenchmarkConfig):
    """Measure the gradient teacher against autograd."""

    json: bool = json_flag(KEYS)
    num_steps: int = 16
    batch: int = setting(64, "Samples side by side.", section="Workload", ge=1)
    rounds: int = setting(60, "Rounds in which all take turns; a third of it if quick.", section="Benchmark", ge=1)
    spikingjelly_python: str | None = setting(
        None, "Interpreter of an environment with SpikingJelly, to compare with.", section="Others"
    )
    snntorch_python: str | None = setting(
        None, "Interpreter of an environment with snnTorch, to compare with.", section="Others"
    )


def measure(config: TeacherConfig) -> dict[str, Any]:
    """Return the results for `KEYS`."""
    generator = torch.Generator().manual_seed(config.seed)
    shapes = list(itertools.pairwise(LAYERS))
    weights = [GAIN / n_pre**0.5 * torch.randn(n_pre, n_post, generator=generator) for n_pre, n_post in shapes]
    spikes, labels = inputs(config.batch, config.num_steps)
    variables = [weight.clone().requires_grad_() for weight in weights]
    samplers: dict[str, Sampler] = {
        "adjoint": timed(lambda: adjoint(weights, spikes, labels)),
        "summed": timed(lambda: summed(weights, spikes, labels)),
        "autograd": timed(lambda: autograd(variables, spikes, labels)),
        "forward": timed(lambda: activity(weights, spikes)),
    }
    size = {"batch": config.batch, "num_steps": config.num_steps, "tau": PARAMS.tau_mem}
    pythons = {"spikingjelly": config.spikingjelly_python, "snntorch": config.snntorch_python}
    others = {library: python for library, python in pythons.items() if python}
    with ExitStack() as stack:
        for library, python in others.items():
            samplers[library] = stack.enter_context(Rival(python, library, **size))
        rounds = -(-config.rounds // 3) if config.quick else config.rounds
        samples = take_turns(samplers, rounds, warm_up=2)
    pairs = zip(summed(weights, spikes, labels), autograd(variables, spikes, labels), strict=True)
    speeds = {"adjoint": "adjoint", "adjoint_summed": "summed", "autograd": "autograd"} | {
        name: name for name in others
    }
    return {
        "layers": list(LAYERS),
        **{key: config.batch / samples.median(name) for key, name in speeds.items()},
        "over_autograd": samples.ratio("autograd", "adjoint"),
        "summed_over_autograd": samples.ratio("autograd", "summed"),
        "forward_share": samples.ratio("forward", "adjoint"),
        "error": max(float((a - e).abs().max() / e.abs().max()) for a, e in pairs),
        **{f"over_{name}": samples.ratio(name, "adjoint") for name in others},
    }


def activity(weights: list[Tensor], spikes: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Run the network without a graph; return spikes and potentials of each layer, (T, B, N)."""
    with torch.no_grad():
        spike_fn = functools.partial(spike, surrogate=SURROGATE, width=WIDTH)
        return tuple(forward(weights, spikes, PARAMS, DT, [1.0] * len(weights), spike_fn))  # type: ignore[return-value]


def adjoint(weights: list[Tensor], spikes: Tensor, labels: Tensor) -> tuple[list[list[Tensor]], list[Tensor]]:
    """Return delta by step (last first) and layer, (B, N) each, and each layer's spikes (T, B, N)."""
    fired, potentials = activity(weights, spikes)
    _, by_output = loss_and_output_gradient(fired[-1].sum(dim=0), labels, ALPHA, len(spikes))
    backward = Adjoint(PARAMS, DT, [1.0] * len(weights), derivative(SURROGATE, WIDTH))
    return [
        backward.step([u[step] for u in potentials], weights, by_output) for step in reversed(range(len(spikes)))
    ], fired


def summed(weights: list[Tensor], spikes: Tensor, labels: Tensor) -> list[Tensor]:
    """Return the gradient of the summed loss by each layer's weights, from the adjoint."""
    deltas, fired = adjoint(weights, spikes, labels)
    before = [spikes, *fired[:-1]]
    by_layer = [torch.stack(layer[::-1]) for layer in zip(*map(list, deltas), strict=True)]  # (T, B, N) each
    return [s.flatten(0, 1).T @ delta.flatten(0, 1) for s, delta in zip(before, by_layer, strict=True)]


def autograd(variables: list[Tensor], spikes: Tensor, labels: Tensor) -> list[Tensor]:
    """Return the gradient of the summed loss by each layer's weights, from autograd."""
    spike_fn = functools.partial(spike, surrogate=SURROGATE, width=WIDTH)
    output = forward(variables, spikes, PARAMS, DT, [1.0] * len(variables), spike_fn).spikes[-1]
    loss = F.cross_entropy(ALPHA * output.mean(dim=0), labels, reduction="sum")
    return list(torch.autograd.grad(loss, variables))


if __name__ == "__main__":
    run(TeacherConfig, KEYS, measure)
