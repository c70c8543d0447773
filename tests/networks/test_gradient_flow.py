"""Identities that hold gradients back."""

import math

import pytest
import torch

from snn_plasticity_gym.networks.gradient_flow import Damping, clamp_gradient, scale_gradient


def test_values_stay_and_gradients_are_held_back():
    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    upstream = torch.tensor([0.5, -4.0, 7.0])
    for held, expected in (
        (scale_gradient(x, 0.1), [0.05, -0.4, 0.7]),
        (clamp_gradient(x, 2.0), [0.5, -2.0, 2.0]),
        (clamp_gradient(scale_gradient(x, 0.5), 3.0), [0.25, -1.5, 1.5]),
    ):
        assert torch.equal(held, x)
        (gradient,) = torch.autograd.grad(held, x, upstream)
        torch.testing.assert_close(gradient, torch.tensor(expected))


def test_what_holds_nothing_back_adds_nothing_to_the_graph():
    x = torch.ones(2, requires_grad=True)
    assert scale_gradient(x, 1.0) is x and clamp_gradient(x, math.inf) is x
    assert not scale_gradient(x, 0.0).requires_grad


@pytest.mark.parametrize("damping", [Damping(rule=-0.1), Damping(refractory=2.0), Damping(carry=0.0)])
def test_numbers_out_of_range_are_refused(damping):
    with pytest.raises(ValueError, match=r"damping: .* must be"):
        damping.check()
