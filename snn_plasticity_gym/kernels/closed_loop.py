"""A closed loop of one lifetime, step by step: observe, encode, simulate, decode, act, reward.

As `ControlTask`, its encoder and decoder, `RewardFactors` and `Eligibility` together, for one step of one lifetime.

Axes: B lifetimes, D observations, I input neurons, A most actions of an episode, V numbers of an action, W kept steps,
N neurons of all populations, concatenated.
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
    """`RewardSurprise`: means of earlier rewards."""

    window: float  # time constant, in rewards
    mean: Float32  # (B,)
    number: Float32  # (B,) of rewards so far


class RewardSignals(NamedTuple):
    """Signals computed from a reward."""

    kind: int  # of the third factor
    factor: Means  # baseline of the rewards
    predicts: bool  # a critic is the baseline
    rate: float  # of the critic, over the squared norm of its input
    gamma: float
    start: float
    critic: Float32  # (B, I) weights; those of pairs follow, in the order of `Critic`
    paired: int  # I, if the critic reads pairs of inputs, too; else 0
    modulation: int
    uses_surprise: bool  # surprise relative to `own` is used: by a local scalar or eligibility
    own: Means
    surprise: Float32  # (B,) of the latest reward, a local scalar of synapses
    traces: Float32  # of eligibility, one per weight; the current window's changes are separate if CREDITED
    left: float  # share of an eligibility trace that is left after a window


class ActionRecord(NamedTuple):
    """Record of an episode."""

    actions: Int64  # (B, A) numbers of the choices
    values: Float32  # (B, A, V) actions, where the world takes numbers
    rewards: Float32  # (B, A)
    number: Int64  # (B,) of actions
    terminated: Bool  # (B,)
    observation: Float32  # (B, D) the latest
    highest: Float32  # (B, D) of those after actions
    observations: Float32  # (B, A + 1, D) all, including the first one; (B, 0, D): not recorded


class Memory(NamedTuple):
    """State of one lifetime since its last action."""

    votes: Votes
    now: Code  # of the observation
    then: Code  # of the next observation
    noise: Float32  # (window, motor neurons) current


class Loop(NamedTuple):
    """A closed loop of B lifetimes."""

    world: World
    senses: Senses
    choice: Choice
    signals: RewardSignals
    window: int  # steps of an action
    max_actions: int  # A
    keeps_membranes: bool  # membranes persist from one action to the next
    noise: float  # deviation of the current into motor neurons
    deaf: Int64  # (n,) indices of neurons without input for the rest of an episode
    deaf_after: int  # after so many actions
    action_record: ActionRecord


def room_for_memory(loop: Loop) -> Memory:
    """Allocate `Memory`."""
    now, then = room_for_code(loop.senses), room_for_code(loop.senses)
    noise = np.zeros((loop.window, num_motors(loop.choice)), dtype=np.float32)
    return Memory(room_for_votes(loop.choice), now, then, noise)


@inlined()
def begin_loop(b, networks, loop, memory, spikes, record):
    """Reset lifetime `b` to its state before the first step."""
    begin_image(b, networks, spikes, record.raster[b])
    memory.votes.counts[:] = 0
    record.num_events[b] = 0
    loop.action_record.number[b] = 0
    loop.action_record.terminated[b] = False
    for d in range(loop.action_record.highest.shape[1]):
        loop.action_record.highest[b, d] = -np.inf


@inlined()
def sense(b, t, networks, loop, stream, memory, spikes, record):
    """Compute the spikes of step `t` of lifetime `b`; `stream` is the random generator of its episode."""
    populations, neurons, choice = networks.populations, networks.neurons, loop.choice
    line, phase = record.raster[b, t % record.raster.shape[1]], t % loop.window
    if not loop.keeps_membranes and phase == 0:
        _rest(b, populations, neurons, spikes)
    if phase == 0 and len(loop.deaf) > 0 and loop.action_record.number[b] >= loop.deaf_after:
        for n in loop.deaf:
            neurons.refractory[b, n] = np.inf
    turn_to_next_step(populations, spikes)
    line[:] = False
    if phase == 0:
        encode(loop.action_record.observation[b], loop.senses, memory.now)
    fire_inputs(t, loop.senses, memory.now, stream, populations, spikes, line)
    if loop.noise > 0.0:
        if phase == 0:  # of the whole window, as `ControlTask` draws it
            for step in range(loop.window):
                for k in range(memory.noise.shape[1]):
                    memory.noise[step, k] = np.float32(loop.noise) * np.float32(stream.standard_normal())
        for k in range(memory.noise.shape[1]):
            neurons.current[b, choice.first + k] = memory.noise[phase, k]
        spikes.awake[choice.population] = True
    fire_all(b, t, networks, spikes, line)


@inlined()
def _rest(b, populations, neurons, spikes):
    """Reset all neurons to rest, without spikes in transit: `Network.rest`."""
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
def act(b, t, networks, loop, stream, learning, memory, spikes, record):
    """End step `t` of lifetime `b`: at the end of a window, act and apply the reward.

    Args:
        b: Lifetime.
        t: Step.
        networks: The networks.
        loop: The closed loop.
        stream: Random generator of the episode.
        learning: Settings of weight updates.
        memory: Of the previous action; updated.
        spikes: Of the episode.
        shown: `changes` is added to where eligibility is used.

    Returns:
        Whether the episode has ended.
    """
    if (t + 1) % loop.window != 0:
        return False
    action_record = loop.action_record
    done = action_record.number[b]
    last = action_record.actions[b, done - 1] if done > 0 else -1
    action = decide(loop.choice, last, stream, memory.votes, spikes.num_times, action_record.values[b, done])
    before = _value(b, loop, memory.now)
    action_record.actions[b, done] = action
    reward = move(b, done, action, loop.world)
    over, ended = loop.world.ended[b] == TERMINATED, loop.world.ended[b] != GOES_ON
    action_record.rewards[b, done] = reward
    action_record.number[b] = done + 1
    action_record.terminated[b] = over
    for d in range(action_record.observation.shape[1]):
        if loop.world.kind != FOREIGN:  # set by `Foreign`
            action_record.observation[b, d] = np.float32(loop.world.state[b, d])
        action_record.highest[b, d] = max(action_record.highest[b, d], action_record.observation[b, d])
        if action_record.observations.shape[1] > 0:
            action_record.observations[b, done + 1, d] = action_record.observation[b, d]
    _apply_reward(b, reward, over, before, networks, loop, learning, memory, spikes, record)
    return ended or done + 1 >= loop.max_actions


@inlined()
def _value(b, loop, code):
    """Return the value that the critic of lifetime `b` predicts from an observation's code."""
    signals, total = loop.signals, np.float32(0.0)
    if signals.predicts:
        for k in range(len(code.place)):
            total += signals.critic[b, code.place[k]] * code.activation[k]
        if signals.paired > 0:
            for k in range(len(code.place)):
                first = _pairs_with(code.place[k], signals.paired)
                for m in range(k + 1, len(code.place)):
                    total += signals.critic[b, first + code.place[m]] * (code.activation[k] * code.activation[m])
    return np.float32(signals.start) + total


