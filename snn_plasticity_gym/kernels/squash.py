"""tanh of many numbers at once, in vector instructions."""

from __future__ import annotations

import numpy as np

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.tables import Float32

LIMIT = np.float32(9.0)  # beyond it tanh is 1 in single precision
# tanh(x) / x as a quotient of polynomials of s = (x / 9)^2, the coefficients of s^0 first: a least-squares fit whose
# weights were increased where the relative error was largest, until it was 1.3e-9 everywhere.
ABOVE = (0.999999999, 11.081497, 25.3878749, 14.8970399, 1.31906979, -0.0427005365)
BELOW = (1.0, 38.081496, 178.788399, 209.42613, 55.4890192)
A0, A1, A2, A3, A4, A5 = (np.float32(number) for number in ABOVE)
B0, B1, B2, B3, B4 = (np.float32(number) for number in BELOW)


@inlined()
def squash(values: Float32, count: int) -> None:
    """Replace the first `count` of `values` (N,) by their tanh, up to rounding (4e-7)."""
    one, scale = np.float32(1.0), np.float32(1.0) / (LIMIT * LIMIT)
    for k in range(count):
        x = values[k]
        x = LIMIT if x > LIMIT else x
        x = -LIMIT if x < -LIMIT else x
        s = x * x * scale
        above = ((((A5 * s + A4) * s + A3) * s + A2) * s + A1) * s + A0
        below = (((B4 * s + B3) * s + B2) * s + B1) * s + B0
        y = x * above / below
        y = one if y > one else y
        values[k] = -one if y < -one else y
