"""Third factors of networks that act, against plain loops over payments."""

import itertools

import numpy as np
import pytest
import torch

from snn_plasticity_gym.plasticity.reward_factors import Critic, RewardFactors, Transition

B, N, F = 3, 4, 5
SIZES = {"hidden": 2, "motor": N}


CRITICS = {"mean": None, "inputs": False, "pairs": True}  # what predicts rewards; whether a critic reads pairs


def factors(kind: str, critic: str, window: float = 4.0) -> RewardFactors:
    pairs = CRITICS[critic]
    settings = {"rate": 0.2, "gamma": 0.9, "start": 0.7, "device": torch.device("cpu")}
    one = None if pairs is None else Critic(B, F, **settings, pairs=pairs)
    return RewardFactors(kind, SIZES, "motor", B, window, one, torch.device("cpu"))


def payments(count: int, seed: int = 0):
    """Random payments to random lifetimes."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        rows = np.flatnonzero(rng.random(B) < 0.7)
        phi = rng.random((2, len(rows), F)) * (rng.random((2, len(rows), F)) < 0.6)
        phi[0, :1] = 0.0  # nothing was active: nothing can be learned
        yield Transition(
            torch.from_numpy(rows),
            torch.from_numpy(rng.normal(size=len(rows)).astype(np.float32)),
            torch.from_numpy(rng.random(len(rows)) < 0.3),
            *torch.from_numpy(phi.astype(np.float32)),
            torch.from_numpy(rng.random((len(rows), N)) < 0.5),
        )


class ByHand:
    """One lifetime."""

    def __init__(self, kind: str, critic: str, window: float = 4.0) -> None:
        self.kind, self.critic, self.window = kind, critic != "mean" and kind != "reward", window
        self.pairs = list(itertools.combinations(range(F), 2)) if critic == "pairs" else []
        self.mean, self.count, self.v = 0.0, 0, [0.0] * (F + len(self.pairs))
        self.motor, self.hidden = [0.0] * N, [0.0] * 2

    def features(self, active: list[float]) -> list[float]:
        return active + [active[i] * active[j] for i, j in self.pairs]

    def update(self, payment: Transition, place: int) -> None:
        reward = float(payment.reward[place])
        delta = reward - self.mean if self.count else 0.0
        self.count += 1
        self.mean += (reward - self.mean) / min(self.count, self.window)
        if self.critic:
            now, then = (self.features(phi[place].tolist()) for phi in (payment.before, payment.after))
            value = [0.7 + sum(v * x for v, x in zip(self.v, phi, strict=True)) for phi in (now, then)]
            delta = reward + (0.0 if payment.terminated[place] else 0.9 * value[1]) - value[0]
            norm = sum(x * x for x in now)
            self.v = [v + 0.2 * delta * x / norm if norm else v for v, x in zip(self.v, now, strict=True)]
        self.hidden = [delta] * 2
        acted = payment.acted[place].tolist()
        self.motor = [delta if self.kind != "targeted" or mine else -delta for mine in acted]


@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("kind", ["reward", "rpe", "targeted", "credited"])
def test_factors_are_those_of_plain_loops(kind, critic):
    told, hands = factors(kind, critic), [ByHand(kind, critic) for _ in range(B)]
    for payment in payments(60):
        told.update(payment)
        for place, row in enumerate(payment.rows.tolist()):
            hands[row].update(payment, place)
        for name in SIZES:
            expected = [getattr(hand, name) for hand in hands]
            np.testing.assert_allclose(told.values[name], expected, rtol=1e-4, atol=1e-5)
    assert all(hand.count > 20 for hand in hands) and told.values["motor"].abs().min() > 1e-3


def test_no_factor_tells_nothing():
    told = factors("none", "inputs")
    for payment in payments(3):
        told.update(payment)
    assert told.values == {}


@pytest.mark.parametrize("critic", CRITICS)
def test_an_episode_begins_without_a_factor_and_a_lifetime_without_a_memory(critic):
    told, fresh = factors("rpe", critic), factors("rpe", critic)
    for payment in payments(20):
        told.update(payment)
    told.begin(torch.tensor([0, 2]))
    assert not told.values["motor"][[0, 2]].any() and told.values["motor"][1].all()
    for row in range(B):
        told.start_lifetime(row)
    for payment in payments(20, seed=1):
        told.update(payment)
        fresh.update(payment)
        assert torch.equal(told.values["motor"], fresh.values["motor"])


@pytest.mark.parametrize("critic", CRITICS)
def test_a_state_holds_what_was_expected(critic):
    told, other = factors("targeted", critic), factors("targeted", critic)
    for payment in payments(20):
        told.update(payment)
    other.load_state_dict({name: values.clone() for name, values in told.state_dict().items()})
    for payment in payments(20, seed=1):
        told.update(payment)
        other.update(payment)
    for row in range(B):
        told.begin(torch.tensor([row]))
        other.begin(torch.tensor([row]))
    (last,) = payments(1, seed=2)
    told.update(last)
    other.update(last)
    assert torch.equal(told.values["hidden"], other.values["hidden"])


@pytest.mark.parametrize(("pairs", "least", "most"), [(False, 1.0, 2.0), (True, 0.0, 1e-3)])
def test_only_pairs_can_predict_what_two_observations_pay_together(pairs, least, most):
    """Two one-hot observations of two fields each; equal fields are paid 1, others -1, and the episode ends."""
    critic = Critic(1, 4, rate=0.5, gamma=0.9, start=0.0, device=torch.device("cpu"), pairs=pairs)
    deltas = []
    for number in range(400):
        first, second = number % 2, number // 2 % 2
        phi = torch.zeros(1, 4)
        phi[0, first] = phi[0, 2 + second] = 1.0
        paid = torch.tensor([1.0 if first == second else -1.0])
        end = torch.tensor([True])
        deltas.append(critic(Transition(torch.tensor([0]), paid, end, phi, phi, torch.zeros(1, N, dtype=torch.bool))))
    assert least <= torch.cat(deltas[-4:]).abs().mean() <= most
