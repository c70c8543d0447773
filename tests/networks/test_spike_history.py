"""Bit windows against a plain list of past spikes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.networks.spike_history import SpikeHistories, empty_windows, pack, push, unpack

BORDERS = [1, 2, 16, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 191, 192, 193, 200]


def words(bits: list[int]) -> list[int]:
    """Pack one window, oldest step first, into signed 64-bit words: bit a of the whole is the step a steps ago."""
    whole = sum(bit << age for age, bit in enumerate(reversed(bits)))
    parts = [(whole >> (64 * word)) & (2**64 - 1) for word in range(-(-len(bits) // 64))]
    return [part - 2**64 if part >= 2**63 else part for part in parts]


def random_spikes(seed: int, steps: int, size: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.random((steps, size)) < rng.random(size))


def check_against_a_list(length: int, steps: int, seed: int) -> None:
    spikes = random_spikes(seed, steps, 3)
    windows = empty_windows(3, length=length)
    past: list[list[int]] = [[0] * length for _ in range(3)]
    for now in spikes:
        windows = push(windows, now, length)
        for neuron, spike in enumerate(now.tolist()):
            past[neuron] = [*past[neuron], int(spike)][-length:]
        assert windows.tolist() == [words(bits) for bits in past]
    assert unpack(windows, length).tolist() == past


@pytest.mark.parametrize("length", BORDERS)
def test_windows_hold_the_last_steps(length: int) -> None:
    check_against_a_list(length, steps=2 * length + 70, seed=length)


@given(length=st.integers(1, 200), steps=st.integers(0, 260), seed=st.integers(0, 2**31))
def test_windows_of_any_length_after_any_number_of_steps(length: int, steps: int, seed: int) -> None:
    check_against_a_list(length, steps, seed)


@pytest.mark.parametrize(
    "length", [pytest.param(n, marks=[] if n in BORDERS else pytest.mark.slow) for n in range(1, 201)]
)
def test_a_spike_moves_from_the_newest_to_the_oldest_place_and_falls_out(length: int) -> None:
    windows = push(empty_windows(1, length=length), torch.tensor([True]), length)
    silence = torch.tensor([False])
    for age in range(length):
        expected = [0] * length
        expected[length - 1 - age] = 1
        assert unpack(windows, length).tolist() == [expected]
        windows = push(windows, silence, length)
    assert not windows.any()  # no bit is left anywhere: a silent neuron is recognised by its words


def test_oldest_step_first() -> None:
    windows = empty_windows(1, length=4)
    for spike in (True, False, False, True, True):
        push(windows, torch.tensor([spike]), 4)
    assert unpack(windows, 4).tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize(("length", "count"), [(1, 1), (63, 1), (64, 1), (65, 2), (128, 2), (129, 3), (200, 4)])
def test_empty_windows_are_silent_words(length: int, count: int) -> None:
    windows = empty_windows(2, 3, length=length)
    assert windows.shape == (2, 3, count)
    assert windows.dtype == torch.int64
    assert not windows.any()
    assert unpack(windows, length).shape == (2, 3, length)


@pytest.mark.parametrize("length", BORDERS)
def test_pack_is_the_inverse_of_unpack(length: int) -> None:
    bits = random_spikes(length, length, 6).T.reshape(2, 3, length).to(torch.uint8)
    bits[0, 0], bits[1, 2] = 0, 1
    packed = pack(bits)
    assert packed.dtype == torch.int64
    assert packed.flatten(0, 1).tolist() == [words(row) for row in bits.flatten(0, 1).tolist()]
    assert torch.equal(unpack(packed, length), bits)
    assert unpack(packed, length).dtype == torch.uint8
    assert torch.equal(pack(unpack(packed, length)), packed)


@pytest.mark.parametrize("length", [5, 64, 130])
def test_push_works_in_place_on_any_shape_and_on_views(length: int) -> None:
    whole = pack(random_spikes(1, length, 4).T)  # (4, W)
    before = unpack(whole, length)
    view = whole[1:3].unsqueeze(0)  # (1, 2, W)
    returned = push(view, torch.tensor([[True, False]]), length)
    assert returned.data_ptr() == view.data_ptr()
    after = unpack(whole, length)
    assert torch.equal(after[[0, 3]], before[[0, 3]])
    for row, bit in ((1, 1), (2, 0)):
        assert after[row].tolist() == [*before[row, 1:].tolist(), bit]


def test_push_leaves_the_spikes_as_they_were() -> None:
    spikes = torch.tensor([True, False])
    push(empty_windows(2, length=3), spikes, 3)
    assert spikes.tolist() == [True, False]


def test_empty_populations_and_calls() -> None:
    windows = push(empty_windows(0, 5, length=70), torch.zeros(0, 5, dtype=torch.bool), 70)
    assert unpack(windows, 70).shape == (0, 5, 70)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 128, 130])
def test_the_compiled_push_is_that_of_torch(length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    fast, slow = empty_windows(3, 5, length=length), empty_windows(5, 3, length=length).transpose(0, 1)
    assert fast.is_contiguous() and not slow.is_contiguous()  # the one goes through the loop, the other through torch
    for _ in range(2 * length + 3):
        spikes = torch.rand(3, 5, generator=generator) < 0.5
        assert torch.equal(push(fast, spikes, length), push(slow, spikes, length))


@pytest.mark.parametrize("rows", [None, [0, 2]])
def test_histories_of_some_networks_move_on_and_the_others_stand_still(rows):
    histories = SpikeHistories({"a": 3, "b": 2}, 3, length=5, device=torch.device("cpu"))
    generator, moving = torch.Generator().manual_seed(0), [0, 1, 2] if rows is None else rows
    index = None if rows is None else torch.tensor(rows)
    seen = {"a": torch.zeros(3, 3, 0, dtype=torch.uint8), "b": torch.zeros(3, 2, 0, dtype=torch.uint8)}  # (B, N, steps)
    for _ in range(7):
        spikes = {
            name: torch.rand(len(moving), bits.shape[1], generator=generator) < 0.5 for name, bits in seen.items()
        }
        moved = histories.push(spikes, index)
        for name, bits in seen.items():
            new = torch.zeros(3, bits.shape[1], 1, dtype=torch.uint8)
            new[moving, :, 0] = spikes[name].to(torch.uint8)
            seen[name] = torch.cat([bits, new], dim=2)
            assert torch.equal(moved[name], histories.windows[name][moving])
            last = torch.nn.functional.pad(seen[name], (5, 0))[:, :, -5:]
            assert torch.equal(unpack(histories.windows[name], 5), last)
    histories.forget([1, 2])
    assert histories.windows["a"][0].any() and not histories.windows["a"][1:].any()
