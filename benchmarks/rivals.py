"""Other libraries with the same workload, each in a separate process and environment.

    python benchmarks/rivals.py bindsnet '{"batch": 64, "num_steps": 100, ...}'

For each line on stdin the workload runs once, and its CPU seconds are printed. Only public interfaces are called;
nothing of the package is imported, so that the interpreter needs only torch and the library.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYERS = (784, 256, 128, 64, 32, 10)


class Rival:
    """A library in a separate process, as a sampler: a call runs its workload once.

    Args:
        python: Interpreter of its environment.
        library: A key of `LIBRARIES`.
        settings: Settings of the workload.
    """

    def __init__(self, python: str, library: str, **settings: Any) -> None:
        command = [python, str(Path(__file__).resolve()), library, json.dumps(settings)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self) -> float:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the other library ended; its message stands above")
        return float(answer)

    def __enter__(self) -> Rival:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


def bindsnet(batch: int, n_exc: int, num_steps: int, images: str, max_rate: float) -> Callable[[], object]:
    """Diehl and Cook's network with BindsNET's own STDP, one image for each of `batch` samples, with plasticity.

    `images` is a file of uint8 images, (n, 28, 28).
    """
    from bindsnet.models import DiehlAndCook2015

    network = DiehlAndCook2015(n_inpt=784, n_neurons=n_exc, batch_size=batch, inpt_shape=(1, 28, 28))
    network.train(True)
    pixels = torch.load(images).float().div(255)  # (n, 28, 28)

    def work() -> None:
        chosen = pixels[torch.randint(len(pixels), (batch,))].unsqueeze(1)  # (B, 1, 28, 28)
        spikes = torch.bernoulli((max_rate * chosen).expand(num_steps, -1, -1, -1, -1)).byte()
        network.run(inputs={"X": spikes}, time=num_steps)
        network.reset_state_variables()

    return work


def spikingjelly(batch: int, num_steps: int, tau: float) -> Callable[[], object]:
    """Forward and backward of the fully connected network, multi-step mode, pure torch backend."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    modules: list[nn.Module] = []
    for n_pre, n_post in itertools.pairwise(LAYERS):
        cell = neuron.LIFNode(tau=tau, surrogate_function=surrogate.Sigmoid(), detach_reset=True, step_mode="m")
        modules += [layer.Linear(n_pre, n_post, bias=False, step_mode="m"), cell]
    network = nn.Sequential(*modules)
    spikes, labels = inputs(batch, num_steps)

    def work() -> None:
        functional.reset_net(network)
        learn(network(spikes), labels)

    return work


def snntorch(batch: int, num_steps: int, tau: float) -> Callable[[], object]:
    """Forward and backward of the fully connected network, step by step as in snnTorch's tutorials."""
    from snntorch import Leaky

    pairs = list(itertools.pairwise(LAYERS))
    linear = nn.ModuleList(nn.Linear(n_pre, n_post, bias=False) for n_pre, n_post in pairs)
    cells = nn.ModuleList(Leaky(beta=1 - 1 / tau, reset_mechanism="zero") for _ in pairs)
    spikes, labels = inputs(batch, num_steps)

    def work() -> None:
        membranes = [cell.init_leaky() for cell in cells]  # type: ignore[operator]
        outputs = []
        for activity in spikes:
            for place, (layer, cell) in enumerate(zip(linear, cells, strict=True)):
                activity, membranes[place] = cell(layer(activity), membranes[place])
            outputs.append(activity)
        learn(torch.stack(outputs), labels)

    return work


def inputs(batch: int, num_steps: int) -> tuple[Tensor, Tensor]:
    """Return input spikes (T, B, 784) and labels (B,)."""
    generator = torch.Generator().manual_seed(0)
    spikes = (torch.rand(num_steps, batch, LAYERS[0], generator=generator) < 0.1).float()
    return spikes, torch.randint(LAYERS[-1], (batch,), generator=generator)


def learn(spikes: Tensor, labels: Tensor) -> None:
    """Cross-entropy of the output rates, spikes (T, B, 10), and its gradient."""
    F.cross_entropy(spikes.mean(dim=0), labels).backward()


LIBRARIES: dict[str, Callable[..., Callable[[], object]]] = {
    "bindsnet": bindsnet,
    "spikingjelly": spikingjelly,
    "snntorch": snntorch,
}


def main() -> None:
    """Print, for each line on stdin, the CPU seconds of one run of the workload."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    work = LIBRARIES[sys.argv[1]](**json.loads(sys.argv[2]))
    for _ in sys.stdin:
        began = time.process_time()
        work()
        print(time.process_time() - began, flush=True)


if __name__ == "__main__":
    main()
