"""A closed loop of one lifetime, step by step: observe, encode, simulate, decode, act, be paid.

What `ControlTask`, `OneHotFields`, `WinnerDecoder`, `RewardFactors` and `Eligibility` do together for one step of one
lifetime, where the world is one of `kernels/worlds.py`.

Axes: B lifetimes, D observations, F receptive fields of an observation, A most actions of an episode, W kept steps,
N neurons of all populations one after the other.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.answers import compare_reward
from snn_plasticity_gym.kernels.compile import compiled
from snn_plasticity_gym.kernels.simulation import begin_image, fire_all, note, turn_to_next_step
from snn_plasticity_gym.kernels.tables import Bool, Float32, Int64
from snn_plasticity_gym.kernels.weights import release_row
from snn_plasticity_gym.kernels.worlds import World, move

RANDOM, NONE, LAST = range(3)  # what decides a tie
NO_FACTOR, REWARD, ERROR, TARGETED, CREDITED = range(5)  # third factors of `RewardFactors`; ERROR: "rpe"
AT_ONCE, BY_REWARD, BY_FACTOR = range(3)  # when changes act: `modulation` none, reward, factor

_ROUNDING = 1e-9  # as in `observation_encoders`


class Senses(NamedTuple):
    """`OneHotFields` with a period."""

    edges: Float32  # (D, F - 1)
    period: float  # steps
    first: int  # place of the first input neuron


class Choice(NamedTuple):
    """`WinnerDecoder`."""

    num_actions: int
    group_size: int
    tie: int  # RANDOM, NONE or LAST
    tie_action: int
    population: int  # of the motor neurons
    first: int  # place of the first of them


class Means(NamedTuple):
    """`RewardSurprise`: means of what was paid before."""

    window: float  # time constant, in rewards
    mean: Float32  # (B,)
    number: Float32  # (B,) of rewards so far


class Payment(NamedTuple):
    """What follows from a reward."""

    kind: int  # of the third factor
    factor: Means  # that rewards are compared with
    predicts: bool  # a critic takes the place of that mean
    rate: float  # of the critic, over the squared norm of its input
    gamma: float
    start: float
    critic: Float32  # (B, D F) weights
    modulation: int
    heeds: bool  # rewards are compared with `own`: a local scalar, or eligibility waits for them
    own: Means
    surprise: Float32  # (B,) of the latest reward, which synapses may see as a local scalar
    traces: Float32  # of eligibility, one per weight; the changes of the window under way lie apart if CREDITED
    left: float  # share of an eligibility trace that is left after a window


class Acted(NamedTuple):
    """What is kept of an episode."""

    actions: Int64  # (B, A)
    rewards: Float32  # (B, A)
    number: Int64  # (B,) of actions
    terminated: Bool  # (B,)
    observation: Float32  # (B, D) the latest
    highest: Float32  # (B, D) of those that actions have led to


class Memory(NamedTuple):
    """What one lifetime knows from its last action."""

    counts: Int64  # spikes of each motor neuron up to then
    active: Int64  # (D,) places of the input neurons that were active then, among the inputs


class Loop(NamedTuple):
    """A closed loop of B lifetimes."""

    world: World
    senses: Senses
    choice: Choice
    payment: Payment
    window: int  # steps of an action
    max_actions: int  # A
    carries: bool  # membranes go on from one action to the next
    noise: float  # deviation of the current into motor neurons
    acted: Acted


def room_for_memory(loop: Loop) -> Memory:
    """Return room for `Memory`."""
    counts = np.zeros(loop.choice.num_actions * loop.choice.group_size, np.int64)
    return Memory(counts, np.empty(len(loop.senses.edges), np.int64))


@compiled(bare=True)
def begin_loop(b, lives, loop, memory, spikes, shown):
    """Put lifetime `b` to where it stands before its first step."""
    begin_image(b, lives, spikes, shown.raster[b])
    memory.counts[:] = 0
    shown.num_events[b] = 0
    loop.acted.number[b] = 0
    loop.acted.terminated[b] = False
    for d in range(loop.acted.highest.shape[1]):
        loop.acted.highest[b, d] = -np.inf


@compiled(bare=True)
def sense(b, t, lives, loop, stream, spikes, shown):
    """Find out who fires in step `t` of lifetime `b`; `stream` is the random stream of its episode."""
    populations, neurons, choice = lives.populations, lives.neurons, loop.choice
    line = shown.raster[b, t % shown.raster.shape[1]]
    if not loop.carries and t % loop.window == 0:
        _rest(b, populations, neurons, spikes)
    turn_to_next_step(populations, spikes)
    line[:] = False
    period = loop.senses.period
    if math.floor(t / period + _ROUNDING) > math.floor((t - 1) / period + _ROUNDING):
        edges = loop.senses.edges
        for d in range(len(edges)):
            field = _field(loop.acted.observation[b, d], edges[d])
            note(t, loop.senses.first + d * (edges.shape[1] + 1) + field, populations, spikes, line)
    if loop.noise > 0.0:
        for n in range(choice.first, choice.first + choice.num_actions * choice.group_size):
            neurons.current[b, n] = np.float32(loop.noise) * np.float32(stream.standard_normal())
        spikes.awake[choice.population] = True
    fire_all(b, t, lives, spikes, line)


@compiled(bare=True)
def _field(value, edges):
    """Return the receptive field that a value falls into."""
    field = 0
    for edge in edges:
        field += value >= edge
    return field


@compiled(bare=True)
def _rest(b, populations, neurons, spikes):
    """Put all neurons to rest, with no spike on its way: `Network.rest`."""
    for p in range(len(populations.start)):
        start = populations.start[p]
        for place in range(start, start + spikes.num_now[p]):
            spikes.fires[start + spikes.now[place]] = False
        spikes.num_now[p] = 0
        if populations.computed[p]:
            for n in range(start, start + populations.size[p]):
                neurons.v[b, n] = populations.v_rest[p]
                neurons.refractory[b, n] = 0.0


@compiled(bare=True)
def act(b, t, lives, loop, stream, learning, memory, spikes, shown):
    """End step `t` of lifetime `b`: where a window ends, act and be paid.

    Args:
        b: Lifetime.
        t: Step.
        lives: The networks.
        loop: The closed loop.
        stream: Random stream of the episode.
        learning: How weights follow what a rule answers.
        memory: Of the action before; brought up to date.
        spikes: Of the episode.
        shown: `changes` is added to where changes were held back.

    Returns:
        Whether the episode has ended.
    """
    if (t + 1) % loop.window != 0:
        return False
    acted = loop.acted
    done = acted.number[b]
    last = acted.actions[b, done - 1] if done > 0 else -1
    action = _decode(loop.choice, last, stream, memory.counts, spikes)
    before = _value(b, loop)
    _note_active(b, loop, memory.active)
    reward, over = move(b, action, loop.world)
    acted.actions[b, done], acted.rewards[b, done] = action, reward
    acted.number[b] = done + 1
    acted.terminated[b] = over
    for d in range(acted.observation.shape[1]):
        seen = np.float32(loop.world.state[b, d])
        acted.observation[b, d] = seen
        acted.highest[b, d] = max(acted.highest[b, d], seen)
    _pay(b, action, reward, over, before, lives, loop, learning, memory, spikes, shown)
    return over or done + 1 >= loop.max_actions


@compiled(bare=True)
def _decode(choice, last, stream, counts, spikes):
    """Return the action whose group has fired most since the action before, `last` (-1: none)."""
    best, winner, rivals = np.int64(-1), 0, 0
    for a in range(choice.num_actions):
        votes = _votes(a, choice, counts, spikes)
        if votes > best:
            best, winner, rivals = votes, a, 1
        elif votes == best:
            rivals += 1
    if choice.tie == RANDOM:
        place = min(np.int64(stream.random(dtype=np.float32) * np.float32(rivals)), rivals - 1)
        for a in range(choice.num_actions):
            if _votes(a, choice, counts, spikes) == best:
                if place == 0:
                    winner = a
                place -= 1
    elif rivals > 1:
        winner = last if choice.tie == LAST and last >= 0 else choice.tie_action
    for k in range(choice.num_actions * choice.group_size):
        counts[k] = spikes.num_times[choice.first + k]
    return winner


@compiled(bare=True)
def _votes(action, choice, counts, spikes):
    """Return how often the group of an action has fired since the action before."""
    votes = 0
    for k in range(action * choice.group_size, (action + 1) * choice.group_size):
        votes += spikes.num_times[choice.first + k] - counts[k]
    return votes


@compiled(bare=True)
def _note_active(b, loop, active):
    """Fill in which input neurons are active, by place among the inputs, (D,)."""
    edges = loop.senses.edges
    for d in range(len(edges)):
        active[d] = d * (edges.shape[1] + 1) + _field(loop.acted.observation[b, d], edges[d])


@compiled(bare=True)
def _value(b, loop):
    """Return what the critic predicts where lifetime `b` stands."""
    payment, edges = loop.payment, loop.senses.edges
    if not payment.predicts:
        return np.float32(0.0)
    total = np.float32(0.0)
    for d in range(len(edges)):
        total += payment.critic[b, d * (edges.shape[1] + 1) + _field(loop.acted.observation[b, d], edges[d])]
    return np.float32(payment.start) + total


@compiled(bare=True)
def _pay(b, action, reward, over, before, lives, loop, learning, memory, spikes, shown):
    """Tell neurons what an action brought: `RewardFactors.pay`, then the rewards' surprise and the eligibility."""
    payment = loop.payment
    if payment.kind != NO_FACTOR:
        delta = compare_reward(b, reward, payment.factor.window, payment.factor.mean, payment.factor.number)
        if payment.predicts:
            then = np.float32(0.0) if over else _value(b, loop)
            delta = reward + np.float32(payment.gamma) * then - before
            step = np.float32(payment.rate) * delta / np.float32(len(memory.active))
            for place in memory.active:
                payment.critic[b, place] += step
        _tell(b, action, delta, lives, loop)
    if payment.heeds:
        surprise = compare_reward(b, reward, payment.own.window, payment.own.mean, payment.own.number)
        payment.surprise[b] = surprise
        if payment.modulation != AT_ONCE:
            _release(b, action, surprise, lives, loop, learning, spikes.sums, shown)


