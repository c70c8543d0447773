"""Loops compiled for the CPU: one call instead of dozens of small torch operations.

A torch operation costs some microseconds however little it works on, and a time step of one network is little work. So
where tensors live on the CPU the inner loops are functions compiled by numba, on NumPy views of the same memory; on
a GPU the torch code runs, which is also what the tests compare them with. Machine code is kept in `__pycache__`
beside the module, or in the folder `NUMBA_CACHE_DIR`, or, where the package lies in a read-only place, in the user's
cache; so a machine compiles once. numba looks at the file of a function alone, and not at those of the functions that
it calls; so the cache is deleted as soon as any file of this folder has changed.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

Function = Callable[..., Any]

FAST_SUMS = {"reassoc", "contract", "nsz"}
MARK = "loops.sha256"  # with the machine code: checksum of its sources


def compiled(fast_sums: bool = False, bare: bool = False) -> Callable[[Function], Function]:
    """Compile a function on its first call.

    Args:
        fast_sums: Floating-point sums may be taken in any order and with fused multiplications, so that they use the
            processor's vectors. Without, results are those of the same steps in torch, bit by bit.
        bare: It allocates no arrays, and calls nothing that does; so arrays need no reference counts.
    """
    return _cached({"fastmath": FAST_SUMS if fast_sums else False, "_nrt": not bare})


def inlined(fast_sums: bool = False, fused: bool = False) -> Callable[[Function], Function]:
    """Inline a function, which allocates no arrays, into the compiled ones that call it; Python cannot call it.

    Where functions are called for every spike with structures of many arrays, passing arguments costs more than the
    work; and half of the time of compiling is for entry points from Python.

    Args:
        fast_sums: As in `compiled`.
        fused: Multiplications may be fused with additions, and everything stays in its order.
    """
    fast = FAST_SUMS if fast_sums else {"contract"} if fused else False
    apart = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return _cached({"fastmath": fast, "_nrt": False, "forceinline": True, **apart})


def spliced() -> Callable[[Function], Function]:
    """Write a large function out in the functions that call it, which must be `bare`: array views pass through it.

    It is then no function of its own, whose machine code nobody needs and which takes as long to compile as theirs.
    """
    return _cached({"inline": "always"})


def _cached(options: dict[str, Any]) -> Callable[[Function], Function]:
    """Return a decorator that compiles a function and caches its machine code."""

    def decorate(function: Function) -> Function:
        every: dict[str, Any] = {"error_model": "numpy", "nogil": True, **options}
        try:
            compiled_function: Function = numba.njit(cache=True, **every)(function)
            forget_stale(Path(compiled_function.stats.cache_path))  # type: ignore[attr-defined]
            return compiled_function
        except RuntimeError:  # numba's "no locator": neither beside the module nor at home can a file be written
            warnings.warn(
                "no folder can be written in which to keep compiled code, so every process compiles anew, which "
                "takes a minute or two; set NUMBA_CACHE_DIR to a folder that can be written",
                RuntimeWarning,
                stacklevel=1,  # one location for all functions, so that it is shown once
            )
            uncached: Function = numba.njit(**every)(function)
            return uncached

    return decorate


def is_kept(function: Function) -> bool:
    """Whether machine code of a function is cached on this machine."""
    stem = f"{function.__module__.rpartition('.')[2]}.{function.__name__}-"  # as numba names its files
    folder = Path(function.stats.cache_path or ".")  # type: ignore[attr-defined]
    return any(folder.glob(f"{stem}*.nbi"))


def prepared(function: Function, *arguments: Any) -> Callable[[int, int], None]:
    """Bind the arguments after `first` and `last` of a compiled function, once for many calls.

    In each call numba looks at the type of every array of every structure, which takes longer than all else that a
    call costs. Here it does so once: arguments are kept with what was compiled for them, so their types stay.
    """
    types = tuple(numba.typeof(argument) for argument in (0, 0, *arguments))
    function.compile(types)  # type: ignore[attr-defined]
    entry: Function = function.get_overload(types)  # type: ignore[attr-defined]
    return lambda first, last: entry(first, last, *arguments)


@functools.cache
def announce(function: Function) -> None:
    """Announce on stderr that a function is being compiled, if no machine code of it is cached."""
    if not is_kept(function):
        print("compiling loops for this machine, which takes a minute or two, once", file=sys.stderr, flush=True)


@functools.cache
def forget_stale(folder: Path) -> None:
    """Delete the machine code cached in a folder if it is of other sources than the present ones."""
    mark, present = folder / MARK, sources()
    try:
        if mark.read_text(encoding="ascii") == present:
            return
    except (OSError, UnicodeDecodeError):  # nothing cached yet, or by an older version
        pass
    for kept in [*folder.glob("*.nbi"), *folder.glob("*.nbc")]:
        kept.unlink(missing_ok=True)
    fresh = mark.with_name(f"{MARK}.{os.getpid()}")
    fresh.write_text(present, encoding="ascii")
    os.replace(fresh, mark)


@functools.cache
def sources() -> str:
    """Return a checksum of all files of this folder."""
    checksum = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        checksum.update(file.name.encode() + file.read_bytes())
    return checksum.hexdigest()
