"""A BPTT training from its first line on the screen to its last: the network, its optimiser, its run folder."""

from __future__ import annotations

import functools
import itertools
import json
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import Progress
from stable_baselines3.common.logger import Logger
from torch import Tensor

from snn_plasticity_gym.config.bptt import BPTTConfig
from snn_plasticity_gym.config.schema import to_dict
from snn_plasticity_gym.data import ImageSet, load_dataset
from snn_plasticity_gym.device import torch_device
from snn_plasticity_gym.files import atomic_path
from snn_plasticity_gym.metrics import MetricsCSV
from snn_plasticity_gym.snn.bptt import Activity, forward
from snn_plasticity_gym.snn.encoding import poisson_encode
from snn_plasticity_gym.snn.lif import LIFParams
from snn_plasticity_gym.snn.surrogate import spike
from snn_plasticity_gym.tracking import RunFolder, make_logger, require_tensorboard, tensorboard_writer
from snn_plasticity_gym.trainers.report_session import report_at_end
from snn_plasticity_gym.wandb_writer import start_wandb

EVAL_SEED = 1_000_000_007  # of the input spikes of every evaluation; far from the seeds that runs draw
EVAL_BATCH = 500  # images at a time where no gradient is needed
CLASSES = 10


class Judgement(NamedTuple):
    """What a network is worth on some images."""

    accuracy: float
    loss: float
    rates: list[float]  # spikes per neuron and step, of each layer


class SpikingClassifier:
    """The network with its weights; a sample is an image shown for T steps, the answer the neuron that spiked most.

    Args:
        config: Sizes, constants, surrogate.
        num_pixels: Input neurons.
        rng: Source of the initial weights, N(0, initial_scale^2 / n_pre).
        device: Where it lives.
    """

    def __init__(self, config: BPTTConfig, num_pixels: int, rng: np.random.Generator, device: torch.device) -> None:
        self._config = config
        self._device = device
        self._params = LIFParams(
            tau_mem=config.tau_mem,
            v_rest=config.v_rest,
            v_reset=config.v_reset,
            v_th=config.v_th,
            resistance=config.resistance,
        )
        self._spike = functools.partial(spike, surrogate=config.surrogate, width=config.surrogate_width)
        self.weights = []  # (n_pre, n_post) each
        for n_pre, n_post in itertools.pairwise([num_pixels, *config.hidden_sizes, CLASSES]):
            fresh = rng.standard_normal((n_pre, n_post), dtype=np.float32) * (config.initial_scale / n_pre**0.5)
            self.weights.append(torch.from_numpy(fresh.astype(np.float32)).to(device).requires_grad_())

    def show(self, images: Tensor, rng: np.random.Generator) -> Activity:
        """Show images, uint8 (B, height, width), with input spikes drawn from `rng`."""
        intensity = images.reshape(-1) / 255.0  # (B * pixels,)
        spikes = poisson_encode(intensity, self._config.num_steps, self._config.max_rate, rng)  # (T, B * pixels)
        inputs = spikes.view(self._config.num_steps, len(images), -1).to(self._device, torch.float32)
        gains = [self._config.gain] * len(self.weights)
        return forward(self.weights, inputs, self._params, self._config.dt, gains, self._spike)

    def logits(self, activity: Activity) -> Tensor:
        """alpha * output rate, (B, classes)."""
        return self._config.alpha * activity.spikes[-1].mean(dim=0)

    @torch.no_grad()
    def judge(self, part: ImageSet, num_images: int) -> Judgement:
        """Accuracy and loss on the first `num_images` of a part (0: all), always with the same input spikes."""
        rng = np.random.default_rng(EVAL_SEED)
        count = min(num_images or len(part.labels), len(part.labels))
        right, loss, rates = 0, 0.0, [0.0] * len(self.weights)
        for start in range(0, count, EVAL_BATCH):
            here = slice(start, min(start + EVAL_BATCH, count))
            labels = part.labels[here].to(self._device)
            activity = self.show(part.images[here], rng)
            logits = self.logits(activity)
            right += int((logits.argmax(dim=1) == labels).sum())
            loss += F.cross_entropy(logits, labels, reduction="sum").item()
            rates = [r + s.mean().item() * len(labels) for r, s in zip(rates, activity.spikes, strict=True)]
        return Judgement(right / count, loss / count, [rate / count for rate in rates])

    def save(self, path: Path) -> None:
        """Write the weights as {"layer_1": (n_pre, n_post), ...}, to be read by `torch.load(weights_only=True)`."""
        with atomic_path(path) as temporary:
            state = {f"layer_{k}": weight.detach().cpu() for k, weight in enumerate(self.weights, start=1)}
            torch.save(state, temporary)


