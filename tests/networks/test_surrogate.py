"""The curves against the papers' formulas, against numerical integrals and derivatives, and in autograd."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from snn_plasticity_gym.networks.surrogate import SURROGATES, derivative, spike

WIDTHS = [0.3, 1.0, 2.5]
NAMES = list(SURROGATES)


def grid(low: float, high: float, points: int) -> Tensor:
    return torch.linspace(low, high, points, dtype=torch.float64)


def as_published(name: str, x: float, width: float) -> float:
    """h1 to h4 as Wu et al. (2018) print them, in their a1 to a4; SuperSpike's in its beta, SLAYER's in its tauRho."""
    if name == "rectangular":
        a = width
        return 1 / a if abs(x) < a / 2 else 0.0
    if name == "polynomial":
        a = 4 / width**2
        return math.sqrt(a) / 2 - a / 4 * abs(x) if abs(x) < 2 / math.sqrt(a) else 0.0
    if name == "sigmoid":
        a = width
        return 1 / a * math.exp(-x / a) / (1 + math.exp(-x / a)) ** 2
    if name == "gaussian":
        a = width**2
        return 1 / math.sqrt(2 * math.pi * a) * math.exp(-(x**2) / (2 * a))
    if name == "exponential":
        tau_rho = scale_rho = width
        return scale_rho / tau_rho * math.exp(-abs(x) / tau_rho)
    beta = 1 / width
    return (1 + abs(beta * x)) ** -2


SMOOTH: dict[str, Callable[[Tensor, float], Tensor]] = {  # the functions that the curves are derivatives of
    "rectangular": lambda x, w: (x / w + 0.5).clamp(0, 1),
    "polynomial": lambda x, w: torch.where(
        x < 0, 0.5 * (1 + x / w).clamp(min=0) ** 2, 1 - 0.5 * (1 - x / w).clamp(min=0) ** 2
    ),
    "sigmoid": lambda x, w: 1 / (1 + torch.exp(-x / w)),
    "gaussian": lambda x, w: 0.5 * (1 + torch.erf(x / (w * math.sqrt(2)))),
    "fast_sigmoid": lambda x, w: x / (1 + x.abs() / w),
    "exponential": lambda x, w: x.sign() * w * (1 - torch.exp(-x.abs() / w)),
}
PEAK_ONE = ("fast_sigmoid", "exponential")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_values_are_the_published_ones(name: str, width: float) -> None:
    x = grid(-7.03, 7.01, 211)
    expected = torch.tensor([as_published(name, value, width) for value in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(SURROGATES[name](x, width), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("rectangular", 0.5),
        ("polynomial", 0.5),
        ("sigmoid", 0.125),
        ("gaussian", 0.19947114020071635),
        ("fast_sigmoid", 1.0),
        ("exponential", 1.0),
    ],
)
def test_peak_at_width_two(name: str, peak: float) -> None:
    x = torch.tensor([0.0, 1e-3, 5.0], dtype=torch.float64)
    values = SURROGATES[name](x, 2.0)
    assert values[0].item() == pytest.approx(peak, rel=1e-12) and values.argmax() == 0


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_integral(name: str, width: float) -> None:
    reach = 60 * width
    x = grid(-reach, reach, 1_200_001)
    area = torch.trapezoid(SURROGATES[name](x, width), x).item()
    # fast sigmoid: 2 width less the two tails beyond the reach, 2 width / (1 + reach / width)
    expected = {"fast_sigmoid": 2 * width * (1 - 1 / 61), "exponential": 2 * width}.get(name, 1.0)
    assert area == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_curves_are_even_never_negative_and_fall_off(name: str) -> None:
    x = grid(0.0, 6.0, 301)
    values = SURROGATES[name](x, 0.7)
    assert torch.equal(values, SURROGATES[name](-x, 0.7))
    assert bool((values >= 0).all()) and bool((values.diff() <= 0).all())


@pytest.mark.parametrize("name", NAMES)
def test_width_is_a_length(name: str) -> None:
    """Millivolts counted in other units give the same curve: k(c x, c w) = k(x, w), over c where the integral is 1."""
    x, factor = grid(-3.0, 3.0, 101), 8.0
    expected = SURROGATES[name](x, 0.9) / (1.0 if name in PEAK_ONE else factor)
    torch.testing.assert_close(SURROGATES[name](factor * x, factor * 0.9), expected, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_curve_is_the_derivative_of_its_smooth_function(name: str, width: float) -> None:
    x, h = grid(-4.003, 4.001, 977), 1e-6
    kinks = torch.tensor({"rectangular": [-width / 2, width / 2]}.get(name, []), dtype=torch.float64)
    x = x[((x[:, None] - kinks).abs() > 2 * h).all(dim=1)]
    slope = (SMOOTH[name](x + h, width) - SMOOTH[name](x - h, width)) / (2 * h)
    torch.testing.assert_close(SURROGATES[name](x, width), slope, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_far_away_is_zero_and_never_nan(name: str) -> None:
    x = torch.tensor([-1e30, -1e4, 1e4, 1e30])
    values = SURROGATES[name](x, 0.5)
    assert bool(values.isfinite().all()) and bool((values < 1e-6).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_spike_is_a_step_forward_and_the_curve_backward(name: str, dtype: torch.dtype) -> None:
    x = torch.tensor([[-2.0, -0.1, 0.0], [1e-7, 0.4, 3.0]], dtype=dtype, requires_grad=True)
    upstream = torch.tensor([[1.0, -2.0, 3.0], [0.5, 7.0, -1.0]], dtype=dtype)
    spikes = spike(x, name, 1.3)
    assert spikes.dtype == dtype
    assert spikes.tolist() == [[0, 0, 0], [1, 1, 1]]  # exactly at the threshold a neuron is silent
    spikes.backward(upstream)
    torch.testing.assert_close(x.grad, upstream * SURROGATES[name](x.detach(), 1.3), rtol=0, atol=0)


def test_derivative_is_the_curve() -> None:
    x = grid(-2, 2, 41)
    for name in NAMES:
        assert torch.equal(derivative(name, 0.8)(x), SURROGATES[name](x, 0.8))


def test_an_unknown_name_is_told_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="unknown surrogate 'gausian'; did you mean 'gaussian'"):
        spike(torch.zeros(1), "gausian", 1.0)
    with pytest.raises(ValueError, match="unknown surrogate 'zzz'; valid names: " + ", ".join(NAMES)):
        derivative("zzz", 1.0)


@pytest.mark.parametrize("width", [0.0, -1.0, math.nan])
def test_a_width_must_be_positive(width: float) -> None:
    with pytest.raises(ValueError, match=f"width must be positive, got {width}"):
        derivative("sigmoid", width)
