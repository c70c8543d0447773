"""Whole images in lifetimes where nothing learns: each a loop from the first step to the last.

With the loops of those that learn (`closed_form.py`, `formula_images.py`, `head_images.py`) this does what
`Network.advance`, `EventFinder` and `Engine.write` do together, without a list of events. The torch code stays the
reference that all are tested against, and the way for every other rule and device; spikes are the same, and weights are
up to rounding. Every lifetime is a loop of its own, so lifetimes can be spread over threads, at the same numbers.

Axes: B lifetimes, T steps, N neurons of all populations one after the other.
"""

from __future__ import annotations

from snn_plasticity_gym.kernels.compile import compiled
from snn_plasticity_gym.kernels.episode import advance, begin
from snn_plasticity_gym.kernels.simulation import begin_image, end_image, simulate


@compiled(bare=True)
def show_frozen(first, last, lives, spikes, shown):
    """Show an image to the lifetimes `first` to `last` - 1, in which nothing learns; `shown` is filled in."""
    for b in range(first, last):
        begin(b, lives, spikes, shown)
        for t in range(shown.raster.shape[1]):
            advance(b, t, lives, spikes, shown)
        end_image(b, lives, spikes, shown)


@compiled(bare=True)
def respond(first, last, lives, keys, readout, spikes, raster, counts):
    """Show M images, one after the other, to the lifetimes `first` to `last` - 1, in which nothing learns.

    Args:
        first: Lifetime to begin with.
        last: Lifetime to end before.
        lives: Their networks; `inputs` are the images, `stimulus` is not looked at, and `keys` are written over.
        keys: Of the random numbers of groups while each image is shown, uint64 (M,).
        readout: Place of the first neuron whose spikes are counted.
        spikes: Room for spikes.
        raster: Room for those of an image, (T, N).
        counts: Filled in with their spikes, (B, M, n).
    """
    for b in range(first, last):
        for image in range(counts.shape[1]):
            begin_image(b, lives, spikes, raster)
            lives.keys[b] = keys[image]
            for t in range(len(raster)):
                simulate(b, t, image, lives, spikes, raster)
            for k in range(counts.shape[2]):
                counts[b, image, k] = spikes.num_times[readout + k]
