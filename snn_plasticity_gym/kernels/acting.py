"""Whole episodes in closed loops: one loop per lifetime, from its first step to the end of its episode.

Counterpart of `kernels/images.py` and its siblings for open loops. Each lifetime is a separate call, since the random
generator of its episode is a Python object.
"""

from __future__ import annotations

from snn_plasticity_gym.kernels.closed_form import learn_closed_form
from snn_plasticity_gym.kernels.closed_loop import act, begin_loop, sense
from snn_plasticity_gym.kernels.compile import compiled
from snn_plasticity_gym.kernels.formula_images import learn_formula
from snn_plasticity_gym.kernels.head_images import learn_heads
from snn_plasticity_gym.kernels.simulation import end_image


@compiled(bare=True)
def act_frozen(b, networks, loop, stream, learning, spikes, memory, record):
    """Run an episode of lifetime `b` without plasticity; all in place.

    Args:
        b: Lifetime.
        networks: The networks.
        loop: Their closed loops.
        stream: Random generator of the episode.
        learning: Eligibility of earlier changes.
        spikes: Workspace for spikes.
        memory: Workspace for the state since the last action.
        record: Output.
    """
    begin_loop(b, networks, loop, memory, spikes, record)
    for t in range(loop.window * loop.max_actions):
        sense(b, t, networks, loop, stream, memory, spikes, record)
        if act(b, t, networks, loop, stream, learning, memory, spikes, record):
            break
    end_image(b, networks, spikes, record)


@compiled(bare=True)
def act_closed_form(b, networks, loop, stream, rule, decays, learning, spikes, memory, room, record):
    """Do what `act_frozen` does with a rule in closed form.

    Args:
        b: Lifetime.
        networks: The networks.
        loop: Their closed loops.
        stream: Random generator of the episode.
        rule: Coefficients.
        decays: Of its traces.
        learning: Settings of weight updates.
        spikes: Workspace for spikes.
        memory: Workspace for the state since the last action.
        room: As in the loops of images.
        record: Output; `changes` is added to.
    """
    begin_loop(b, networks, loop, memory, spikes, record)
    for t in range(loop.window * loop.max_actions):
        sense(b, t, networks, loop, stream, memory, spikes, record)
        learn_closed_form(b, t, networks, rule, decays, learning, spikes, room, record)
        if act(b, t, networks, loop, stream, learning, memory, spikes, record):
            break
    end_image(b, networks, spikes, record)


@compiled(bare=True)
def act_formula(b, networks, loop, stream, rule, shared_scalars, learning, spikes, memory, room, record):
    """Do what `act_frozen` does with a formula.

    Args:
        b: Lifetime.
        networks: The networks.
        loop: Their closed loops.
        stream: Random generator of the episode.
        rule: The formula.
        shared_scalars: Scalars that are not of single neurons.
        learning: Settings of weight updates.
        spikes: Workspace for spikes.
        memory: Workspace for the state since the last action.
        room: As in the loops of images.
        record: Output; `changes` is added to.
    """
    begin_loop(b, networks, loop, memory, spikes, record)
    for t in range(loop.window * loop.max_actions):
        sense(b, t, networks, loop, stream, memory, spikes, record)
        learn_formula(b, t, networks, rule, shared_scalars, learning, spikes, room, record)
        if act(b, t, networks, loop, stream, learning, memory, spikes, record):
            break
    end_image(b, networks, spikes, record)


@compiled(bare=True)
def act_heads(b, networks, loop, stream, rule, shared_scalars, store, learning, spikes, memory, rooms, record):
    """Do what `act_frozen` does with heads over a front.

    Args:
        b: Lifetime.
        networks: The networks.
        loop: Their closed loops.
        stream: Random generator of the episode.
        rule: Front and heads.
        shared_scalars: Scalars that are not of single neurons.
        store: Outputs stored from episode to episode, of the calling thread.
        learning: Settings of weight updates.
        spikes: Workspace for spikes.
        memory: Workspace for the state since the last action.
        rooms: As in the loops of images.
        record: Output; `changes` is added to.
    """
    begin_loop(b, networks, loop, memory, spikes, record)
    for t in range(loop.window * loop.max_actions):
        sense(b, t, networks, loop, stream, memory, spikes, record)
        learn_heads(b, t, networks, rule, shared_scalars, store, learning, spikes, rooms, record)
        if act(b, t, networks, loop, stream, learning, memory, spikes, record):
            break
    end_image(b, networks, spikes, record)
