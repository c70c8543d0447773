"""Whole episodes in closed loops: each lifetime a loop from its first step to the end of its episode.

What `kernels/images.py` and its siblings are for open loops. A lifetime is a call of its own, since the random stream
of its episode is an object of Python's.
"""

from __future__ import annotations

from snn_plasticity_gym.kernels.closed_form import learn_closed_form
from snn_plasticity_gym.kernels.closed_loop import act, begin_loop, sense
from snn_plasticity_gym.kernels.compile import compiled
from snn_plasticity_gym.kernels.formula_images import learn_formula
from snn_plasticity_gym.kernels.head_images import learn_heads
from snn_plasticity_gym.kernels.simulation import end_image


@compiled()
def act_frozen(b, lives, loop, stream, learning, spikes, memory, shown):
    """Let lifetime `b` live through an episode in which nothing learns; all in place.

    Args:
        b: Lifetime.
        lives: The networks.
        loop: Their closed loops.
        stream: Random stream of the episode.
        learning: What is held back of earlier changes.
        spikes: Room for spikes.
        memory: Room for what is known from the last action.
        shown: Filled in.
    """
    begin_loop(b, lives, loop, memory, spikes, shown)
    for t in range(loop.window * loop.max_actions):
        sense(b, t, lives, loop, stream, memory, spikes, shown)
        if act(b, t, lives, loop, stream, learning, memory, spikes, shown):
            break
    end_image(b, lives, spikes, shown)


@compiled()
def act_closed_form(b, lives, loop, stream, rule, decays, learning, spikes, memory, room, shown):
    """Do what `act_frozen` does in a lifetime that lives by a rule in closed form.

    Args:
        b: Lifetime.
        lives: The networks.
        loop: Their closed loops.
        stream: Random stream of the episode.
        rule: Coefficients.
        decays: Of its traces.
        learning: How weights follow the rule.
        spikes: Room for spikes.
        memory: Room for what is known from the last action.
        room: See the loops of images.
        shown: Filled in; `changes` is added to.
    """
    begin_loop(b, lives, loop, memory, spikes, shown)
    for t in range(loop.window * loop.max_actions):
        sense(b, t, lives, loop, stream, memory, spikes, shown)
        learn_closed_form(b, t, lives, rule, decays, learning, spikes, room, shown)
        if act(b, t, lives, loop, stream, learning, memory, spikes, shown):
            break
    end_image(b, lives, spikes, shown)


@compiled()
def act_formula(b, lives, loop, stream, rule, around, learning, spikes, memory, room, shown):
    """Do what `act_frozen` does in a lifetime that lives by a formula.

    Args:
        b: Lifetime.
        lives: The networks.
        loop: Their closed loops.
        stream: Random stream of the episode.
        rule: The formula.
        around: What its scalars are made of beside neurons.
        learning: How weights follow the rule.
        spikes: Room for spikes.
        memory: Room for what is known from the last action.
        room: See the loops of images.
        shown: Filled in; `changes` is added to.
    """
    begin_loop(b, lives, loop, memory, spikes, shown)
    for t in range(loop.window * loop.max_actions):
        sense(b, t, lives, loop, stream, memory, spikes, shown)
        learn_formula(b, t, lives, rule, around, learning, spikes, room, shown)
        if act(b, t, lives, loop, stream, learning, memory, spikes, shown):
            break
    end_image(b, lives, spikes, shown)


@compiled()
def act_heads(b, lives, loop, stream, rule, around, store, learning, spikes, memory, rooms, shown):
    """Do what `act_frozen` does in a lifetime that lives by heads over a front.

    Args:
        b: Lifetime.
        lives: The networks.
        loop: Their closed loops.
        stream: Random stream of the episode.
        rule: Front and heads.
        around: What scalars are made of beside neurons.
        store: Answers that are kept from episode to episode, of the calling thread's own.
        learning: How weights follow the rule.
        spikes: Room for spikes.
        memory: Room for what is known from the last action.
        rooms: See the loops of images.
        shown: Filled in; `changes` is added to.
    """
    begin_loop(b, lives, loop, memory, spikes, shown)
    for t in range(loop.window * loop.max_actions):
        sense(b, t, lives, loop, stream, memory, spikes, shown)
        learn_heads(b, t, lives, rule, around, store, learning, spikes, rooms, shown)
        if act(b, t, lives, loop, stream, learning, memory, spikes, shown):
            break
    end_image(b, lives, spikes, shown)
