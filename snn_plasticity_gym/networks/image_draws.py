"""Images of pools drawn at random with their Poisson input spikes: many of several lifetimes in one compiled call.

The numbers are those of a lifetime's NumPy generator, in its order: `integers` for the place in the pool and for the
shift, then `poisson_train`. Compiled code takes the generators' states and advances them itself, without Python's
lock, so that threads can share the lifetimes out.

Axes: S sources, M images, T steps, P places of a pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.types.containers import UniTuple
from numba.extending import intrinsic
from numpy.typing import NDArray

from snn_plasticity_gym.kernels.compile import compiled, inlined
from snn_plasticity_gym.utils.threads import spread

Array = NDArray[Any]

# PCG64 (XSL-RR) of O'Neill (2014), NumPy's default: state <- FACTOR * state + increment, of 128 bits.
FACTOR = 0x2360ED051FC65DA44385DF649FCCF645
LOW = 2**64 - 1


def _halves(number: int) -> tuple[int, int]:
    """Return a number of 128 bits, modulo 2^128, as its upper and its lower 64 bits."""
    return number >> 64 & LOW, number & LOW


HIGH_FACTOR, LOW_FACTOR = map(np.uint64, _halves(FACTOR))
# Of two steps at once: FACTOR^2 * state + (FACTOR + 1) * increment.
HIGH_SQUARE, LOW_SQUARE = map(np.uint64, _halves(FACTOR**2))
HIGH_RAISED, LOW_RAISED = map(np.uint64, _halves(FACTOR + 1))
NOTHING = np.uint64(0)


class ImageSource(NamedTuple):
    """What the images of a lifetime are drawn from."""

    pool: NDArray[np.int64]  # (P,) indices of images
    pictures: NDArray[np.uint8]  # (images, H, W) all there are; H and W are those of all sources
    shift: int  # largest shift of an image across and down, pixels, by random numbers; filled with black
    rng: np.random.Generator  # of PCG64


class ImageDraws(NamedTuple):
    """M images of each source, drawn one after the other, with their input spikes."""

    place: NDArray[np.int64]  # (S, M) in the pool
    start: NDArray[np.int64]  # (S, M, T + 1) start of each step's spikes
    neuron: NDArray[np.int64]  # spiking pixels of all images, ascending within a step


def draw_images(sources: Sequence[ImageSource], count: int, num_steps: int, chance: float) -> ImageDraws:
    """Draw images and their spikes, as `rng.integers` and `poisson_train` do in turn, in `torch.get_num_threads()`.

    Args:
        sources: One or more, each with a generator of its own.
        count: M.
        num_steps: T.
        chance: Spike probability per step of a white pixel.
    """
    count_sources, streams, tables = len(sources), [], []
    states = [source.rng.bit_generator.state for source in sources]
    held = []  # the arrays that are pointed to
    for (pool, pictures, shift, _), state in zip(sources, states, strict=True):
        pool, pictures = np.ascontiguousarray(pool), np.ascontiguousarray(pictures)
        held.append((pool, pictures))
        tables.append((pool.ctypes.data, len(pool), pictures.ctypes.data, shift))
        number, plus = state["state"]["state"], state["state"]["inc"]
        streams.append((number >> 64, number & LOW, plus >> 64, plus & LOW, state["has_uint32"], state["uinteger"]))
    words, addresses = np.array(streams, dtype=np.uint64), np.array(tables, dtype=np.int64)
    place = np.empty((count_sources, count), np.int64)
    start = np.empty((count_sources, count, num_steps + 1), np.int64)
    height, width = sources[0].pictures.shape[1:]
    likelihood = np.float32(chance)
    parts: dict[int, NDArray[np.int64]] = {}  # spikes by the first source

    def work(first: int, last: int) -> None:
        parts[first] = _draw_images(first, last, words, addresses, height, width, num_steps, likelihood, place, start)

    spread(work, count_sources)
    neurons, end = [], 0
    for first in sorted(parts):
        start[first:] += end
        neurons.append(parts[first])
        end = len(parts[first])
    for source, state, (high, low, _, _, waits, waiting) in zip(sources, states, words.tolist(), strict=True):
        moved = {"state": high << 64 | low, "inc": state["state"]["inc"]}
        source.rng.bit_generator.state = {**state, "state": moved, "has_uint32": waits, "uinteger": waiting}
    return ImageDraws(place, start, neurons[0] if len(neurons) == 1 else np.concatenate(neurons))


@compiled()
def _draw_images(
    first: int,
    last: int,
    streams: Array,
    tables: Array,
    height: int,
    width: int,
    num_steps: int,
    chance: Any,
    place: Array,
    start: Array,
) -> Array:
    """Draw images of the sources `first` to `last` - 1 into `place` and `start`; return their spikes.

    Args:
        first: First source.
        last: Last source, exclusive.
        streams: Generators, uint64 (S, 6): state and increment, the upper half of each first, whether the upper half of
            a number waits to be drawn, and that half. They are advanced.
        tables: Address of the pool, its length P, address of the pictures, and shift, int64 (S, 4).
        height: Of a picture.
        width: Of a picture.
        num_steps: T.
        chance: Probability per step of a white pixel, float32.
        place: Output, (S, M).
        start: Output, (S, M, T + 1).
    """
    size, at = height * width, 0
    expected = (size + num_steps) * (last - first) * place.shape[1]  # far more than usual; longer where it is not
    lit, limit = np.empty(size, np.int64), np.empty(size, np.uint32)
    numbers, neuron = np.empty(size + 1, np.uint32), np.empty(expected, np.int64)
    for s in range(first, last):
        stream, pool, num_places, pictures, shift = streams[s], tables[s, 0], tables[s, 1], tables[s, 2], tables[s, 3]
        for m in range(place.shape[1]):
            place[s, m] = _below(num_places, stream, numbers)
            across, down = 0, 0
            if shift > 0:
                across = _below(2 * shift + 1, stream, numbers) - shift
                down = _below(2 * shift + 1, stream, numbers) - shift
            waiting, num_lit = stream[5], 0
            picture = pictures + size * _index_at(pool + 8 * place[s, m])
            for y in range(max(down, 0), height + min(down, 0)):
                for x in range(max(across, 0), width + min(across, 0)):
                    value = _pixel_at(picture + (y - down) * width + x - across)
                    if value != 0:
                        probability = np.float32(value) / np.float32(255.0) * chance
                        lit[num_lit] = y * width + x
                        limit[num_lit] = np.uint32(np.ceil(np.float64(probability) * 2.0**24))
                        num_lit += 1
            start[s, m, 0] = at
            for step in range(num_steps):
                _draw(num_lit, stream, numbers)
                if at + num_lit >= len(neuron):  # one more is needed, since the place after the last is written to
                    longer = np.empty(2 * len(neuron) + num_lit, np.int64)
                    longer[:at] = neuron[:at]
                    neuron = longer
                for k in range(num_lit):
                    neuron[at] = lit[k]
                    at += (numbers[k] >> np.uint32(8)) < limit[k]
                start[s, m, step + 1] = at
            if stream[4] == 0:  # NumPy remembers a half that was drawn, too, and only of those drawn one by one
                stream[5] = waiting
    return neuron[:at]


@inlined()
def _below(count: int, stream: Array, numbers: Array) -> int:
    """Draw a whole number below `count`, at most 2^32: `integers` of NumPy (Lemire 2019, algorithm 5)."""
    if count == 1:
        return 0
    number = np.uint64(count)
    _draw(1, stream, numbers)
    product = np.uint64(numbers[0]) * number
    if product & np.uint64(0xFFFFFFFF) < number:
        least = (np.uint64(0x100000000) - number) % number
        while product & np.uint64(0xFFFFFFFF) < least:
            _draw(1, stream, numbers)
            product = np.uint64(numbers[0]) * number
    return np.int64(product >> np.uint64(32))


@inlined()
def _draw(count: int, stream: Array, numbers: Array) -> None:
    """Draw `count` numbers of 32 bits: halves of what the generator makes, the lower one first.

    Two states are kept, of every other number each, so that a multiplication does not wait for the one before.
    """
    at = 0
    if count > 0 and stream[4] != 0:
        numbers[0], stream[4], at = np.uint32(stream[5]), NOTHING, 1
    if at >= count:
        return
    pairs, high, low, high_plus, low_plus = (count - at) // 2, stream[0], stream[1], stream[2], stream[3]
    high_jump, low_jump = _times_plus(high_plus, low_plus, HIGH_RAISED, LOW_RAISED, NOTHING, NOTHING)
    high_one, low_one = _times_plus(high, low, HIGH_FACTOR, LOW_FACTOR, high_plus, low_plus)
    high_two, low_two = _times_plus(high_one, low_one, HIGH_FACTOR, LOW_FACTOR, high_plus, low_plus)
    for _ in range(pairs // 2):
        one, two = _mixed(high_one, low_one), _mixed(high_two, low_two)
        numbers[at], numbers[at + 1] = np.uint32(one), np.uint32(one >> np.uint64(32))
        numbers[at + 2], numbers[at + 3] = np.uint32(two), np.uint32(two >> np.uint64(32))
        at, high, low = at + 4, high_two, low_two
        high_one, low_one = _times_plus(high_one, low_one, HIGH_SQUARE, LOW_SQUARE, high_jump, low_jump)
        high_two, low_two = _times_plus(high_two, low_two, HIGH_SQUARE, LOW_SQUARE, high_jump, low_jump)
    if pairs % 2 == 1:
        one = _mixed(high_one, low_one)
        numbers[at], numbers[at + 1] = np.uint32(one), np.uint32(one >> np.uint64(32))
        at, high, low, high_one, low_one = at + 2, high_one, low_one, high_two, low_two
    if at < count:
        one = _mixed(high_one, low_one)
        numbers[at], stream[4], stream[5] = np.uint32(one), np.uint64(1), one >> np.uint64(32)
        high, low = high_one, low_one
    stream[0], stream[1] = high, low


@inlined()
def _mixed(high: Any, low: Any) -> Any:
    """Return the number that a state stands for, uint64."""
    turn = high >> np.uint64(58)
    bits = high ^ low
    return bits >> turn | bits << (np.uint64(64) - turn & np.uint64(63))


@intrinsic
def _times_plus(
    context: Any, high: Any, low: Any, high_factor: Any, low_factor: Any, high_plus: Any, low_plus: Any
) -> Any:  # pragma: no cover - runs in the compiler
    """Return number * factor + plus, modulo 2^128; all are given, and returned, as two uint64, the upper half first."""
    word, wide = ir.IntType(64), ir.IntType(128)

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def joined(upper: Any, lower: Any) -> Any:
            return builder.or_(builder.shl(builder.zext(upper, wide), wide(64)), builder.zext(lower, wide))

        number, factor, plus = (joined(*arguments[k : k + 2]) for k in (0, 2, 4))
        total = builder.add(builder.mul(number, factor), plus)
        halves = [builder.trunc(part, word) for part in (builder.lshr(total, wide(64)), total)]
        return context.make_tuple(builder, signature.return_type, halves)

    return UniTuple(types.uint64, 2)(*[types.uint64] * 6), build


def _reader(kind: Any) -> Any:
    """Return a compiled function that reads a number of a type at an address, int64."""

    @intrinsic
    def read(context: Any, address: Any) -> Any:  # pragma: no cover - runs in the compiler
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load(builder.inttoptr(arguments[0], context.get_value_type(kind).as_pointer()))

        return kind(types.int64), build

    return read


_index_at, _pixel_at = _reader(types.int64), _reader(types.uint8)
