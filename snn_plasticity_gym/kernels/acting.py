"""Whole episodes in closed loops: each lifetime a loop from its first step to the end of its episode.

What `kernels/images.py` and its siblings are for open loops. A lifetime is a call of its own, since the random stream
of its episode is an object of Python's.
"""

from __future__ import annotations

from snn_plasticity_gym.kernels.closed_form import learn_closed_form, room_for_traces
from snn_plasticity_gym.kernels.closed_loop import act, begin_loop, room_for_memory, sense
from snn_plasticity_gym.kernels.compile import compiled
from snn_plasticity_gym.kernels.formula_images import learn_formula, room_for_formula
from snn_plasticity_gym.kernels.head_images import learn_heads, room_for_heads
from snn_plasticity_gym.kernels.simulation import end_image, room_for_spikes


@compiled()
def act_frozen(b, lives, loop, stream, learning, shown):
    """Let lifetime `b` live through an episode in which nothing learns; all in place.

    Args:
        b: Lifetime.
        lives: The networks.
        loop: Their closed loops.
        stream: Random stream of the episode.
        learning: What is held back of earlier changes.
        shown: Filled in.
    """
    num_steps = loop.window * loop.max_actions
    spikes, memory = room_for_spikes(lives, num_steps), room_for_memory(loop)
    begin_loop(b, lives, loop, spikes, shown)
    for t in range(num_steps):
        sense(b, t, lives, loop, stream, spikes, shown)
        if act(b, t, lives, loop, stream, learning, memory, spikes, shown):
            break
    end_image(b, spikes, shown)


@compiled()
def act_closed_form(b, lives, loop, stream, rule, decays, learning, shown):
    """Do what `act_frozen` does in a lifetime that lives by a rule in closed form.

    Args:
        b: Lifetime.
        lives: The networks.
        loop: Their closed loops.
        stream: Random stream of the episode.
        rule: Coefficients.
        decays: Of its traces.
        learning: How weights follow the rule.
        shown: Filled in; `changes` is added to.
    """
    num_steps = loop.window * loop.max_actions
    spikes, memory = room_for_spikes(lives, num_steps), room_for_memory(loop)
    room = room_for_traces(shown.raster.shape[2])
    begin_loop(b, lives, loop, spikes, shown)
    for t in range(num_steps):
        sense(b, t, lives, loop, stream, spikes, shown)
        learn_closed_form(b, t, lives, rule, decays, learning, spikes, room, shown)
        if act(b, t, lives, loop, stream, learning, memory, spikes, shown):
            break
    end_image(b, spikes, shown)


@compiled()
def act_formula(b, lives, loop, stream, rule, around, learning, shown):
    """Do what `act_frozen` does in a lifetime that lives by a formula.

    Args:
        b: Lifetime.
        lives: The networks.
        loop: Their closed loops.
        stream: Random stream of the episode.
        rule: The formula.
        around: What its scalars are made of beside neurons.
        learning: How weights follow the rule.
        shown: Filled in; `changes` is added to.
    """
    num_steps = loop.window * loop.max_actions
    spikes, memory = room_for_spikes(lives, num_steps), room_for_memory(loop)
    room = room_for_formula(rule, shown.raster.shape[2])
    begin_loop(b, lives, loop, spikes, shown)
    for t in range(num_steps):
        sense(b, t, lives, loop, stream, spikes, shown)
        learn_formula(b, t, lives, rule, around, learning, spikes, room, shown)
        if act(b, t, lives, loop, stream, learning, memory, spikes, shown):
            break
    end_image(b, spikes, shown)


@compiled()
def act_heads(b, lives, loop, stream, rule, around, store, learning, shown):
    """Do what `act_frozen` does in a lifetime that lives by heads over a front.

    Args:
        b: Lifetime.
        lives: The networks.
        loop: Their closed loops.
        stream: Random stream of the episode.
        rule: Front and heads.
        around: What scalars are made of beside neurons.
        store: Lines that are kept from episode to episode, of the calling thread's own.
        learning: How weights follow the rule.
        shown: Filled in; `changes` is added to.
    """
    num_steps = loop.window * loop.max_actions
    spikes, memory = room_for_spikes(lives, num_steps), room_for_memory(loop)
    rooms = room_for_heads(rule, learning.window, shown.raster.shape[2])
    begin_loop(b, lives, loop, spikes, shown)
    for t in range(num_steps):
        sense(b, t, lives, loop, stream, spikes, shown)
        learn_heads(b, t, lives, rule, around, store, learning, spikes, rooms, shown)
        if act(b, t, lives, loop, stream, learning, memory, spikes, shown):
            break
    end_image(b, spikes, shown)
