"""Functions of Python's that compiled loops call.

A loop is handed a function's address, a number; so its machine code is the same whatever it calls, and can be kept.
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
    """A function of Python's with an address, which is good for as long as this lives.

    Args:
        function: Takes an integer and returns a number. It must not raise: there is nobody to raise to.
    """

    def __init__(self, function: Callable[[int], float]) -> None:
        self._kept = _SHAPE(function)
        self.address: int = ctypes.cast(self._kept, ctypes.c_void_p).value or NOWHERE


@intrinsic
def ask(context: Any, address: Any, number: Any) -> Any:
    """Call the function at an address, which takes Python's lock for as long as it needs; return what it says."""
    signature = types.float64(types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = ir.FunctionType(ir.DoubleType(), [ir.IntType(64)])
        return builder.call(builder.inttoptr(arguments[0], function.as_pointer()), [arguments[1]])

    return signature, generate