@compiled(bare=True)
def _tell(b, action, delta, lives, loop):
    """Give every computed neuron its third factor."""
    populations, choice = lives.populations, loop.choice
    for p in range(len(populations.start)):
        if populations.computed[p]:
            for n in range(populations.start[p], populations.start[p] + populations.size[p]):
                lives.neurons.factor[b, n] = delta
    if loop.payment.kind == TARGETED:
        for k in range(choice.num_actions * choice.group_size):
            if k // choice.group_size != action:
                lives.neurons.factor[b, choice.first + k] = -delta


@compiled(bare=True)
def _release(b, action, surprise, lives, loop, learning, room, shown):
    """Turn eligibility into weight changes: `Eligibility.credit`, then `release`; `room`: (N,)."""
    populations, connections, payment = lives.populations, lives.connections, loop.payment
    for c in range(len(connections.source)):
        if not connections.plastic[c]:
            continue
        n_pre, n_post = populations.size[connections.source[c]], populations.size[connections.target[c]]
        post = populations.start[connections.target[c]]
        told = room[:n_post]
        for j in range(n_post):
            told[j] = surprise if payment.modulation == BY_REWARD else lives.neurons.factor[b, post + j]
        sums = shown.changes[b, :, connections.head[c]]
        low, high, left = connections.low[c], connections.high[c], np.float32(payment.left)
        for i in range(n_pre):
            first = connections.offset[c] + (b * n_pre + i) * n_post
            row, held = lives.weights[first : first + n_post], payment.traces[first : first + n_post]
            if payment.kind == CREDITED:
                _credit(held, learning.held[first : first + n_post], post, action, loop.choice)
            release_row(row, held, told, low, high, left, sums)


@compiled(bare=True)
def _credit(held, fresh, post, action, choice):
    """Add the changes of a window to the traces of one pre neuron, with signs; `post`: place of the first target."""
    ours = post == choice.first
    for j in range(len(held)):
        turned = ours and j // choice.group_size != action
        held[j] += -fresh[j] if turned else fresh[j]
        fresh[j] = 0.0
