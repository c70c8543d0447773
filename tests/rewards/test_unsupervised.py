"""The reward's terms against numbers worked out by hand, and its memory against plain loops."""

import copy
import math
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.config.environments import Unsup1Config
from snn_plasticity_gym.networks.spike_counts import SpikeCounts, count_spikes
from snn_plasticity_gym.rewards.unsupervised import (
    ResponseMemory,
    RewardResult,
    UnsupervisedReward,
    diversity,
    sparsity,
    stability,
)
from snn_plasticity_gym.rewards.winner import NO_WINNER, winner, winner_by_operations

CPU = torch.device("cpu")


def tensor(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows)


# Terms


@pytest.mark.parametrize(
    ("active", "target", "expected"),
    [
        (1, 0.25, 1.0),
        (0, 0.25, 1 - 0.25 / 0.75),
        (2, 0.25, 1 - 0.25 / 0.75),
        (4, 0.25, 0.0),
        (0, 0.75, 0.0),
        (4, 0.75, 1 - 0.25 / 0.75),
        (0, 0.0, 1.0),
        (1, 0.0, 0.75),
        (4, 1.0, 1.0),
        (3, 1.0, 0.75),
        (0, 0.5, 0.0),
        (4, 0.5, 0.0),
    ],
)
def test_sparsity_by_hand(active: int, target: float, expected: float) -> None:
    counts = tensor([5] * active + [0] * (4 - active))  # how often a neuron fired does not count
    assert float(sparsity(counts, target)) == pytest.approx(expected, abs=1e-6)


@given(target=st.floats(0, 1), active=st.integers(0, 7))
def test_sparsity_lies_between_0_and_1(target: float, active: int) -> None:
    value = float(sparsity(tensor([1] * active + [0] * (7 - active)), target))
    assert 0.0 <= value <= 1.0


def test_diversity_by_hand() -> None:
    wins = torch.tensor([[1.0, 1, 1, 1], [0, 3, 0, 0], [2, 2, 0, 0], [0, 0, 0, 0], [0.5, 0.25, 0.25, 0]])
    assert diversity(wins).tolist() == pytest.approx([1.0, 0.0, 0.5, 0.0, 0.75], abs=1e-6)


def test_diversity_lies_between_0_and_1() -> None:
    for size in range(2, 60):
        value = float(diversity(torch.ones(1, size)))
        assert value == pytest.approx(1.0)
        assert value <= 1.0, size


def test_stability_by_hand() -> None:
    counts = tensor([3, 4, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 2, 0], [1, 2, 3])
    before = tensor([6, 8, 0], [0, 5, 0], [1, 0, 0], [1, 2, 3], [0, 0, 0], [1, 2, 3])
    seen = torch.tensor([True] * 5 + [False])
    values = stability(counts, before.to(torch.int16), seen).tolist()
    assert values[:5] == pytest.approx([1.0, 0.0, math.sqrt(0.5), 0.0, 0.0], abs=1e-6)
    assert math.isnan(values[5])


@given(st.lists(st.integers(0, 100), min_size=1, max_size=20))
def test_stability_lies_between_0_and_1(counts: list[int]) -> None:
    value = float(stability(tensor(counts), tensor(counts).to(torch.int16), torch.tensor([True])))
    assert 0.0 <= value <= 1.0


# Memory


def slow_memory(wins: list[int], size: int, window: float) -> list[float]:
    """Winner counts, each weighted by exp(-age / window), its age counted in later wins."""
    wins = [index for index in wins if index != NO_WINNER]
    weights = [0.0] * size
    for place, index in enumerate(wins):
        weights[index] += math.exp(-(len(wins) - 1 - place) / window)
    return weights


@given(
    wins=st.lists(st.lists(st.integers(-1, 3), min_size=2, max_size=2), max_size=30),
    window=st.floats(0.5, 200.0),
)
def test_the_winner_distribution_against_a_loop(wins: list[list[int]], window: float) -> None:
    memory = ResponseMemory(3, 1, 4, window, CPU)
    for pair in wins:
        memory.record(tensor(0, 2), tensor(0, 0), torch.zeros(2, 4), tensor(*pair))
    for row, place in ((0, 0), (2, 1)):
        expected = slow_memory([pair[place] for pair in wins], 4, window)
        assert memory.wins[row].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert not memory.wins[1].any()


