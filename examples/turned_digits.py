"""Transformed data sets: does a rule generalise to images other than those it was learned from?

A plugin for the programs: `--plugin examples/turned_digits.py --dataset turned` shows digits turned by 90 degrees to
the left, `--dataset inverted` dark digits on white ground, `--dataset mixed-pixels` digits with a fixed
permutation of pixels, which destroys neighbourhoods. They are made at first use, of MNIST if available, else of
scikit-learn's digits.
"""

from collections.abc import Callable

import numpy as np

from snn_plasticity_gym import register_dataset
from snn_plasticity_gym.tasks.datasets import load_dataset

Images = np.ndarray  # uint8 (n, H, W)


def turned(images: Images) -> Images:
    """Turn each image by 90 degrees to the left."""
    return np.rot90(images, axes=(1, 2))


def inverted(images: Images) -> Images:
    """Invert grey values."""
    return 255 - images


def mixed(images: Images) -> Images:
    """Permute pixels, in the same way in every image."""
    count, height, width = images.shape
    order = np.random.RandomState(0).permutation(height * width)  # its stream is fixed by NumPy
    return images.reshape(count, -1)[:, order].reshape(count, height, width)


def _made_by(change: Callable[[Images], Images]) -> Callable[[], tuple[np.ndarray, ...]]:
    def load() -> tuple[np.ndarray, ...]:
        plain = load_dataset("auto")
        learned = [np.concatenate(parts) for parts in zip(plain.train, plain.validation, strict=True)]
        return (
            change(learned[0]), learned[1], change(plain.test.images.numpy()), plain.test.labels.numpy(),
        )  # fmt: skip

    return load


for name, change in (("turned", turned), ("inverted", inverted), ("mixed-pixels", mixed)):
    register_dataset(name, _made_by(change))

if __name__ == "__main__":
    for name in ("turned", "inverted", "mixed-pixels"):
        dataset = load_dataset(name)
        lit = (dataset.train.images > 127).float().mean()
        print(f"{name}: {len(dataset.train.labels)} images to learn from, {lit:.0%} of their pixels are lit")
