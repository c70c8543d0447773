"""Credit of events in episodes that end at different times, against plain loops."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from snn_plasticity_gym.learners.credit import EpisodeRewards, mean_return_to_go, returns_to_go
from snn_plasticity_gym.utils.distributed import World


def episode(lengths: list[int], every: int, seed: int = 0) -> EpisodeRewards:
    """Lifetimes that are paid random rewards every few steps until their own last one."""
    rng = np.random.default_rng(seed)
    steps = np.arange(every, max(lengths) + 1, every)
    step_rewards = rng.normal(size=(len(lengths), len(steps))) * (steps <= np.array(lengths)[:, None])
    step_rewards = torch.from_numpy(step_rewards.astype(np.float32))
    return EpisodeRewards(
        rewards=step_rewards.sum(dim=1),
        fresh=torch.zeros(len(lengths), dtype=torch.bool),
        step_rewards=step_rewards,
        reward_steps=torch.from_numpy(steps),
        length=torch.tensor(lengths),
        event_rewards=None,
    )


def by_hand(pay: EpisodeRewards, later: list[float], gamma: float, step: int, row: int) -> float:
    """What a lifetime earns from a step on; what comes later is paid at its own last step."""
    earned = 0.0
    for reward, when in zip(pay.step_rewards[row].tolist(), pay.reward_steps.tolist(), strict=True):
        if when >= step:
            earned += gamma ** (when - step) * reward
    return earned + gamma ** (int(pay.length[row]) - step) * later[row]


@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("later", [[0.0, 0.0, 0.0, 0.0], [3.0, -1.0, 0.5, 2.0]])
def test_returns_are_those_of_plain_loops(gamma, later):
    pay = episode([6, 12, 3, 12], every=3)
    ahead = returns_to_go(pay, pay.rewards + torch.tensor(later), gamma)
    mean = mean_return_to_go(pay, ahead, gamma, World())
    for place, step in enumerate(pay.reward_steps.tolist()):
        running = [row for row in range(4) if pay.length[row] >= step]
        earned = [by_hand(pay, later, gamma, step, row) for row in running]
        np.testing.assert_allclose(ahead[running, place], earned, rtol=1e-5, atol=1e-5)
        assert mean[place] == pytest.approx(np.mean(earned), rel=1e-4, abs=1e-5)


def test_nothing_is_earned_after_the_end():
    pay = episode([3, 12], every=3)
    ahead = returns_to_go(pay, pay.rewards + 5.0, 0.9)
    assert ahead[0, 1:].tolist() == [0.0] * 3 and ahead[0, 0] == pytest.approx(float(pay.rewards[0]) + 5.0)


def test_an_image_is_paid_at_its_end_number_for_number():
    """One payment: the return is the total itself, the mean that of all lifetimes."""
    pay = episode([10] * 5, every=10)
    total = torch.rand(5) * 3
    ahead = returns_to_go(pay, total, 1.0)
    assert torch.equal(ahead[:, 0], total)
    assert torch.equal(mean_return_to_go(pay, ahead, 1.0, World()), ahead.mean(dim=0))


def test_an_episode_that_does_not_count_is_worth_what_follows():
    pay = episode([3, 6], every=3).without_rewards()
    assert returns_to_go(pay, torch.tensor([1.0, 2.0]), 1.0).tolist() == [[1.0, 0.0], [2.0, 2.0]]


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_processes_whose_episodes_differ_share_their_mean(gamma):
    """Each compares with all lifetimes that go on, though theirs were paid at steps of their own."""
    pays = [episode([6, 12, 3], every=3), episode([4, 20, 16], every=4, seed=1)]
    barrier, held = threading.Barrier(2), [None, None]

    def meet(rank, values):
        held[rank] = values.clone()
        barrier.wait()
        both = [part.clone() for part in held]
        barrier.wait()
        return both

    means = [None, None]

    def run(rank):
        world = SimpleNamespace(
            size=2,
            all_sum=lambda values: sum(meet(rank, values)),
            join=lambda values, dim: torch.cat(meet(rank, values), dim=dim),
        )
        ahead = returns_to_go(pays[rank], pays[rank].rewards, gamma)
        means[rank] = mean_return_to_go(pays[rank], ahead, gamma, world)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    for rank in range(2):
        for place, step in enumerate(pays[rank].reward_steps.tolist()):
            earned = [
                by_hand(pay, [0.0] * 3, gamma, step, row) for pay in pays for row in range(3) if pay.length[row] >= step
            ]
            assert means[rank][place] == pytest.approx(np.mean(earned), rel=1e-4, abs=1e-5)