def test_a_silent_image_leaves_the_distribution_alone() -> None:
    memory = ResponseMemory(1, 1, 3, 10.0, CPU)
    memory.record(tensor(0), tensor(0), torch.zeros(1, 3), tensor(2))
    before = memory.wins.clone()
    memory.record(tensor(0), tensor(0), torch.zeros(1, 3), tensor(NO_WINNER))
    assert torch.equal(memory.wins, before)


def test_responses_are_kept_by_lifetime_and_image() -> None:
    memory = ResponseMemory(3, 4, 2, 10.0, CPU)
    memory.record(tensor(0, 2), tensor(1, 3), tensor([1, 2], [3, 4]), tensor(1, 1))
    memory.record(tensor(2), tensor(0), tensor([70000, 6]), tensor(0))
    memory.record(tensor(0), tensor(1), tensor([9, 8]), tensor(0))  # the last presentation counts
    assert memory.seen.nonzero().tolist() == [[0, 1], [2, 0], [2, 3]]
    assert memory.responses[0, 1].tolist() == [9, 8]
    assert memory.responses[2, 3].tolist() == [3, 4]
    assert memory.responses[2, 0].tolist() == [32767, 6]  # no overflow


def test_forgetting_empties_the_named_lifetimes() -> None:
    memory = ResponseMemory(3, 2, 2, 10.0, CPU)
    for image in (0, 1):
        memory.record(tensor(0, 1, 2), tensor(image, image, image), torch.ones(3, 2), tensor(0, 1, 0))
    kept = memory.wins[1].clone()
    memory.forget(tensor(0, 2))
    assert not memory.wins[[0, 2]].any() and not memory.seen[[0, 2]].any()
    assert torch.equal(memory.wins[1], kept) and memory.seen[1].all()


# The reward

WEIGHTS = {"c_sparsity": 0.2, "c_diversity": 0.3, "c_stability": 0.7}


def make_reward(num_lifetimes: int = 1, num_images: int = 4, **settings: Any) -> UnsupervisedReward:
    config = Unsup1Config(**{"n_exc": 4, "target_active": 0.25, "winner_window": 10.0, **WEIGHTS, **settings})
    return UnsupervisedReward(config, num_lifetimes, num_images, CPU)


def judge(reward: UnsupervisedReward, image: int, counts: list[int], row: int = 0) -> RewardResult:
    """One episode of one lifetime; the winner is the neuron with most spikes."""
    won = counts.index(max(counts)) if any(counts) else NO_WINNER
    return reward(tensor(row), tensor(image), tensor(counts), tensor(won))


def terms(result: RewardResult) -> list[float]:
    assert list(result.terms) == ["sparsity", "diversity", "stability"]
    return [float(value) for value in result.terms.values()]


def entropy(*weights: float) -> float:
    """Of a distribution over four neurons, in units of log 4."""
    total = sum(weights)
    return -sum(w / total * math.log(w / total) for w in weights if w) / math.log(4)


def test_three_presentations_by_hand() -> None:
    reward, decay = make_reward(), math.exp(-1 / 10)

    first = judge(reward, 2, [3, 4, 0, 0])  # half of the neurons; neuron 1 wins
    assert terms(first)[:2] == pytest.approx([2 / 3, 0.0], abs=1e-6)
    assert math.isnan(terms(first)[2])
    # The sum of weights stays 1.2: sparsity and diversity share the 0.7 of stability as 2 to 3.
    assert float(first.reward) == pytest.approx(1.2 * 0.4 * 2 / 3)

    second = judge(reward, 0, [5, 0, 0, 0])  # another image; neuron 0 wins, and this win counts
    diverse = entropy(1.0, decay)
    assert terms(second)[:2] == pytest.approx([1.0, diverse])
    assert math.isnan(terms(second)[2])
    assert float(second.reward) == pytest.approx(1.2 * (0.4 * 1.0 + 0.6 * diverse))

    third = judge(reward, 2, [4, 3, 0, 0])  # the first image again; neuron 0 wins again
    diverse = entropy(1.0 + decay, decay**2)
    assert terms(third) == pytest.approx([2 / 3, diverse, 24 / 25])
    assert float(third.reward) == pytest.approx(0.2 * 2 / 3 + 0.3 * diverse + 0.7 * 24 / 25)