def run_bptt(config: BPTTConfig) -> Path:
    """Train, evaluate on the test images, and write everything into a run folder.

    The folder gets metrics.csv, weights.pt (`SpikingClassifier.save`) and result.json.

    Returns:
        The run's folder.

    Raises:
        ConfigError: The run folder cannot be made.
        ValueError: The data are damaged, or the device does not exist.
        FileNotFoundError: The data set cannot be had.
    """
    began = time.perf_counter()
    require_tensorboard(config.tensorboard)
    seed = config.seed if config.seed >= 0 else secrets.randbelow(2**31)
    if config.threads:
        torch.set_num_threads(config.threads)
    device = torch_device(config.device)
    data = load_dataset(config.dataset, config.data_dir)
    settings = {**to_dict(config), "seed": seed}
    run = RunFolder.create(
        "BPTT", settings, seed=seed, name=config.run_name, root=config.run_dir, dataset=data.manifest("train")
    )
    logger = make_logger(
        run,
        MetricsCSV(run.metrics_csv),
        start_wandb(config.wandb, run, settings, config.wandb_project),
        tensorboard_writer(run, config.tensorboard),
    )
    weight_seed, order_seed, spike_seed = np.random.SeedSequence(seed).spawn(3)
    model = SpikingClassifier(config, data.train.images[0].numel(), np.random.default_rng(weight_seed), device)
    total = config.images or config.epochs * len(data.train.labels)
    sizes = "-".join(str(size) for size in (data.train.images[0].numel(), *config.hidden_sizes, CLASSES))
    print(f"BPTT, {sizes}: {total} images of {data.name}, {config.num_steps} steps an image")
    print(f"seed {seed}, device {config.device}, {torch.get_num_threads()} threads")
    print(f"run folder {run.path}", flush=True)

    try:
        batches = _minibatches(len(data.train.labels), total, config.batch_size, np.random.default_rng(order_seed))
        _learn(config, model, data.train, data.validation, batches, np.random.default_rng(spike_seed), total, logger)
        model.save(run.path / "weights.pt")
        validation, test = (model.judge(part, config.eval_images) for part in (data.validation, data.test))
        seconds = time.perf_counter() - began
        result = {
            "test_accuracy": test.accuracy,
            "test_loss": test.loss,
            "validation_accuracy": validation.accuracy,
            "validation_loss": validation.loss,
            "test_images": min(config.eval_images or len(data.test.labels), len(data.test.labels)),
            "images": total,
            "seconds": seconds,
            "seed": seed,
        }
        run.write(run.path / "result.json", json.dumps(result, indent=2) + "\n")
        logger.record("test/accuracy", test.accuracy)
        logger.record("test/loss", test.loss)
        logger.dump(total * config.num_steps)
        page = report_at_end(run.path, logger, total * config.num_steps) if config.report else None
    except KeyboardInterrupt:
        model.save(run.checkpoints / "interrupted.pt")
        print(f"\nInterrupted; the weights so far are in {run.checkpoints / 'interrupted.pt'}", file=sys.stderr)
        raise
    finally:
        logger.close()
    print(f"accuracy on {result['test_images']} test images {test.accuracy:.4f}, loss {test.loss:.4f}")
    print(f"{seconds:.0f} s, run folder {run.path}")
    if page is not None:
        print(f"report {page}")
    return run.path


def _minibatches(size: int, total: int, batch_size: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Yield indices (B,) of `total` images in all, each epoch in a new order; an epoch's last batch may be smaller."""
    left = total
    while left > 0:
        order = torch.from_numpy(rng.permutation(size))[:left]
        left -= len(order)
        yield from order.split(batch_size)


def _learn(
    config: BPTTConfig,
    model: SpikingClassifier,
    train: ImageSet,
    validation: ImageSet,
    batches: Iterator[Tensor],
    rng: np.random.Generator,
    total: int,
    logger: Logger,
) -> None:
    """Take one Adam step per minibatch, and log a row every `eval_every` images and at the end."""
    optimiser = torch.optim.Adam(model.weights, lr=config.learning_rate)
    began, images, next_row = time.perf_counter(), 0, config.eval_every
    seen, losses, hits = 0, 0.0, 0  # since the last row
    show_bar = config.progress and sys.stderr.isatty()
    with Progress(console=Console(stderr=True), disable=not show_bar) as bar:
        task = bar.add_task("images", total=total)
        for batch in batches:
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * (1.0 - images / total)
            labels = train.labels[batch].to(model.weights[0].device)
            logits = model.logits(model.show(train.images[batch], rng))
            loss = F.cross_entropy(logits, labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

            images += len(batch)
            seen += len(batch)
            losses += loss.item() * len(batch)
            hits += int((logits.argmax(dim=1) == labels).sum())
            bar.advance(task, len(batch))
            if images < min(next_row, total):
                continue
            next_row = (images // config.eval_every + 1) * config.eval_every
            judgement = model.judge(validation, config.eval_images)
            seconds = time.perf_counter() - began
            row = {
                "train/loss": losses / seen,
                "train/accuracy": hits / seen,
                "eval/loss": judgement.loss,
                "eval/accuracy": judgement.accuracy,
                "time/images": images,
                "time/seconds": seconds,
                **{f"eval/rate_{layer}": rate for layer, rate in enumerate(judgement.rates, start=1)},
            }
            for key, value in row.items():
                logger.record(key, value)
            logger.dump(images * config.num_steps)
            if config.progress and not show_bar:
                print(
                    f"{images:7d} of {total} images  loss {losses / seen:.4f}  accuracy {hits / seen:.4f}  "
                    f"validation {judgement.accuracy:.4f}  {seconds:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
            seen, losses, hits = 0, 0.0, 0
