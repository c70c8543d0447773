"""Python functions called by compiled loops.

A loop gets a function's address, a number; so its machine code does not depend on the function, and can be cached.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

_SHAPE = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64)
NOWHERE = 0  # an address that is never called


class Foreign:
    """A Python function with an address, valid during the lifetime of this object.

    Args:
        function: Takes an integer and returns a number. It must not raise: loops cannot pass exceptions on.
    """

    def __init__(self, function: Callable[[int], float]) -> None:
        self._kept = _SHAPE(function)
        self.address: int = ctypes.cast(self._kept, ctypes.c_void_p).value or NOWHERE


@intrinsic
def call(context: Any, address: Any, number: Any) -> Any:
    """Call the function at an address, which holds Python's lock meanwhile; return its result."""
    signature = types.float64(types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = ir.FunctionType(ir.DoubleType(), [ir.IntType(64)])
        return builder.call(builder.inttoptr(arguments[0], function.as_pointer()), [arguments[1]])

    return signature, generate
