"""The table against the convolution it stands for."""

import pickle
import time

import pytest
import torch
from grids import grid
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snn_plasticity_gym.networks.spike_history import pack
from snn_plasticity_gym.plasticity.events import LocalState
from snn_plasticity_gym.policies import front as front_module
from snn_plasticity_gym.policies import front_table
from snn_plasticity_gym.policies.front import SpikeFront

KERNEL_SIZES = [(1, 1), (3, 3), (3, 5), (5, 3), (5, 5), (1, 5), (7, 3), (1, 9), (9, 1)]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
GRADIENT_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}
DTYPES = list(TOLERANCE)


def random_front(seed: int, kernel_sizes=(5, 5), dtype=torch.float64, bias=1.0, channels=(16, 32)) -> SpikeFront:
    """A front with random weights and biases of standard deviation `bias`."""
    generator = torch.Generator().manual_seed(seed)
    front = SpikeFront(channels, kernel_sizes).to(dtype)
    with torch.no_grad():
        for name, parameter in front.named_parameters():
            parameter.normal_(0.0, bias if name.endswith("bias") else 0.4, generator=generator)
    return front


def random_pairs(seed: int, length: int, num_histories=20, num_pairs=40, rates=(0.0, 1.0)) -> tuple[Tensor, ...]:
    """Histories, each with a spike rate of its own, and random pairs of them; history 0 is silent, 1 is full."""
    generator = torch.Generator().manual_seed(seed)
    rate = torch.empty(num_histories, 1).uniform_(*rates, generator=generator)
    histories = (torch.rand(num_histories, length, generator=generator) < rate).to(torch.uint8)
    histories[0], histories[1] = 0, 1
    pre, post = torch.randint(num_histories, (2, num_pairs), generator=generator)
    return histories, pre, post


def convolve(front: SpikeFront, histories: Tensor, pre: Tensor, post: Tensor) -> Tensor:
    return front(torch.stack([histories[pre], histories[post]], dim=1))


def largest_error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest value where that is above 1."""
    return ((actual - expected).abs().max() / expected.abs().max().clamp(min=1.0)).item()


cases = given(
    seed=st.integers(0, 2**31),
    length=st.one_of(st.integers(1, 40), st.just(100)),
    kernel_sizes=st.sampled_from(KERNEL_SIZES),
    dtype=st.sampled_from(DTYPES),
    bias=st.sampled_from([0.0, 0.3, 3.0]),
)


@settings(max_examples=30, derandomize=True)
@cases
def test_pairs_equal_the_convolution(seed, length, kernel_sizes, dtype, bias):
    front, pairs = random_front(seed, kernel_sizes, dtype, bias), random_pairs(seed, length)
    with torch.no_grad():
        h = front.pairs(*pairs)
        assert h.dtype == dtype
        assert largest_error(h, convolve(front, *pairs)) < TOLERANCE[dtype]


@settings(max_examples=30, derandomize=True)
@cases
def test_gradients_equal_those_of_the_convolution(seed, length, kernel_sizes, dtype, bias):
    front, pairs = random_front(seed, kernel_sizes, dtype, bias), random_pairs(seed, length)
    functional = torch.randn(40, 32, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    parameters = list(front.parameters())
    expected = torch.autograd.grad((convolve(front, *pairs) * functional).sum(), parameters)
    actual = torch.autograd.grad((front.pairs(*pairs) * functional).sum(), parameters)
    assert len(parameters) == 4
    for a, e in zip(actual, expected, strict=True):
        assert (a - e).abs().max() <= GRADIENT_TOLERANCE[dtype] * e.abs().max()


@pytest.mark.parametrize("kernel_sizes", [(5, 5), (3, 3), (1, 5)])
@pytest.mark.parametrize("length", [3, 20])
def test_the_comparison_would_see_a_wrong_border(monkeypatch, kernel_sizes, length):
    """With the interior's addresses at the borders, too, the convolution is missed by far."""

    def without_borders(kernel_sizes, history_length, device):
        margin = sum(kernel_sizes) // 2
        table = front_table.window_table(kernel_sizes, history_length + 2 * margin, device)
        centre = slice(margin, margin + history_length)
        # Shift 0 and the interior's own numbers, but for the columns behind the end.
        first, shift = torch.zeros_like(table.first), torch.full_like(table.shift, front_table.DEAD)
        first[:history_length], shift[:history_length] = table.first[centre], table.shift[centre]
        return table._replace(first=first, shift=shift, position_taps=table.position_taps[centre])

    front, pairs = random_front(0, kernel_sizes, bias=1.0), random_pairs(0, length)
    assert largest_error(front.pairs(*pairs), convolve(front, *pairs)) < 1e-12
    monkeypatch.setattr(front_module, "window_table", without_borders)
    assert largest_error(front.pairs(*pairs), convolve(front, *pairs)) > 1e-2


