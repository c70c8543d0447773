"""Learning from perturbed rules, on numbers small enough to work out by hand."""

import pytest
import torch

from snn_plasticity_gym.learners.rule_search import ascend, ranks


def test_ranks_keep_the_order_alone():
    rows = torch.tensor([[10.0, -5.0, 0.3, 0.2], [1e6, 0.0, 2.0, 1.0]])
    expected = torch.tensor([1.5, -1.5, 0.5, -0.5]) / 1.25**0.5
    torch.testing.assert_close(ranks(rows), torch.stack([expected, expected]))


def test_equal_returns_have_equal_ranks():
    given = ranks(torch.tensor([[3.0, 1.0, 3.0, 0.0, 3.0], [2.0, 2.0, 2.0, 2.0, 2.0]]))
    raw = torch.tensor([1.0, -1.0, 1.0, -2.0, 1.0])  # ranks 2, 3, 4 are shared
    torch.testing.assert_close(given[0], raw / (raw.square().mean()) ** 0.5)
    assert not given[1].any()


@pytest.mark.parametrize("shape", [(2,), (1, 2)])
def test_one_step_is_the_mean_of_advantage_times_perturbation(shape):
    xi = torch.tensor([[1.0, 2.0], [-1.0, 0.5], [0.0, -3.0]]).view(3, *shape)
    given = ascend(xi, torch.tensor([2.0, -1.0, 0.5]), rate=0.3)
    expected = 0.3 / 3 * torch.tensor([2.0 + 1.0, 4.0 - 0.5 - 1.5])
    torch.testing.assert_close(given.shift, expected.view(shape))
    assert given.divergence == pytest.approx(float(expected.square().sum()) / 2) and given.clipped == 0.0