def test_product_by_hand() -> None:
    reward, decay = make_reward(reward_form="product"), math.exp(-1 / 10)
    judge(reward, 1, [5, 0, 0, 0])
    first = judge(reward, 2, [3, 4, 0, 0])
    diverse = entropy(1.0, decay)
    assert float(first.reward) == pytest.approx(1.2 * (2 / 3) ** 0.4 * diverse**0.6)
    again = judge(reward, 2, [4, 3, 0, 0])
    diverse = entropy(1.0 + decay**2, decay)
    expected = 1.2 * (2 / 3) ** (0.2 / 1.2) * diverse ** (0.3 / 1.2) * (24 / 25) ** (0.7 / 1.2)
    assert float(again.reward) == pytest.approx(expected)


def test_a_product_is_zero_as_soon_as_one_term_is() -> None:
    reward = make_reward(reward_form="product")
    assert float(judge(reward, 0, [5, 0, 0, 0]).reward) == 0.0  # one winner so far: no diversity


def test_a_term_without_weight_does_not_count() -> None:
    for form in ("sum", "product"):
        reward = make_reward(reward_form=form, c_diversity=0.0)
        assert float(judge(reward, 0, [5, 0, 0, 0]).reward) == pytest.approx(0.9)  # sparsity 1, diversity 0


@pytest.mark.parametrize("form", ["sum", "product"])
def test_the_best_response_is_worth_the_sum_of_weights(form: str) -> None:
    reward = make_reward(reward_form=form, winner_window=1e6)
    for _ in range(2):
        for image in range(4):
            counts = [0, 0, 0, 0]
            counts[image] = 3
            result = judge(reward, image, counts)
    assert terms(result) == pytest.approx([1.0, 1.0, 1.0], abs=1e-5)
    assert float(result.reward) == pytest.approx(1.2, rel=1e-5)


@pytest.mark.parametrize("form", ["sum", "product"])
@pytest.mark.parametrize("target", [0.02, 0.16, 0.29, 0.41, 0.42, 0.58, 0.9])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_reward_is_always_a_number(form: str, target: float, share: float) -> None:
    """Of terms that are zero but for rounding, too: a power of a negative number would be NaN."""
    reward = make_reward(reward_form=form, target_active=target, n_exc=400)
    for _ in range(2):
        result = judge(reward, 0, [int(share)] * 400)
        assert 0.0 <= float(result.reward) <= 1.2 + 1e-6


def pairwise_information(shown: list[tuple[int, int, float]], neurons: int) -> float:
    """Log of how much oftener two presentations agree if their image is the same; pair by pair, over log neurons.

    `shown` holds image, winner (`neurons`: silence) and weight of each presentation.
    """
    pairs, agreements = {True: 0.0, False: 0.0}, {True: 0.0, False: 0.0}
    for place, (image, won, weight) in enumerate(shown):
        for other_image, other_won, other_weight in shown[:place]:
            same_image = image == other_image
            pairs[same_image] += weight * other_weight
            if won == other_won and not (same_image and won == neurons):
                agreements[same_image] += weight * other_weight
    if not pairs[True] or not pairs[False]:
        return 0.0
    ratio = max(agreements[True] / pairs[True], 1e-9) / max(agreements[False] / pairs[False], 1e-9)
    return min(max(math.log(ratio) / math.log(neurons), 0.0), 1.0)


def test_information_is_counted_over_all_pairs_of_presentations() -> None:
    rng, decay = np.random.default_rng(5), math.exp(-1 / 10)
    reward = make_reward(reward_form="information")
    shown: list[tuple[int, int]] = []
    between = 0
    for number in range(40):
        image = int(rng.integers(4))
        counts = [0, 0, 0, 0]
        if rng.random() < 0.85:
            counts[int(rng.integers(4)) if rng.random() < 0.4 else image % 3] = 2
        result = judge(reward, image, counts)
        shown.append((image, counts.index(2) if any(counts) else 4))
        weighed = [(i, w, decay ** (number - place)) for place, (i, w) in enumerate(shown)]
        expected = pairwise_information(weighed, 4)
        assert float(result.terms["information"]) == pytest.approx(expected, abs=1e-4)
        assert float(result.reward) == pytest.approx(1.2 * expected, abs=1e-4)
        between += 0.05 < expected < 0.95
    assert between > 20  # or the test shows nothing
    reward.memory.forget(tensor(0))
    assert float(judge(reward, 0, [1, 0, 0, 0]).reward) == 0.0


