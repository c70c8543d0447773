"""Session of `train_bptt.py`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from snn_plasticity_gym.config.bptt import BPTTConfig
from snn_plasticity_gym.runs.folder import RunFolder
from snn_plasticity_gym.tasks.datasets import load_dataset
from snn_plasticity_gym.trainers.sessions.bptt_learner import Learner, SpikingClassifier, generator_of
from snn_plasticity_gym.trainers.sessions.learning_loop import FinalResult, Row, carry_out
from snn_plasticity_gym.utils.device import torch_device


def run_bptt(config: BPTTConfig) -> Path:
    """Train, evaluate on the test images, and write everything into a run folder; see `carry_out`.

    weights.pt is that of `SpikingClassifier.save`.

    Raises:
        ValueError: The data are damaged, or the device does not exist.
        FileNotFoundError: The data set is not found.
    """
    return carry_out("BPTT", config, functools.partial(BPTTTraining, config), config.num_steps)


class BPTTTraining:
    """See `Training`.

    Args:
        config: Settings of the run.
        seed: Of everything.
    """

    def __init__(self, config: BPTTConfig, seed: int) -> None:
        device = torch_device(config.device)
        self._config = config
        self._data = data = load_dataset(config.dataset, config.data_dir)
        pixels = data.train.images[0].numel()
        self._model = SpikingClassifier(config, pixels, data.num_classes, generator_of(seed, 0), device)
        self.learner = Learner(config, self._model, data.train, seed)
        sizes = "-".join(str(size) for size in (pixels, *config.hidden_sizes, data.num_classes))
        self.title = f"BPTT, {sizes}: {self.learner.total} episodes of {data.name}, {config.num_steps} steps an episode"
        self.dataset: dict[str, Any] | None = data.manifest("train")

    def row(self) -> Row:
        """See `Training`."""
        loss, accuracy = self.learner.take_means()
        judgement = self._model.judge(self._data.validation, self._config.eval_episodes)
        values = {
            "train/loss": loss,
            "train/accuracy": accuracy,
            "eval/loss": judgement.loss,
            "eval/accuracy": judgement.accuracy,
            **{f"eval/rate_{layer}": rate for layer, rate in enumerate(judgement.rates, start=1)},
        }
        return Row(values, f"loss {loss:.4f}  accuracy {accuracy:.4f}  validation {judgement.accuracy:.4f}")

    def judge(self, run: RunFolder) -> FinalResult:
        """See `Training`."""
        self._model.save(run.path / "weights.pt")
        few, data = self._config.eval_episodes, self._data
        validation, test = (self._model.judge(part, few) for part in (data.validation, data.test))
        number = min(few or len(data.test.labels), len(data.test.labels))
        result = {
            "test_accuracy": test.accuracy,
            "test_loss": test.loss,
            "validation_accuracy": validation.accuracy,
            "validation_loss": validation.loss,
            "test_episodes": number,
        }
        values = {"test/accuracy": test.accuracy, "test/loss": test.loss}
        message = f"accuracy on {number} test images {test.accuracy:.4f}, loss {test.loss:.4f}"
        return FinalResult(result, values, message)
