"""Where compiled code cannot be kept."""

import numba
import numpy as np
import pytest

from snn_plasticity_gym.kernels.acting import act_heads
from snn_plasticity_gym.kernels.compile import MARK, announce, compiled, forget_stale, prepared, sources
from snn_plasticity_gym.kernels.head_images import show_heads
from snn_plasticity_gym.kernels.weights import push_bits


def test_without_a_place_for_compiled_code_the_function_works_and_a_warning_says_what_it_costs(monkeypatch):
    plain = numba.njit

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return plain(**options)

    with monkeypatch.context() as patched, pytest.warns(RuntimeWarning, match="set NUMBA_CACHE_DIR"):
        patched.setattr(numba, "njit", njit)
        add = compiled()(lambda a, b: a + b)
    assert add(1, 2) == 3


def test_what_was_kept_of_other_sources_is_thrown_away(tmp_path):
    kept, other = tmp_path / "images.show-1.py311.nbi", tmp_path / "notes.txt"
    kept.write_bytes(b"code"), other.write_bytes(b"text")
    (tmp_path / MARK).write_text("of other sources")
    forget_stale(tmp_path)
    assert not kept.exists() and other.exists() and (tmp_path / MARK).read_text() == sources()
    kept.write_bytes(b"code")
    forget_stale.cache_clear()
    forget_stale(tmp_path)
    assert kept.exists()


def test_functions_into_which_others_are_spliced_are_bare():
    for function in (show_heads, act_heads):  # otherwise views of arrays would be released twice
        assert function.targetoptions["_nrt"] is False


def test_compiling_is_announced_once_where_nothing_was_kept(capsys):
    add = compiled()(lambda a, b: a + b)
    announce(add), announce(add)
    assert capsys.readouterr().err == "compiling loops for this machine, which takes a minute or two, once\n"
    announce(push_bits)
    push_bits(np.zeros((1, 1), np.int64), np.ones(1, np.bool_), 3)  # other tests have compiled it, or this one does
    announce.cache_clear()
    capsys.readouterr()
    announce(push_bits)
    assert not capsys.readouterr().err


def test_a_prepared_call_is_the_call():
    @compiled(bare=True)
    def add_up(first, last, numbers, factor, total):
        for place in range(first, last):
            total[0] += factor * numbers[place]

    numbers, total, other = np.arange(5.0), np.zeros(1), np.zeros(1)
    call = prepared(add_up, numbers, 3, total)
    for first, last in ((0, 5), (1, 2), (4, 4)):
        call(first, last), add_up(first, last, numbers, 3, other)
        assert total.tolist() == other.tolist()
    numbers *= 2.0  # it looks at the arrays that it was given
    call(0, 5)
    assert total[0] == other[0] + 60.0
