"""A closed loop of one lifetime, step by step: observe, encode, simulate, decode, act, be paid.

What `ControlTask`, its encoder and decoder, `RewardFactors` and `Eligibility` do together for one step of one lifetime.

Axes: B lifetimes, D observations, I input neurons, A most actions of an episode, V numbers of an action, W kept steps,
N neurons of all populations one after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from snn_plasticity_gym.kernels.answers import compare_reward
from snn_plasticity_gym.kernels.choices import Choice, Votes, decide, num_motors, room_for_votes
from snn_plasticity_gym.kernels.compile import inlined
from snn_plasticity_gym.kernels.senses import Code, Senses, encode, fire_inputs, room_for_code
from snn_plasticity_gym.kernels.simulation import begin_image, fire_all, turn_to_next_step
from snn_plasticity_gym.kernels.tables import Bool, Float32, Int64
from snn_plasticity_gym.kernels.weights import release_row
from snn_plasticity_gym.kernels.worlds import FOREIGN, GOES_ON, TERMINATED, World, move

NO_FACTOR, REWARD, ERROR, TARGETED, CREDITED = range(5)  # third factors of `RewardFactors`; ERROR: "rpe"
AT_ONCE, BY_REWARD, BY_FACTOR = range(3)  # when changes act: `modulation` none, reward, factor


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
    critic: Float32  # (B, I) weights
    modulation: int
    heeds: bool  # rewards are compared with `own`: a local scalar, or eligibility waits for them
    own: Means
    surprise: Float32  # (B,) of the latest reward, which synapses may see as a local scalar
    traces: Float32  # of eligibility, one per weight; the changes of the window under way lie apart if CREDITED
    left: float  # share of an eligibility trace that is left after a window


class Acted(NamedTuple):
    """What is kept of an episode."""

    actions: Int64  # (B, A) numbers of the choices
    values: Float32  # (B, A, V) what was done, where the world takes numbers
    rewards: Float32  # (B, A)
    number: Int64  # (B,) of actions
    terminated: Bool  # (B,)
    observation: Float32  # (B, D) the latest
    highest: Float32  # (B, D) of those that actions have led to
    met: Float32  # (B, A + 1, D) all, the first one of each episode included; (B, 0, D): they are not kept


class Memory(NamedTuple):
    """What one lifetime knows from its last action."""

    votes: Votes
    now: Code  # of what it observes
    then: Code  # of what an action leads to
    noise: Float32  # (window, motor neurons) current


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
    deaf: Int64  # (n,) places of the neurons that hear nothing for the rest of an episode
    deaf_after: int  # after so many actions
    acted: Acted


def room_for_memory(loop: Loop) -> Memory:
    """Return room for `Memory`."""
    now, then = room_for_code(loop.senses), room_for_code(loop.senses)
    noise = np.zeros((loop.window, num_motors(loop.choice)), dtype=np.float32)
    return Memory(room_for_votes(loop.choice), now, then, noise)


@inlined()
def begin_loop(b, lives, loop, memory, spikes, shown):
    """Put lifetime `b` to where it stands before its first step."""
    begin_image(b, lives, spikes, shown.raster[b])
    memory.votes.counts[:] = 0
    shown.num_events[b] = 0
    loop.acted.number[b] = 0
    loop.acted.terminated[b] = False
    for d in range(loop.acted.highest.shape[1]):
        loop.acted.highest[b, d] = -np.inf


@inlined()
def sense(b, t, lives, loop, stream, memory, spikes, shown):
    """Find out who fires in step `t` of lifetime `b`; `stream` is the random stream of its episode."""
    populations, neurons, choice = lives.populations, lives.neurons, loop.choice
    line, phase = shown.raster[b, t % shown.raster.shape[1]], t % loop.window
    if not loop.carries and phase == 0:
        _rest(b, populations, neurons, spikes)
    if phase == 0 and len(loop.deaf) > 0 and loop.acted.number[b] >= loop.deaf_after:
        for n in loop.deaf:
            neurons.refractory[b, n] = np.inf
    turn_to_next_step(populations, spikes)
    line[:] = False
    if phase == 0:
        encode(loop.acted.observation[b], loop.senses, memory.now)
    fire_inputs(t, loop.senses, memory.now, stream, populations, spikes, line)
    if loop.noise > 0.0:
        if phase == 0:  # that of the whole window, as `ControlTask` draws it
            for step in range(loop.window):
                for k in range(memory.noise.shape[1]):
                    memory.noise[step, k] = np.float32(loop.noise) * np.float32(stream.standard_normal())
        for k in range(memory.noise.shape[1]):
            neurons.current[b, choice.first + k] = memory.noise[phase, k]
        spikes.awake[choice.population] = True
    fire_all(b, t, lives, spikes, line)


@inlined()
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


@inlined()
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
    action = decide(loop.choice, last, stream, memory.votes, spikes.num_times, acted.values[b, done])
    before = _value(b, loop, memory.now)
    acted.actions[b, done] = action
    reward = move(b, done, action, loop.world)
    over, ended = loop.world.ended[b] == TERMINATED, loop.world.ended[b] != GOES_ON
    acted.rewards[b, done] = reward
    acted.number[b] = done + 1
    acted.terminated[b] = over
    for d in range(acted.observation.shape[1]):
        if loop.world.kind != FOREIGN:  # others have filled it in
            acted.observation[b, d] = np.float32(loop.world.state[b, d])
        acted.highest[b, d] = max(acted.highest[b, d], acted.observation[b, d])
        if acted.met.shape[1] > 0:
            acted.met[b, done + 1, d] = acted.observation[b, d]
    _pay(b, reward, over, before, lives, loop, learning, memory, spikes, shown)
    return ended or done + 1 >= loop.max_actions


@inlined()
def _value(b, loop, code):
    """Return what the critic of lifetime `b` predicts by an observation's code."""
    total = np.float32(0.0)
    if loop.payment.predicts:
        for k in range(len(code.place)):
            total += loop.payment.critic[b, code.place[k]] * code.activation[k]
    return np.float32(loop.payment.start) + total


