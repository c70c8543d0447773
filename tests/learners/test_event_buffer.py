"""The event buffer against plain lists."""

import math

import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import paid_at_end

from snn_plasticity_gym.config.learning import EventOptions
from snn_plasticity_gym.learners.event_buffer import EventRolloutBuffer
from snn_plasticity_gym.networks.spike_history import pack, unpack
from snn_plasticity_gym.plasticity.events import SynapseEvents

K = 6
SPACE = spaces.Dict({"history": spaces.Box(0, 1, (4, 2, K))})


def buffer(num_envs: int, events_per_episode: int, gamma: float = 1.0, seed: int = 0, **credit) -> EventRolloutBuffer:
    options = EventOptions(events_per_episode=events_per_episode, **credit)
    return EventRolloutBuffer(9, SPACE, SPACE, "cpu", gamma=gamma, n_envs=num_envs, options=options, seed=seed)


def random_events(lengths: list[int], generator: torch.Generator) -> SynapseEvents:
    total = sum(lengths)
    bits = (torch.rand(7, K, generator=generator) < 0.4).to(torch.uint8)
    return SynapseEvents(
        histories=pack(bits),
        pair_pre=torch.randint(7, (5,), generator=generator),
        pair_post=torch.randint(7, (5,), generator=generator),
        pair=torch.randint(5, (total,), generator=generator),
        synapse=torch.arange(total),
        weight=torch.rand(total, generator=generator),
        projection=torch.zeros(total, dtype=torch.int64),
        group=torch.randint(2, (total,), generator=generator),
        kind=torch.randint(3, (total,), generator=generator).to(torch.uint8),
        extras=torch.empty(total, 0),
        lengths=torch.tensor(lengths),
        history_length=K,
    )


def rows_of(state, actions, log_probs, returns):
    """Everything known about each event, as a sorted list of tuples."""
    bits = unpack(state.histories, K)
    pre, post = bits[state.pair_pre[state.pair]].tolist(), bits[state.pair_post[state.pair]].tolist()
    columns = (state.weight, state.group, state.kind, actions, log_probs, returns)
    return sorted(zip(map(tuple, pre), map(tuple, post), *(c.tolist() for c in columns), strict=True))


@settings(max_examples=30)
@given(
    steps=st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=6),
    gamma=st.sampled_from([1.0, 0.5]),
)
def test_without_sampling_every_event_stands_in_the_buffer_with_its_own_return(steps, gamma):
    generator = torch.Generator().manual_seed(0)
    rewards = torch.tensor([1.0, -2.0, 3.0])
    held, expected = buffer(3, events_per_episode=0, gamma=gamma), []
    for time, lengths in enumerate(steps, start=1):
        events = random_events(lengths, generator)
        actions, log_probs = torch.rand(2, sum(lengths), generator=generator)
        held.add(events, actions, log_probs, time)
        lifetime = torch.tensor([b for b, length in enumerate(lengths) for _ in range(length)], dtype=torch.int64)
        returns = rewards[lifetime] * gamma ** (len(steps) - time)
        expected += rows_of(events.local_state(), actions, log_probs, returns)
    held.end_episode(paid_at_end(rewards, len(steps)))
    assert len(held) == sum(map(sum, steps))
    if len(held):
        samples = held.samples()
        assert rows_of(samples.state, samples.actions, samples.log_probs, samples.returns) == sorted(expected)
        assert len(samples.state.pair_pre) <= len(held)  # tables hold only what is pointed to
    else:
        with pytest.raises(ValueError, match="no event"):
            held.samples()


def test_the_sample_is_uniform_over_the_events_of_each_lifetime():
    """Event e of a lifetime carries the action e: count how often each one is kept."""
    generator = torch.Generator().manual_seed(0)
    kept, trials, k = torch.zeros(2, 60), 600, 5
    for trial in range(trials):
        held = buffer(2, events_per_episode=k, seed=trial)
        for time in range(6):
            lengths = [10, 4]
            number = torch.cat([torch.arange(10) + 10 * time, torch.arange(4) + 4 * time]).float()
            held.add(random_events(lengths, generator), number, torch.tensor([0.0] * 10 + [1.0] * 4), time + 1)
        held.end_episode(paid_at_end(torch.zeros(2), 6))
        samples = held.samples()
        for lifetime in (0, 1):
            mine = samples.actions[samples.log_probs == lifetime].long()
            assert len(mine) == len(set(mine.tolist())) == k
            kept[lifetime, mine] += 1
    for lifetime, count in ((0, 60), (1, 24)):
        share = k / count
        bound = 5 * math.sqrt(trials * share * (1 - share))  # five standard deviations
        assert (kept[lifetime, :count] - trials * share).abs().max() < bound
        assert not kept[lifetime, count:].any()


