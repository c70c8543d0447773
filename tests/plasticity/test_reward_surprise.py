"""How much better than usual a reward was: by hand, and the loop against torch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.plasticity.reward_surprise import RewardSurprise

CPU = torch.device("cpu")


def test_the_mean_is_a_plain_one_until_the_window_is_full() -> None:
    surprise, row = RewardSurprise(2, 2.0, CPU), torch.tensor([1])
    seen = [float(surprise(row, torch.tensor([reward]))) for reward in (1.0, 3.0, 4.0)]
    assert seen == pytest.approx([0.0, 2.0, 2.0])  # compared with nothing, with 1, with (1 + 3) / 2
    assert surprise.state_dict()["mean"].tolist() == pytest.approx([0.0, 3.0])  # 2 + (4 - 2) / 2
    surprise.forget(1)
    assert float(surprise(row, torch.tensor([9.0]))) == 0.0


@given(seed=st.integers(0, 2**31), window=st.floats(1.0, 30.0))
def test_the_loop_does_what_torch_does_bit_by_bit(seed: int, window: float) -> None:
    rng = np.random.default_rng(seed)
    looped, operated = (RewardSurprise(5, window, CPU) for _ in range(2))
    for _ in range(20):
        rows = torch.from_numpy(np.sort(rng.permutation(5)[: rng.integers(0, 6)]))
        rewards = torch.from_numpy(rng.standard_normal(len(rows), dtype=np.float32))
        torch.testing.assert_close(looped(rows, rewards), operated.by_operations(rows, rewards), rtol=0, atol=0)
    torch.testing.assert_close(looped.state_dict(), operated.state_dict(), rtol=0, atol=0)