@inlined()
def _pairs_with(i, inputs):
    """Return the number that, added to j > i, is the place of the critic's weight of the inputs i and j."""
    return inputs + i * (2 * inputs - i - 1) // 2 - i - 1


@inlined()
def _apply_reward(b, reward, over, before, networks, loop, learning, memory, spikes, record):
    """Apply the reward of an action: `RewardFactors.pay`, then the rewards' surprise and the eligibility."""
    signals = loop.signals
    if signals.kind != NO_FACTOR:
        delta = compare_reward(b, reward, signals.factor.window, signals.factor.mean, signals.factor.number)
        if signals.predicts:
            encode(loop.action_record.observation[b], loop.senses, memory.then)
            then = np.float32(0.0) if over else _value(b, loop, memory.then)
            delta = reward + np.float32(signals.gamma) * then - before
            _update_critic(b, delta, signals, memory.now)
        _set_factors(b, delta, networks, loop, memory.votes)
    if signals.uses_surprise:
        surprise = compare_reward(b, reward, signals.own.window, signals.own.mean, signals.own.number)
        signals.surprise[b] = surprise
        if signals.modulation != AT_ONCE:
            _release(b, surprise, networks, loop, learning, memory.votes, spikes.sums, record)


@inlined()
def _update_critic(b, delta, signals, code):
    """Update the critic of lifetime `b` by its error at the code of an observation: `Critic`."""
    norm = np.float32(0.0)
    for k in range(len(code.place)):
        norm += code.activation[k] * code.activation[k]
        if signals.paired > 0:
            for m in range(k + 1, len(code.place)):
                product = code.activation[k] * code.activation[m]
                norm += product * product
    step = np.float32(signals.rate) * delta / max(norm, np.float32(1e-12))
    for k in range(len(code.place)):
        signals.critic[b, code.place[k]] += step * code.activation[k]
        if signals.paired > 0:
            first = _pairs_with(code.place[k], signals.paired)
            for m in range(k + 1, len(code.place)):
                signals.critic[b, first + code.place[m]] += step * (code.activation[k] * code.activation[m])


@inlined()
def _set_factors(b, delta, networks, loop, votes):
    """Set the third factor of every computed neuron."""
    populations, choice = networks.populations, loop.choice
    for p in range(len(populations.start)):
        if populations.computed[p]:
            for n in range(populations.start[p], populations.start[p] + populations.size[p]):
                networks.neurons.factor[b, n] = delta
    if loop.signals.kind == TARGETED:
        for k in range(len(votes.stands)):
            if not votes.stands[k]:
                networks.neurons.factor[b, choice.first + k] = -delta


@inlined()
def _release(b, surprise, networks, loop, learning, votes, room, record):
    """Turn eligibility into weight changes: `Eligibility.credit`, then `release`; `room`: (N,)."""
    populations, connections, signals = networks.populations, networks.connections, loop.signals
    for c in range(len(connections.source)):
        if not connections.plastic[c]:
            continue
        n_pre, n_post = populations.size[connections.source[c]], populations.size[connections.target[c]]
        post = populations.start[connections.target[c]]
        modulator = room[:n_post]
        for j in range(n_post):
            modulator[j] = surprise if signals.modulation == BY_REWARD else networks.neurons.factor[b, post + j]
        sums = record.changes[b, :, connections.head[c]]
        low, high, left = connections.low[c], connections.high[c], np.float32(signals.left)
        for i in range(n_pre):
            first = connections.offset[c] + (b * n_pre + i) * n_post
            row, eligibility = networks.weights[first : first + n_post], signals.traces[first : first + n_post]
            if signals.kind == CREDITED:
                _credit(eligibility, learning.eligibility[first : first + n_post], post == loop.choice.first, votes)
            release_row(row, eligibility, modulator, low, high, left, sums)


@inlined()
def _credit(eligibility, fresh, acts, votes):
    """Add the changes of a window to the traces of one pre neuron, signed if its targets are motor neurons."""
    for j in range(len(eligibility)):
        eligibility[j] += -fresh[j] if acts and not votes.stands[j] else fresh[j]
        fresh[j] = 0.0