def test_short_episodes_are_kept_whole_and_long_ones_stay_within_the_limit():
    generator = torch.Generator().manual_seed(0)
    held = buffer(3, events_per_episode=8)
    for time in range(1, 40):
        lengths = [20, 0, int(time == 7) * 3]
        held.add(random_events(lengths, generator), torch.zeros(sum(lengths)), torch.zeros(sum(lengths)), time)
        assert held._held <= 4 * 8 * 3 + sum(lengths)  # memory does not grow with the episode
    held.end_episode(paid_at_end(torch.tensor([1.0, 2.0, 3.0]), 39))
    returns = held.samples().returns.tolist()
    assert sorted(returns) == [1.0] * 8 + [3.0] * 3


def test_reset_forgets_and_the_seed_fixes_the_sample():
    def sample(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(3)
        held = buffer(1, events_per_episode=4, seed=seed)
        held.add(random_events([30], generator), torch.arange(30.0), torch.zeros(30), 1)
        held.end_episode(paid_at_end(torch.ones(1), 1))
        actions = held.samples().actions
        held.reset()
        assert len(held) == 0
        return actions

    assert torch.equal(sample(0), sample(0))
    assert not torch.equal(sample(0), sample(1))


@pytest.mark.parametrize("events_per_episode", [0, 6])
def test_rewards_of_events_come_by_call_also_where_a_time_step_has_two(events_per_episode):
    """Event e of call c carries the action 100 c + e, and is paid the same."""
    generator = torch.Generator().manual_seed(0)
    held, paid = buffer(2, events_per_episode), []
    for call, lengths in enumerate([[3, 2], [0, 4], [0, 0], [5, 1], [2, 2], [1, 0]]):
        number = 100.0 * call + torch.arange(sum(lengths))
        held.add(random_events(lengths, generator), number, torch.zeros(sum(lengths)), time=1 + call // 2)
        paid.append(number)
    held.end_episode(paid_at_end(torch.zeros(2), 3, paid))
    samples = held.samples()
    assert torch.equal(samples.returns, samples.actions)
    assert len(samples.returns) == (20 if events_per_episode == 0 else 12)
    first_call = samples.actions[samples.step == samples.step.min()]
    assert set(first_call.tolist()) <= {0.0, 1.0, 2.0}  # of the first lifetime, in the first time step


def test_missing_rewards_of_events_are_noticed():
    generator = torch.Generator().manual_seed(0)
    held = buffer(1, events_per_episode=0)
    held.add(random_events([4], generator), torch.zeros(4), torch.zeros(4), 1)
    with pytest.raises(AssertionError, match="every event has a reward"):
        held.end_episode(paid_at_end(torch.zeros(1), 1, [torch.zeros(5)]))


@st.composite
def rollouts(draw):
    """Rewards (episodes, B), which episodes are their lifetime's first, and events of each time step and lifetime."""
    num_envs, episodes = draw(st.integers(1, 3)), draw(st.integers(1, 6))

    def table(values):
        rows = st.lists(values, min_size=num_envs, max_size=num_envs)
        return draw(st.lists(rows, min_size=episodes, max_size=episodes))

    steps = draw(st.lists(st.integers(0, 3), min_size=episodes, max_size=episodes))  # time steps that have events
    lengths = [[[draw(st.integers(0, 2)) for _ in range(num_envs)] for _ in range(count)] for count in steps]
    return table(st.integers(-9, 9)), table(st.booleans()), lengths


@settings(max_examples=60)
@given(
    rollout=rollouts(),
    horizon=st.integers(1, 8),
    gamma=st.sampled_from([1.0, 0.5]),
    gamma_lifetime=st.sampled_from([1.0, 0.9, 0.25]),
)
def test_returns_and_advantages_over_several_images_equal_a_plain_loop(rollout, horizon, gamma, gamma_lifetime):
    rewards, fresh, lengths = rollout
    num_envs, num_steps = len(rewards[0]), 4
    generator = torch.Generator().manual_seed(0)
    held = buffer(num_envs, 0, gamma, credit_horizon=horizon, gamma_lifetime=gamma_lifetime)
    owners = []  # (episode, lifetime, time) of every event; its action is its place in this list
    for episode, steps in enumerate(lengths):
        for time, counts in enumerate(steps, start=1):
            start = len(owners)
            owners += [(episode, lifetime, time) for lifetime, count in enumerate(counts) for _ in range(count)]
            actions = torch.arange(start, len(owners)).float()
            held.add(random_events(counts, generator), actions, torch.zeros(len(actions)), time)
        held.end_episode(
            paid_at_end(torch.tensor(rewards[episode]).float(), num_steps), fresh=torch.tensor(fresh[episode])
        )

    def total(episode: int, lifetime: int) -> float:
        value = float(rewards[episode][lifetime])
        for ahead in range(1, horizon):
            if episode + ahead >= len(rewards) or fresh[episode + ahead][lifetime]:
                break
            value += gamma_lifetime**ahead * rewards[episode + ahead][lifetime]
        return value

    assert len(held) == len(owners)
    if not owners:
        return
    samples = held.samples()
    assert sorted(samples.actions.tolist()) == list(range(len(owners)))
    for place, action in enumerate(samples.actions.long().tolist()):
        episode, lifetime, time = owners[action]
        discount = gamma ** (num_steps - time)
        mean = sum(total(episode, other) for other in range(num_envs)) / num_envs
        assert samples.returns[place].item() == pytest.approx(discount * total(episode, lifetime), abs=1e-5)
        assert samples.advantages[place].item() == pytest.approx(discount * (total(episode, lifetime) - mean), abs=1e-4)
    one_step = {}
    for step, owner in zip(samples.step.tolist(), (owners[int(a)] for a in samples.actions), strict=True):
        assert one_step.setdefault(step, owner) == owner  # a number for each (episode, lifetime, time step)
    assert len(one_step) == len(set(owners))


def test_a_lifetime_ends_before_its_successor_in_hand_counted_numbers():
    """Two lifetimes, four images, horizon 3, discount 1/2 an image; the second starts anew at its third image."""
    generator = torch.Generator().manual_seed(0)
    held = buffer(2, 0, credit_horizon=3, gamma_lifetime=0.5)
    rewards = [[1.0, 10.0], [2.0, 20.0], [4.0, 40.0], [8.0, 80.0]]
    for place, pay in enumerate(rewards):
        held.add(random_events([1, 1], generator), torch.zeros(2), torch.zeros(2), 1)
        held.end_episode(paid_at_end(torch.tensor(pay), 1), fresh=torch.tensor([place == 0, place in (0, 2)]))
    assert held.samples().returns.view(4, 2).tolist() == [[3.0, 20.0], [6.0, 20.0], [8.0, 80.0], [8.0, 80.0]]
    assert held.samples().advantages.view(4, 2)[0].tolist() == [-8.5, 8.5]


def test_without_fresh_flags_the_lifetime_goes_on():
    generator = torch.Generator().manual_seed(0)
    held = buffer(1, 0, credit_horizon=2)
    for pay in (1.0, 2.0, 4.0):
        held.add(random_events([1], generator), torch.zeros(1), torch.zeros(1), 1)
        held.end_episode(paid_at_end(torch.tensor([pay]), 1))
    assert held.samples().returns.tolist() == [3.0, 6.0, 4.0]


def test_rewards_of_events_are_returns_whatever_the_horizon():
    generator = torch.Generator().manual_seed(0)
    held = buffer(2, 0, gamma=0.5, credit_horizon=3, gamma_lifetime=0.5)
    for episode in range(3):
        number = 10.0 * episode + torch.arange(3)
        held.add(random_events([2, 1], generator), number, torch.zeros(3), 1)
        held.end_episode(paid_at_end(torch.full((2,), 1000.0), 4, [number]))
    samples = held.samples()
    assert torch.equal(samples.returns, samples.actions) and torch.equal(samples.advantages, samples.actions)


def test_samples_may_be_asked_for_twice():
    generator = torch.Generator().manual_seed(0)
    held = buffer(2, 0, credit_horizon=2)
    for _ in range(3):
        held.add(random_events([2, 1], generator), torch.zeros(3), torch.zeros(3), 1)
        held.end_episode(paid_at_end(torch.rand(2, generator=generator), 1))
    first, second = held.samples(), held.samples()
    assert torch.equal(first.returns, second.returns) and torch.equal(first.advantages, second.advantages)