@pytest.mark.parametrize(
    ("winners", "worth"),
    [
        ([0, 1, 2, 3], 1.0),  # each image its own neuron
        ([2, 2, 2, 2], 0.0),  # one neuron wins everything, which stability takes for perfect
        ([0, 0, 1, 1], math.log(3) / math.log(4)),  # of the 3 other images 1 has the same winner
        ([4, 4, 4, 4], 0.0),  # nobody ever answers
        ([4, 4, 4, 1], 0.0),  # nearly nobody
    ],
)
def test_information_of_plain_cases(winners: list[int], worth: float) -> None:
    reward = make_reward(reward_form="information", winner_window=1e6)
    for _ in range(3):
        for image, won in enumerate(winners):
            result = judge(reward, image, [3 * (neuron == won) for neuron in range(4)])
    assert float(result.terms["information"]) == pytest.approx(worth, abs=1e-3)


@pytest.mark.parametrize("window", [3.0, 100.0, 1000.0])
def test_images_that_never_came_again_tell_nothing(window: float) -> None:
    """Weights that fade leave no pair of presentations by rounding."""
    reward = make_reward(num_images=30, reward_form="information", winner_window=window)
    for image in range(30):
        assert float(judge(reward, image, [int(image % 4 == neuron) for neuron in range(4)]).reward) == 0.0


def test_a_lifetime_that_begins_anew_knows_nothing_of_images() -> None:
    """Whatever its predecessor has answered; the lifetime beside it goes on."""
    used, fresh = (make_reward(2, num_images=6, reward_form="information", winner_window=50.0) for _ in range(2))
    rng, told = np.random.default_rng(4), []
    for number in range(60):
        if number == 30:
            used.memory.forget(0)
        image, won = int(rng.integers(6)), int(rng.integers(4)) if rng.random() < 0.3 else number % 4
        counts = [int(won == neuron) for neuron in range(4)]
        other = float(judge(used, image, counts, row=1).reward)
        own = float(judge(used, image, counts, row=0).reward)
        if number >= 30:
            assert own == float(judge(fresh, image, counts, row=0).reward)
            told.append((own, other))
    assert max(own for own, _ in told) > 0 and any(own != other for own, other in told)


@pytest.mark.parametrize("before", [0, 3, 40])
def test_what_is_known_of_images_can_be_saved(before: int) -> None:
    """By a reward that has seen as many images, fewer or more."""
    rng = np.random.default_rng(2)

    def live(reward: UnsupervisedReward, images: int) -> list[float]:
        shown = [(image, (image + (rng.random() < 0.3)) % 4) for image in rng.integers(60, size=images).tolist()]
        return [float(judge(reward, image, [int(won == neuron) for neuron in range(4)]).reward) for image, won in shown]

    one, other = (make_reward(num_images=60, reward_form="information", winner_window=1e3) for _ in range(2))
    live(one, 30)
    live(other, before)
    other.memory.load_state_dict(copy.deepcopy(one.memory.state_dict()))
    state = rng.bit_generator.state
    told = live(one, 60)
    rng.bit_generator.state = state
    assert live(other, 60) == told and max(told) > 0


def test_winners_at_random_tell_nothing_however_little_is_known_of_them() -> None:
    """Entropies of Shannon's kind, estimated by shares, called half of all there is to know known."""
    rng, found = np.random.default_rng(1), []
    for _ in range(100):
        reward = make_reward(reward_form="information", winner_window=1e6)
        for number in range(12):
            won = int(rng.integers(4))
            result = judge(reward, number % 4, [3 * (neuron == won) for neuron in range(4)])
        found.append(float(result.terms["information"]))
    assert float(np.median(found)) < 0.1


def test_lifetimes_are_judged_apart() -> None:
    """Three lifetimes in one reward give what each gives alone, whatever the order of the calls."""
    rng = np.random.default_rng(0)
    together, alone = make_reward(num_lifetimes=3), [make_reward() for _ in range(3)]
    for _ in range(30):
        rows = np.flatnonzero(rng.random(3) < 0.7).tolist() or [1]
        images = rng.integers(4, size=len(rows))
        counts = rng.poisson(0.8, (len(rows), 4))
        winners = [int(c.argmax()) if c.any() else NO_WINNER for c in counts]
        got = together(torch.tensor(rows), torch.from_numpy(images), torch.from_numpy(counts), torch.tensor(winners))
        assert got.reward.shape == (len(rows),)
        for place, row in enumerate(rows):
            one = judge(alone[row], int(images[place]), counts[place].tolist())
            assert float(got.reward[place]) == pytest.approx(float(one.reward), rel=1e-6)
            assert [float(v[place]) for v in got.terms.values()] == pytest.approx(terms(one), nan_ok=True, rel=1e-6)


