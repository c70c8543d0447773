"""Whole images in lifetimes without plasticity: each a loop from the first step to the last.

With the loops of plastic ones (`closed_form.py`, `formula_images.py`, `head_images.py`) this does what
`Network.advance`, `EventFinder` and `Engine.write` do together, without a list of events. The torch code is the
reference in all tests, and is used for every other rule and device; spikes are the same, and weights are
up to rounding. Every lifetime is a separate loop, so lifetimes can be distributed over threads, with the same numbers.

Axes: M images, B lifetimes, T steps, N neurons of all populations, concatenated.
"""

from __future__ import annotations

from snn_plasticity_gym.kernels.compile import compiled
from snn_plasticity_gym.kernels.episode import advance, begin, networks_of, record_of
from snn_plasticity_gym.kernels.simulation import begin_image, end_image, simulate


@compiled(bare=True)
def show_frozen(first, last, networks, spikes, record):
    """Present M images to the lifetimes `first` to `last` - 1, without plasticity; `record` is filled in."""
    for b in range(first, last):
        for m in range(len(record.num_events)):
            shown, kept = networks_of(m, networks), record_of(m, record)
            begin(b, m, shown, spikes, kept)
            for t in range(kept.raster.shape[1]):
                advance(b, t, shown, spikes, kept)
            end_image(b, shown, spikes, kept)


@compiled(bare=True)
def respond(first, last, networks, keys, readout, spikes, raster, counts):
    """Present M images, one after the other, to the lifetimes `first` to `last` - 1, without plasticity.

    Args:
        first: First lifetime.
        last: Last lifetime, exclusive.
        networks: Their networks; `inputs` are the images, `stimulus` is not used, and `keys` are overwritten.
        keys: Of the random numbers of groups during each image, uint64 (M,).
        readout: Index of the first neuron whose spikes are counted.
        spikes: Workspace for spikes.
        raster: Workspace for those of an image, (T, N).
        counts: Output: their spikes, (B, M, n).
    """
    for b in range(first, last):
        for image in range(counts.shape[1]):
            begin_image(b, networks, spikes, raster)
            networks.keys[b] = keys[image]
            for t in range(len(raster)):
                simulate(b, t, image, networks, spikes, raster)
            for k in range(counts.shape[2]):
                counts[b, image, k] = spikes.num_times[readout + k]
