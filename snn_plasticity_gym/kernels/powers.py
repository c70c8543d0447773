"""Powers of many numbers at once, in vector instructions, unlike a library's function of one number."""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.tables import Float64

ROOT_HALF = 0x3FE6A09E667F3BCD  # bits of the square root of 1/2, the smallest mantissa here
ONE = 1023 << 52  # bits of 1.0
EXPONENT = 0x7FF << 52  # bits of a number's exponent
LARGE = 2.0**52  # a number between this and its double has the integer in its lowest bits
LARGE_BITS = 0x433 << 52
SHIFT = 1.5 * LARGE  # addition to it rounds to the next integer
LN_2 = math.log(2.0)
MOST = 700.0  # of the logarithm of a power; exp beyond it is out of range


@intrinsic
def _bits_of(context: Any, number: Any) -> Any:
    """Return the bits of a number in double precision as an integer."""
    return types.int64(types.float64), lambda context, builder, signature, arguments: builder.bitcast(
        arguments[0], ir.IntType(64)
    )


@intrinsic
def _number_of(context: Any, bits: Any) -> Any:
    """Return the number in double precision that has these bits."""
    return types.float64(types.int64), lambda context, builder, signature, arguments: builder.bitcast(
        arguments[0], ir.DoubleType()
    )


@inlined()
def powers(bases: Float64, exponent: float, results: Float64, count: int) -> None:
    """Fill the first `count` of `results` (N,) with bases >= 0 (none below 1e-300 but 0) to an exponent >= 0."""
    if exponent == 0.0:
        for k in range(count):
            results[k] = 1.0
    elif exponent == 1.0:
        for k in range(count):
            results[k] = bases[k]
    else:
        _powers(bases, exponent, results, count)


@inlined(fused=True)
def _powers(bases, exponent, results, count):
    """exp(exponent log x), up to 1e-13: x = 2^e m with m near 1, log m by the series of atanh, exp by its own."""
    for k in range(count):
        x = bases[k]
        bits = _bits_of(x)
        raised = bits - ROOT_HALF + ONE
        m = _number_of(bits - (raised & EXPONENT) + ONE)
        e = _number_of(((raised & EXPONENT) >> 52) | LARGE_BITS) - (LARGE + 1023.0)
        s = (m - 1.0) / (m + 1.0)
        z = s * s
        odd = 1 / 21
        odd = odd * z + 1 / 19
        odd = odd * z + 1 / 17
        odd = odd * z + 1 / 15
        odd = odd * z + 1 / 13
        odd = odd * z + 1 / 11
        odd = odd * z + 1 / 9
        odd = odd * z + 1 / 7
        odd = odd * z + 1 / 5
        odd = odd * z + 1 / 3
        y = exponent * (e * LN_2 + 2.0 * (s + s * z * odd))
        y = MOST if y > MOST else y
        y = -MOST if y < -MOST else y
        shifted = y / LN_2 + SHIFT
        r = y - (shifted - SHIFT) * LN_2
        q = 1 / 6227020800
        q = q * r + 1 / 479001600
        q = q * r + 1 / 39916800
        q = q * r + 1 / 3628800
        q = q * r + 1 / 362880
        q = q * r + 1 / 40320
        q = q * r + 1 / 5040
        q = q * r + 1 / 720
        q = q * r + 1 / 120
        q = q * r + 1 / 24
        q = q * r + 1 / 6
        q = q * r + 1 / 2
        q = q * r + 1.0
        q = q * r + 1.0
        power = q * _number_of((_bits_of(shifted) << 52) + ONE)
        results[k] = power if x > 0.0 else x
