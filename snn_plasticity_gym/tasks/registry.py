"""Which task a configuration asks for."""

from __future__ import annotations

import torch

from snn_plasticity_gym.config.environments import EnvironmentConfig, GradConfig, SemiConfig, UnsupervisedConfig
from snn_plasticity_gym.tasks.base import Task
from snn_plasticity_gym.tasks.classification import ClassificationTask
from snn_plasticity_gym.tasks.gradient import GradientTask
from snn_plasticity_gym.tasks.unsupervised import UnsupervisedTask


def make_task(
    config: EnvironmentConfig,
    num_lifetimes: int,
    n_input: int,
    num_images: int,
    num_classes: int,
    device: torch.device,
) -> Task:
    """Build the task that a configuration describes.

    Args:
        config: Settings of one of the environments.
        num_lifetimes: B.
        n_input: Pixels of an image.
        num_images: Images in a lifetime's pool.
        num_classes: C, of the data set.
        device: Where its tensors live.

    Raises:
        TypeError: The configuration belongs to no environment.
    """
    if isinstance(config, UnsupervisedConfig):
        return UnsupervisedTask(config, num_lifetimes, n_input, num_images, device)
    if isinstance(config, GradConfig):
        return GradientTask(config, n_input, num_classes, device)
    if isinstance(config, SemiConfig):
        return ClassificationTask(config, num_lifetimes, n_input, num_classes, device)
    raise TypeError(f"no environment has a {type(config).__name__}")
