"""Session of `train_svpg.py`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from snn_plasticity_gym.config.svpg import SVPGConfig
from snn_plasticity_gym.learners.svpg_agents import make_agent
from snn_plasticity_gym.runs.folder import RunFolder
from snn_plasticity_gym.tasks.datasets import load_dataset
from snn_plasticity_gym.tasks.image_sets import PARTS
from snn_plasticity_gym.trainers.sessions.bptt_learner import generator_of
from snn_plasticity_gym.trainers.sessions.learning_loop import FinalResult, Row, carry_out
from snn_plasticity_gym.trainers.sessions.svpg_learner import ImageLearner, Learner
from snn_plasticity_gym.trainers.sessions.svpg_worlds import EPISODES, ActingWorld, WorldLearner
from snn_plasticity_gym.utils.device import torch_device
from snn_plasticity_gym.utils.files import atomic_path


def run_svpg(config: SVPGConfig) -> Path:
    """Train, test the best weights once on held-out data, and write everything into a run folder.

    See `carry_out`; weights.pt has tensors by name.

    Raises:
        ConfigError: The environment does not match the settings.
        ValueError: The data are damaged.
        FileNotFoundError: The data set is not found.
    """
    with without_denormals():
        return carry_out("SVPG", config, functools.partial(SVPGTraining, config))


@contextlib.contextmanager
def without_denormals() -> Iterator[None]:
    """Flush denormal numbers to zero, which else slow the processor down; then restore."""
    flushes = float(torch.tensor(2.0**-130) * 0.5) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushes)


class SVPGTraining:
    """See `Training`.

    Args:
        config: Settings of the run.
        seed: Of everything.
    """

    def __init__(self, config: SVPGConfig, seed: int) -> None:
        self._measure = "return" if config.world else "accuracy"
        subjects = Subjects(config)
        self.learner, self.dataset = subjects.make(config, seed), subjects.dataset
        self.title = f"SVPG, {config.rule}, {subjects.sizes}: {self.learner.total} episodes of {subjects.task}"

    def row(self) -> Row:
        """See `Training`."""
        means, value = self.learner.take_means(), self.learner.judge("validation")
        self.learner.note(value)
        values = {f"train/{name}": mean for name, mean in means.items()} | {f"eval/{self._measure}": value}
        return Row(values, f"reward {means['reward']:.4f}  validation {value:.4f}")

    def judge(self, run: RunFolder) -> FinalResult:
        """Test the best weights on test images, or episodes."""
        validation, at = self.learner.take_best()
        with atomic_path(run.path / "weights.pt") as temporary:
            torch.save({name: weight.detach().cpu() for name, weight in self.learner.agent.weights.items()}, temporary)
        test, measure = self.learner.judge("test"), self._measure
        message = f"{measure} of the best weights, of {at} episodes: validation {validation:.4f}, test {test:.4f}"
        return FinalResult({"test": test, "validation": validation, "best_at": at}, {f"test/{measure}": test}, message)


class Subjects:
    """Makes learners for a task, which is loaded, or built, once.

    Args:
        config: The task, and settings of the first learner.

    Raises:
        As `run_svpg`.
    """

    def __init__(self, config: SVPGConfig) -> None:
        self._device = torch_device(config.device)
        self._world: ActingWorld | None = None
        self.dataset: dict[str, Any] | None = None
        if config.world:
            most = max(config.batch_size, config.eval_episodes or EPISODES["validation"],
                       config.test_episodes or EPISODES["test"])  # fmt: skip
            self._world = ActingWorld(config, most, self._device)
            self.task, self.num_inputs, self.num_actions = config.world, self._world.num_inputs, self._world.num_actions
        else:
            data = load_dataset(config.dataset, config.data_dir)
            self._parts = {name: data.split(name) for name in PARTS}
            self.dataset = data.manifest("train")
            self.task, self.num_inputs, self.num_actions = data.name, data.train.images[0].numel(), data.num_classes
        self.sizes = _sizes(config, self.num_inputs, self.num_actions)

    def make(self, config: SVPGConfig, seed: int) -> Learner:
        """Return a fresh learner for the same task with these settings and this seed."""
        first = torch.Generator().manual_seed(int(generator_of(seed, 0).integers(2**62)))
        order = generator_of(seed, 1)
        noise = torch.Generator(self._device).manual_seed(int(generator_of(seed, 2).integers(2**62)))
        agent = make_agent(config, self.num_inputs, self.num_actions, first, noise, self._device)
        if self._world is not None:
            return WorldLearner(config, agent, self._world, order, noise)
        return ImageLearner(config, agent, self._parts, order, noise, self._device)


def _sizes(config: SVPGConfig, num_inputs: int, num_actions: int) -> str:
    if config.rule in ("mlp", "bptt"):
        return f"{num_inputs}-{config.hidden_size}-{num_actions}"
    hidden = f"{config.hidden_groups}x{config.group_size}-" if config.hidden_groups else ""
    return f"{num_inputs}-{hidden}{num_actions}"
