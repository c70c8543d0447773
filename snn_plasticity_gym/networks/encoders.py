"""Images to spike trains."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def poisson_encode(image: Tensor, num_steps: int, chance: float, rng: np.random.Generator) -> Tensor:
    """Draw independent Bernoulli spikes whose probability per step is intensity * chance.

    The discrete form of a Poisson spike train (Diehl & Cook 2015, section 2.4: 63.75 Hz for a white pixel).

    Args:
        image: Pixel intensities in [0, 1], shape (N,), on the CPU.
        num_steps: Length T of the train.
        chance: Spike probability per step of a white pixel, in [0, 1]: its rate times the length of a step.
        rng: Source of randomness; NumPy's, so that a seed means the same spikes on every device.

    Returns:
        Spikes, bool (T, N).
    """
    spikes = torch.zeros(num_steps, image.numel(), dtype=torch.bool)
    lit = image.nonzero().squeeze(1)  # (L,) black pixels never fire: no random numbers are spent on them
    uniform = torch.from_numpy(rng.random((num_steps, lit.numel()), dtype=np.float32))  # (T, L)
    spikes[:, lit] = uniform < image[lit] * chance
    return spikes
