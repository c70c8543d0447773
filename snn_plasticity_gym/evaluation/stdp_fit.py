"""Least-squares fit of an STDP window to a kernel."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# The time constants tried: from where only the nearest delay counts to where a window is flat.
SHORTEST = 0.25  # of the spacing of delays
LONGEST = 10.0  # of the longest delay
GRID = 60  # time constants that the search begins from


class WindowFit(NamedTuple):
    """Least-squares fit of W(d) = A+ exp(-d / tau+) for d > 0, -A- exp(d / tau-) for d < 0.

    Song, Miller & Abbott (2000), eq. 2. Either amplitude may be negative: the window of an anti-Hebbian rule.
    """

    a_plus: float
    a_minus: float
    tau_plus: float  # ms
    tau_minus: float  # ms
    r_squared: float  # of both sides together; NaN for a window that is zero throughout
    at_bound: tuple[bool, bool]  # whether tau+, tau- is the shortest or the longest one allowed

    def window(self, delays: Array) -> Array:
        """Return W at delays other than 0, in ms: (D,) -> (D,)."""
        rise = self.a_plus * np.exp(-np.maximum(delays, 0.0) / self.tau_plus)
        fall = -self.a_minus * np.exp(np.minimum(delays, 0.0) / self.tau_minus)
        return np.where(delays > 0, rise, fall)


def r_squared(targets: Array, predictions: Array) -> float:
    """Return the share of the variance of `targets` that `predictions` explain; NaN if there is none."""
    spread = float(np.square(targets - targets.mean()).sum())
    return 1.0 - float(np.square(targets - predictions).sum()) / spread if spread > 1e-24 * len(targets) else math.nan


def fit_window(delays: Array, values: Array) -> WindowFit:
    """Fit an STDP window.

    Given tau, the best A is linear least squares; so each side is a search over tau alone, by grid and then Brent's
    method, independent of any starting point.

    Args:
        delays: t_post - t_pre in ms, (D,); 0 is left out.
        values: Change by a pair beyond that by its spikes alone, (D,).

    Raises:
        ValueError: There are fewer than two delays on a side.
    """
    sides = [(delays > 0), (delays < 0)]
    if min(side.sum() for side in sides) < 2:
        raise ValueError("a window needs at least two delays on each side of 0; raise history_length")
    (a_plus, tau_plus, plus_bound), (a_minus, tau_minus, minus_bound) = (
        _fit_side(np.abs(delays[side]), values[side]) for side in sides
    )
    fit = WindowFit(a_plus, -a_minus, tau_plus, tau_minus, math.nan, (plus_bound, minus_bound))
    used = delays != 0
    return fit._replace(r_squared=r_squared(values[used], fit.window(delays[used])))


def _fit_side(ages: Array, values: Array) -> tuple[float, float, bool]:
    """Return A, tau, and whether tau is at a bound, for A exp(-age / tau)."""
    from scipy.optimize import minimize_scalar  # slow to import, so imported at first use

    low = math.log(SHORTEST * float(np.diff(np.sort(ages)).min()))
    high = math.log(LONGEST * float(ages.max()))

    def left(log_tau: float) -> float:
        shape = np.exp(-ages / math.exp(log_tau))
        return float(np.square(values - _amplitude(shape, values) * shape).sum())

    grid = np.linspace(low, high, GRID)
    best = int(np.argmin([left(log_tau) for log_tau in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)]
    log_tau = float(minimize_scalar(left, bounds=around, method="bounded", options={"xatol": 1e-9}).x)
    shape = np.exp(-ages / math.exp(log_tau))
    at_bound = min(log_tau - low, high - log_tau) < 1e-3
    return _amplitude(shape, values), math.exp(log_tau), at_bound


def _amplitude(shape: Array, values: Array) -> float:
    """Return the least-squares factor from `shape` to `values`."""
    return float(shape @ values) / max(float(shape @ shape), 1e-300)
