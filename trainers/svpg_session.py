"""A training by `train_svpg.py`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from snn_plasticity_gym.config.svpg import SVPGConfig
from snn_plasticity_gym.learners.svpg_agents import make_agent
from snn_plasticity_gym.runs.folder import RunFolder
from snn_plasticity_gym.tasks.datasets import load_dataset
from snn_plasticity_gym.tasks.image_sets import PARTS
from snn_plasticity_gym.trainers.bptt_learner import generator_of
from snn_plasticity_gym.trainers.learning_loop import Judged, Row, carry_out
from snn_plasticity_gym.trainers.svpg_learner import ImageLearner, Learner
from snn_plasticity_gym.trainers.svpg_worlds import EPISODES, ActingWorld, WorldLearner
from snn_plasticity_gym.utils.device import torch_device
from snn_plasticity_gym.utils.files import atomic_path


class Subject(NamedTuple):
    """What learns, and what it is called."""

    learner: Learner
    task: str
    sizes: str
    dataset: dict[str, Any] | None


def run_svpg(config: SVPGConfig) -> Path:
    """Train, judge the best weights once on what was held out for it, and write everything into a run folder.

    See `carry_out`; weights.pt has tensors by name.

    Raises:
        ConfigError: The world is not what the settings say.
        ValueError: The data are damaged.
        FileNotFoundError: The data set cannot be had.
    """
    with _without_denormals():
        return carry_out("SVPG", config, functools.partial(SVPGTraining, config))


@contextlib.contextmanager
def _without_denormals() -> Iterator[None]:
    """Let the processor take rates next to zero for zero, which else slow it down; then as it was."""
    flushes = float(torch.tensor(2.0**-130) * 0.5) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushes)


class SVPGTraining:
    """See `Training`.

    Args:
        config: What is wanted.
        seed: Of everything.
    """

    def __init__(self, config: SVPGConfig, seed: int) -> None:
        self._measure = "return" if config.world else "accuracy"
        self.learner, task, sizes, self.dataset = make_subject(config, seed)
        self.title = f"SVPG, {config.rule}, {sizes}: {self.learner.total} episodes of {task}"

    def row(self) -> Row:
        """See `Training`."""
        means, value = self.learner.take_means(), self.learner.judge("validation")
        self.learner.note(value)
        values = {f"train/{name}": mean for name, mean in means.items()} | {f"eval/{self._measure}": value}
        return Row(values, f"reward {means['reward']:.4f}  validation {value:.4f}")

    def judge(self, run: RunFolder) -> Judged:
        """Judge the best weights by test images, or episodes."""
        validation, at = self.learner.take_best()
        with atomic_path(run.path / "weights.pt") as temporary:
            torch.save({name: weight.detach().cpu() for name, weight in self.learner.agent.weights.items()}, temporary)
        test, measure = self.learner.judge("test"), self._measure
        said = f"{measure} of the best weights, of {at} episodes: validation {validation:.4f}, test {test:.4f}"
        return Judged({"test": test, "validation": validation, "best_at": at}, {f"test/{measure}": test}, said)


def make_subject(config: SVPGConfig, seed: int) -> Subject:
    """Make the task and the agent of some settings, as a run with this seed begins.

    Raises:
        As `run_svpg`.
    """
    device = torch_device(config.device)
    first = torch.Generator().manual_seed(int(generator_of(seed, 0).integers(2**62)))
    order = generator_of(seed, 1)
    noise = torch.Generator(device).manual_seed(int(generator_of(seed, 2).integers(2**62)))
    if config.world:
        most = max(config.batch_size, config.eval_episodes or EPISODES["validation"],
                   config.test_episodes or EPISODES["test"])  # fmt: skip
        world = ActingWorld(config, most, device)
        agent = make_agent(config, world.num_inputs, world.num_actions, first, noise, device)
        sizes = _sizes(config, world.num_inputs, world.num_actions)
        return Subject(WorldLearner(config, agent, world, order, noise), config.world, sizes, None)
    data = load_dataset(config.dataset, config.data_dir)
    pixels = data.train.images[0].numel()
    agent = make_agent(config, pixels, data.num_classes, first, noise, device)
    parts = {name: data.split(name) for name in PARTS}
    learner = ImageLearner(config, agent, parts, order, noise, device)
    return Subject(learner, data.name, _sizes(config, pixels, data.num_classes), data.manifest("train"))


def _sizes(config: SVPGConfig, num_inputs: int, num_actions: int) -> str:
    if config.rule in ("mlp", "bptt"):
        return f"{num_inputs}-{config.hidden_size}-{num_actions}"
    hidden = f"{config.hidden_groups}x{config.group_size}-" if config.hidden_groups else ""
    return f"{num_inputs}-{hidden}{num_actions}"