def test_a_new_lifetime_is_judged_as_the_first_was() -> None:
    reward = make_reward(num_lifetimes=2)
    episodes = [(0, [1, 0, 2, 0]), (1, [0, 3, 0, 0]), (0, [2, 0, 1, 1]), (1, [0, 0, 0, 0])]
    first = [judge(reward, image, counts, row=1) for image, counts in episodes]
    reward.memory.forget(tensor(1))
    again = [judge(reward, image, counts, row=1) for image, counts in episodes]
    for one, other in zip(first, again, strict=True):
        assert float(one.reward) == float(other.reward)
        assert terms(one) == pytest.approx(terms(other), nan_ok=True)


def test_counts_are_left_as_they_were() -> None:
    counts, reward = tensor([1, 2, 0, 0]), make_reward()
    reward(tensor(0), tensor(0), counts, tensor(1))
    assert counts.tolist() == [[1, 2, 0, 0]]


# Credit by neuron


@pytest.mark.parametrize("form", ["sum", "product"])
def test_a_neuron_is_worth_what_is_lost_without_it(form: str) -> None:
    """Against judging the same image again and again, each time with another neuron silent."""
    rng = np.random.default_rng(3)
    reward = make_reward(num_lifetimes=2, reward_form=form, n_exc=6, target_active=0.3)
    rows, differing = tensor(0, 1), 0
    for _ in range(40):
        raster = torch.from_numpy(rng.random((2, 5, 6)) < rng.choice([0.0, 0.1, 0.4]))
        places = torch.from_numpy(rng.integers(0, 3, 2))
        spikes = count_spikes(raster)
        shares = reward.by_neuron(rows, places, spikes, winner(spikes))
        expected = []
        for silent in range(6):
            part = raster.clone()
            part[:, :, silent] = False
            rest = count_spikes(part)
            expected.append(copy.deepcopy(reward)(rows, places, rest.counts, winner(rest)).reward)
        whole = reward(rows, places, spikes.counts, winner(spikes)).reward
        torch.testing.assert_close(shares, whole.unsqueeze(1) - torch.stack(expected, dim=1), atol=1e-6, rtol=1e-5)
        assert not shares[spikes.counts == 0].any()
        differing += int((shares.abs() > 1e-3).sum())
    assert differing > 100


@given(
    counts=st.lists(st.lists(st.integers(0, 4), min_size=5, max_size=5), min_size=8, max_size=8),
    images=st.lists(st.integers(0, 2), min_size=8, max_size=8),
    form=st.sampled_from(["sum", "product", "information"]),
    weights=st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 3).filter(lambda c: c[0] + c[1] > 0),
)
@mock.patch("snn_plasticity_gym.rewards.information.FIRST_ROOM", 1)  # so that room for images grows, twice
def test_the_compiled_judge_says_what_torch_says(counts, images, form, weights):
    """Two lifetimes that are shown four images each; rewards, terms and what is remembered."""
    sparse, diverse, stable = weights
    config = Unsup1Config(
        n_exc=5, reward_form=form, c_sparsity=sparse, c_diversity=diverse, c_stability=stable, dataset="digits"
    )
    loop, torch_way = (UnsupervisedReward(config, 2, 3, torch.device("cpu")) for _ in range(2))
    for place in range(0, 8, 2):
        rows, shown = torch.arange(2), torch.tensor(images[place : place + 2])
        fired = SpikeCounts(
            *(torch.tensor(part) for part in (counts[place : place + 2], counts[place : place + 2][::-1]))
        )
        won = winner(fired)
        assert torch.equal(won, winner_by_operations(fired))
        one = loop(rows, shown, fired.counts, won)
        other = torch_way.by_operations(rows, shown, fired.counts, won)
        torch.testing.assert_close(one.reward, other.reward, rtol=1e-5, atol=2e-6, equal_nan=True)
        for name, term in other.terms.items():
            torch.testing.assert_close(one.terms[name], term, rtol=1e-5, atol=2e-6, equal_nan=True)
        torch.testing.assert_close(loop.memory.state_dict(), torch_way.memory.state_dict())
