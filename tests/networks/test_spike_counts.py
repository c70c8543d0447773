"""Counting spikes: the compiled loop against torch's sums."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from snn_plasticity_gym.networks.spike_counts import count_spikes, total_spikes

rasters = arrays(np.bool_, array_shapes(min_dims=3, max_dims=3, max_side=7)).map(torch.from_numpy)


@given(rasters, st.integers(0, 3))
def test_counts_are_those_of_torch(raster, left_out):
    """Also for a part of the steps, whose memory is not in one piece."""
    part = raster[:, left_out:]
    spikes = count_spikes(part)

    assert torch.equal(spikes.counts, part.sum(dim=1))
    assert torch.equal(total_spikes(part), part.sum(dim=(1, 2)))
    fired = spikes.counts > 0
    if part.shape[1]:
        assert torch.equal(spikes.first[fired], part.int().argmax(dim=1)[fired])
    assert not spikes.first[~fired].any()