def test_one_spike_by_hand():
    """Widths 1: y = relu(w2 relu(w1 . (pre, post) + b1) + b2), averaged over four steps."""
    front = SpikeFront((1, 1), (1, 1))
    with torch.no_grad():
        front.conv1.weight.copy_(torch.tensor([[[2.0], [3.0]]]))
        front.conv1.bias.fill_(1.0)
        front.conv2.weight.fill_(2.0)
        front.conv2.bias.fill_(-3.0)
    histories = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1]], dtype=torch.uint8)
    steps = torch.tensor([0.0, 5.0, 3.0, 9.0])  # nothing: 2 - 3 < 0; post: 8 - 3; pre: 6 - 3; both: 12 - 3
    h = front.pairs(histories, torch.tensor([0]), torch.tensor([1]))
    torch.testing.assert_close(h, steps.mean().view(1, 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", [1, 4, 100])
def test_frozen_equals_pairs_bit_for_bit_and_stays(length, dtype):
    front, pairs = random_front(1, dtype=dtype), random_pairs(1, length)
    frozen = front.frozen(length)
    before = front.pairs(*pairs)
    assert before.requires_grad
    with torch.no_grad():
        for parameter in front.parameters():
            parameter.add_(1.0)
    h = frozen.pairs(*pairs)
    assert not h.requires_grad
    assert torch.equal(h, before)
    assert not torch.allclose(h, front.pairs(*pairs))


def test_frozen_survives_pickling():
    frozen, pairs = random_front(2, (3, 3)).frozen(12), random_pairs(2, 12)
    assert torch.equal(pickle.loads(pickle.dumps(frozen)).pairs(*pairs), frozen.pairs(*pairs))


def both_ways(front: SpikeFront, length: int):
    return [front.pairs, front.frozen(length).pairs]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pair_does_not_depend_on_the_others(dtype):
    """Permuted, or in smaller company, with a smaller table of histories: the same bits."""
    histories, pre, post = random_pairs(3, 50, num_histories=60, num_pairs=300)
    generator = torch.Generator().manual_seed(3)
    order = torch.randperm(300, generator=generator)
    used, few_pre = pre[:5].unique(return_inverse=True)
    for pairs in both_ways(random_front(3, (5, 3), dtype), 50):
        h = pairs(histories, pre, post)
        assert torch.equal(pairs(histories, pre[order], post[order]), h[order])
        assert torch.equal(pairs(histories, pre[order[:7]], post[order[:7]]), h[order[:7]])
        small = torch.cat([histories[used], histories[post[:5]]])
        assert torch.equal(pairs(small, few_pre, len(used) + torch.arange(5)), h[:5])


def test_chunks_leave_the_result_alone(monkeypatch):
    front, pairs = random_front(4, (3, 5)), random_pairs(4, 30, num_histories=50, num_pairs=100)

    def result():
        h = front.pairs(*pairs)
        return h.detach(), torch.autograd.grad(h.square().sum(), list(front.parameters()))

    h, gradients = result()
    monkeypatch.setattr(front_table, "CHUNK", 7)
    h_chunked, gradients_chunked = result()
    assert torch.equal(h, h_chunked)
    torch.testing.assert_close(gradients, gradients_chunked, rtol=1e-12, atol=1e-12)
    assert torch.equal(front.frozen(30).pairs(*pairs), h)


def test_equal_calls_give_equal_bits_and_gradients():
    front, pairs = random_front(5, dtype=torch.float32), random_pairs(5, 100, num_pairs=2000)
    first, second = ([h := front.pairs(*pairs), *torch.autograd.grad(h.sum(), front.parameters())] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_two_uses_in_one_graph_add_their_gradients():
    front = random_front(6, (3, 3))
    short, long = random_pairs(6, 9), random_pairs(7, 31)
    parameters = list(front.parameters())
    together = torch.autograd.grad(front.pairs(*short).sum() + front.pairs(*long).square().sum(), parameters)
    expected = torch.autograd.grad(convolve(front, *short).sum() + convolve(front, *long).square().sum(), parameters)
    torch.testing.assert_close(together, expected, rtol=1e-9, atol=1e-9)


def test_sum_rows_has_right_first_and_second_derivatives():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(6, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    rows = torch.tensor([5, 0, 0, 2, 5, 1], dtype=torch.int32)
    starts = torch.tensor([0, 3, 3, 5], dtype=torch.int32)  # the second sum is empty

    def total(values):
        return front_table.sum_rows(values, front_table.Entries(rows, starts))

    expected = torch.stack([values[5] + 2 * values[0], 0 * values[0], values[2] + values[5], values[1]])
    torch.testing.assert_close(total(values), expected)
    assert torch.autograd.gradcheck(total, values)
    assert torch.autograd.gradgradcheck(total, values)


def test_no_pairs_is_a_normal_call():
    front, (histories, _, _) = random_front(8, (3, 3)), random_pairs(8, 10)
    nobody = torch.empty(0, dtype=torch.int64)
    for table in (histories, histories[:0]):
        for pairs in both_ways(front, 10):
            assert pairs(table, nobody, nobody).shape == (0, 32)
    front.pairs(histories, nobody, nobody).sum().backward()
    assert all(parameter.grad.abs().max() == 0 for parameter in front.parameters())


def test_silent_pairs_share_one_result():
    front, (histories, pre, post) = random_front(9), random_pairs(9, 25)
    histories[2:5] = 0
    expected = front(torch.zeros(1, 2, 25))
    for pairs in both_ways(front, 25):
        h = pairs(histories, torch.tensor([0, 2, 3]), torch.tensor([0, 4, 2]))
        assert torch.equal(h, h[:1].expand(3, -1))
        torch.testing.assert_close(h[:1], expected, rtol=0, atol=1e-12)
    gradients = torch.autograd.grad(front.pairs(histories, pre * 0, post * 0).sum(), front.parameters())
    expected = torch.autograd.grad(40 * front(torch.zeros(1, 2, 25)).sum(), front.parameters())
    torch.testing.assert_close(gradients, expected, rtol=1e-9, atol=1e-9)


def test_bool_histories_are_the_same_bits():
    front, (histories, pre, post) = random_front(10, (3, 3)), random_pairs(10, 17)
    for pairs in both_ways(front, 17):
        assert torch.equal(pairs(histories.bool(), pre, post), pairs(histories, pre, post))


def test_learning_works_after_acting_in_inference_mode():
    """The cached addresses are then inference tensors, which must not be saved for a backward pass as they are."""
    front, pairs = random_front(11, (3, 3)), random_pairs(11, 23)
    front_table.window_table.cache_clear()
    with torch.inference_mode():
        acted = front.frozen(23).pairs(*pairs)
    h = front.pairs(*pairs)
    h.sum().backward()
    assert torch.equal(acted, h)


def test_initial_weights_are_orthogonal_with_gain_sqrt_2():
    front = SpikeFront((8, 32))
    for conv in (front.conv1, front.conv2):
        weight = conv.weight.flatten(1)
        torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(len(weight)), rtol=0, atol=1e-5)
        assert conv.bias.abs().max() == 0
    assert front.out_features == 32


@pytest.mark.parametrize("kernel_sizes", [(4, 5), (5, 2), (0, 5), (-1, 3)])
def test_even_widths_are_refused(kernel_sizes):
    with pytest.raises(ValueError, match=r"must be odd and positive, got \(-?\d, \d\)$"):
        SpikeFront(kernel_sizes=kernel_sizes)


def test_too_large_a_table_is_refused():
    with pytest.raises(ValueError, match=r"k1 \+ k2 - 1 <= 9 .*, got \(7, 5\)$"):
        SpikeFront(kernel_sizes=(7, 5))


def test_wrong_histories_are_refused():
    front, (histories, pre, post) = SpikeFront((2, 2), (3, 3)), random_pairs(12, 10)
    with pytest.raises(ValueError, match=r"must be uint8 or bool .*, got torch.float32 of shape \(20, 10\)"):
        front.pairs(histories.float(), pre, post)
    with pytest.raises(ValueError, match=r"K >= 1, got torch.uint8 of shape \(20, 0\)"):
        front.pairs(histories[:, :0], pre, post)
    with pytest.raises(ValueError, match="must have 11 steps as frozen, got 10"):
        front.frozen(11).pairs(histories, pre, post)
    with pytest.raises(ValueError, match="history_length must be positive, got 0"):
        front.frozen(0)


def test_the_table_is_much_faster_than_the_convolution():
    """It is 20 to 50 times faster, depending on what else the machine does; the least disturbed times are compared."""
    front = random_front(13, dtype=torch.float32)
    histories, pre, post = random_pairs(13, 100, num_histories=1500, num_pairs=1600, rates=(0.0, 0.05))
    frozen = front.frozen(100)

    def least_time(function, repeats):
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            function(histories, pre, post)
            times.append(time.perf_counter() - start)
        return min(times[1:])

    with torch.no_grad():
        slow = least_time(lambda *pairs: convolve(front, *pairs), 6)
    assert slow / least_time(frozen.pairs, 31) > 10


@pytest.mark.parametrize(
    ("kernel_sizes", "dtype", "length"), grid([(5, 5), (1, 1), (3, 5), (1, 9)], DTYPES, [1, 3, 16, 64, 100, 130])
)
def test_the_compiled_loop_adds_up_what_torch_does(kernel_sizes, dtype, length):
    frozen = random_front(3, kernel_sizes, dtype).frozen(length)
    histories, pre, post = random_pairs(4, length)
    state = LocalState(pack(histories), length, pre, post, *[torch.empty(0)] * 5)
    assert largest_error(frozen.of_state(state), frozen.pairs(histories, pre, post)) < TOLERANCE[dtype]
    with pytest.raises(ValueError, match=f"must have {length} steps as frozen, got {length + 1}"):
        frozen.of_state(state._replace(history_length=length + 1))