@inlined()
def _pay(b, reward, over, before, lives, loop, learning, memory, spikes, shown):
    """Tell neurons what an action brought: `RewardFactors.pay`, then the rewards' surprise and the eligibility."""
    payment = loop.payment
    if payment.kind != NO_FACTOR:
        delta = compare_reward(b, reward, payment.factor.window, payment.factor.mean, payment.factor.number)
        if payment.predicts:
            encode(loop.acted.observation[b], loop.senses, memory.then)
            then = np.float32(0.0) if over else _value(b, loop, memory.then)
            delta = reward + np.float32(payment.gamma) * then - before
            _learn_value(b, delta, payment, memory.now)
        _tell(b, delta, lives, loop, memory.votes)
    if payment.heeds:
        surprise = compare_reward(b, reward, payment.own.window, payment.own.mean, payment.own.number)
        payment.surprise[b] = surprise
        if payment.modulation != AT_ONCE:
            _release(b, surprise, lives, loop, learning, memory.votes, spikes.sums, shown)


@inlined()
def _learn_value(b, delta, payment, code):
    """Move the critic of lifetime `b` along the code of the observation that it was wrong about: `Critic`."""
    norm = np.float32(0.0)
    for activation in code.activation:
        norm += activation * activation
    step = np.float32(payment.rate) * delta / max(norm, np.float32(1e-12))
    for k in range(len(code.place)):
        payment.critic[b, code.place[k]] += step * code.activation[k]


@inlined()
def _tell(b, delta, lives, loop, votes):
    """Give every computed neuron its third factor."""
    populations, choice = lives.populations, loop.choice
    for p in range(len(populations.start)):
        if populations.computed[p]:
            for n in range(populations.start[p], populations.start[p] + populations.size[p]):
                lives.neurons.factor[b, n] = delta
    if loop.payment.kind == TARGETED:
        for k in range(len(votes.stands)):
            if not votes.stands[k]:
                lives.neurons.factor[b, choice.first + k] = -delta


@inlined()
def _release(b, surprise, lives, loop, learning, votes, room, shown):
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
                _credit(held, learning.held[first : first + n_post], post == loop.choice.first, votes)
            release_row(row, held, told, low, high, left, sums)


@inlined()
def _credit(held, fresh, acts, votes):
    """Add the changes of a window to the traces of one pre neuron, with signs if its targets are those that act."""
    for j in range(len(held)):
        held[j] += -fresh[j] if acts and not votes.stands[j] else fresh[j]
        fresh[j] = 0.0
