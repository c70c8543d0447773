"""Random numbers row by row: a row's numbers are those of its generator, whoever stands beside it."""

import numpy as np
import torch

from snn_plasticity_gym.utils.row_streams import RowUniforms


def generators(seeds: list[int]) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


def test_each_row_is_its_generators_own_stream():
    draw = RowUniforms(generators([3, 4, 5]))
    first, second = draw(7), draw(2)
    for row, stream in enumerate(generators([3, 4, 5])):
        assert first[row].tolist() == stream.random(7, dtype=np.float32).tolist()
        assert second[row].tolist() == stream.random(2, dtype=np.float32).tolist()
    assert first.dtype == torch.float32


def test_other_rows_have_no_influence():
    alone, beside = RowUniforms(generators([4])), RowUniforms(generators([1, 2, 4]))
    for columns in (1, 5, 64):
        assert torch.equal(alone(columns)[0], beside(columns)[2])


def test_no_rows_and_no_columns():
    assert RowUniforms([])(4).shape == (0, 4)
    stream = generators([0])
    assert RowUniforms(stream)(0).shape == (1, 0)
    assert stream[0].random() == np.random.default_rng(0).random()  # nothing was drawn
