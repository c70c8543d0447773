"""What all tests share: one thread, so that tests running side by side do not fight for cores."""

import gc
from collections.abc import Iterator

import loops
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)  # also while tests are collected
settings.register_profile("busy", deadline=None)  # a machine may be busy, or compile a loop at the first example
settings.load_profile("busy")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors of tests are small: threads would only wait for each other, and speed guards measure one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile loops once, where each of several workers would compile them."""
    if getattr(session.config.option, "numprocesses", None) and not hasattr(session.config, "workerinput"):
        loops.compile_all()


def pytest_collection_finish() -> None:
    """Let searches for garbage pass over libraries and collected tests, which stay to the end."""
    gc.collect()
    gc.freeze()
