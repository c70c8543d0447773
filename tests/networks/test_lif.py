"""The neuron against Euler's own solution in closed form, and against a loop over Python floats."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.networks.lif import LIFParams, LIFState, lif_init, lif_step

CPU = torch.device("cpu")
DYADIC = st.sampled_from([1.0, 0.5, 0.25])  # steps that floats hold exactly


def population(params: LIFParams, batch: int = 1, size: int = 1) -> LIFState:
    return lif_init(batch, size, params, CPU, torch.float64)


def constant(value: float, steps: int, params: LIFParams, dt: float) -> Iterator[tuple[bool, LIFState]]:
    """One neuron under constant current: whether it fired, and its state, step by step."""
    state = population(params)
    for _ in range(steps):
        spikes, state = lif_step(torch.full((1, 1), value, dtype=torch.float64), state, params, dt)
        yield bool(spikes), state


def spike_steps(value: float, steps: int, params: LIFParams, dt: float) -> list[int]:
    return [n for n, (fired, _) in enumerate(constant(value, steps, params, dt), start=1) if fired]


@given(
    tau=st.floats(1.0, 200.0),
    dt=st.floats(0.05, 1.0),
    current=st.floats(-5.0, 5.0),
    resistance=st.floats(0.1, 200.0),
    rest=st.floats(-80.0, 10.0),
)
def test_membrane_follows_the_closed_form_of_a_constant_current(
    tau: float, dt: float, current: float, resistance: float, rest: float
) -> None:
    params = LIFParams(tau_mem=tau, v_rest=rest, v_th=math.inf, resistance=resistance)
    for n, (fired, state) in enumerate(constant(current, 20, params, dt), start=1):
        assert not fired
        expected = rest + resistance * current * (1 - (1 - dt / tau) ** n)
        assert float(state.v) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_unit_of_current_raises_the_default_membrane_by_one_millivolt() -> None:
    (_, state), *_ = constant(1.0, 1, LIFParams(), 1.0)
    assert float(state.v) == pytest.approx(-64.0)


def exact_membrane(current: float, jumps: dict[float, float], until: float, params: LIFParams) -> float:
    """Exact subthreshold integration, as in NEST's iaf_psc_delta: Rotter & Diesmann (1999), with delta synapses."""
    potential = 0.0  # above rest
    before = 0.0
    for time, jump in [*sorted(jumps.items()), (until, 0.0)]:
        decay = math.exp(-(time - before) / params.tau_mem)
        potential = potential * decay + params.resistance * current * (1 - decay) + jump
        before = time
    return params.v_rest + potential


def test_euler_converges_to_exact_integration_to_first_order() -> None:
    """Halving dt halves the error: a constant current, and spikes that raise the membrane by some mV at once."""
    params = LIFParams(tau_mem=10.0, v_th=math.inf, resistance=10.0)
    current, jumps, until = 0.9, {2.0: 3.0, 5.0: 4.0, 5.5: -2.0}, 8.0
    errors = []
    for dt in (0.5, 0.25, 0.125, 0.0625, 0.03125):
        state = population(params)
        for step in range(1, round(until / dt) + 1):
            jump = jumps.get(step * dt, 0.0)
            impulse = jump * params.tau_mem / (dt * params.resistance)  # current of one step that raises v by `jump`
            total = torch.full((1, 1), current + impulse, dtype=torch.float64)
            _, state = lif_step(total, state, params, dt)
        errors.append(abs(float(state.v) - exact_membrane(current, jumps, until, params)))
    ratios = [coarse / fine for coarse, fine in pairwise(errors)]
    assert errors[-1] > 1e-4  # there is an error to speak of
    assert ratios == pytest.approx([2.0] * 4, abs=0.15)
    assert ratios[-1] == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize("reset", [-65.0, -70.0, -60.0])
@pytest.mark.parametrize("drive", [13.7, 20.0, 55.0, 400.0])
@pytest.mark.parametrize("dt", [1.0, 0.5])
def test_interspike_intervals_of_a_constant_current(drive: float, reset: float, dt: float) -> None:
    params = LIFParams(tau_mem=20.0, v_reset=reset, resistance=10.0)
    end = params.v_rest + drive  # mV, where the membrane would come to rest

    def steps_from(start: float) -> int:
        """The first n with end + (start - end) * (1 - dt / tau)^n > v_th."""
        return math.floor(math.log((end - params.v_th) / (end - start)) / math.log(1 - dt / params.tau_mem)) + 1

    first, interval = steps_from(params.v_rest), steps_from(reset)
    expected = [first + k * interval for k in range(4)]
    assert spike_steps(drive / 10.0, expected[-1], params, dt) == expected


def test_a_current_below_threshold_never_fires() -> None:
    assert spike_steps(12.99 / 100.0, 3000, LIFParams(), 1.0) == []


@pytest.mark.parametrize("theta", [0.0, 4.0])
def test_the_threshold_itself_is_silent(theta: float) -> None:
    # dt = tau_mem puts the membrane at v_rest + R * I at once, here exactly at the threshold.
    params = LIFParams(tau_mem=1.0, v_rest=-64.0, v_reset=-70.0, resistance=1.0, theta_plus=1.0)
    state = population(params, size=3)._replace(theta=torch.full((1, 3), theta, dtype=torch.float64))
    at = -52.0 + theta + 64.0
    current = torch.tensor([[at - 1e-12, at, at + 1e-12]], dtype=torch.float64)
    spikes, state = lif_step(current, state, params, dt=1.0)
    assert spikes.tolist() == [[False, False, True]]
    assert float(state.v[0, 1]) == -52.0 + theta


def test_only_a_neuron_that_fired_is_reset() -> None:
    params = LIFParams(tau_mem=10.0, v_reset=-71.5, resistance=10.0)
    spikes, state = lif_step(torch.tensor([[12.0, 14.0, -3.0]]).double(), population(params, size=3), params, dt=1.0)
    assert spikes.dtype == torch.bool
    assert spikes.tolist() == [[False, True, False]]
    assert state.v.tolist() == [[pytest.approx(-53.0), -71.5, pytest.approx(-68.0)]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("refractory", "dt", "silent"),
    [(0.0, 1.0, 0), (1.0, 1.0, 1), (5.0, 1.0, 5), (2.0, 0.5, 4), (2.5, 1.0, 3), (0.3, 1.0, 1)]
    # In these the step is no sum of powers of two: rounding must not cost the neuron another step.
    + [(5.0, 0.1, 50), (1.0, 0.2, 5), (5.0, 0.2, 25), (3.0, 0.1, 30), (3.0, 0.3, 10), (2.0, 0.01, 200), (1.1, 0.1, 11)],
)
def test_refractory_neurons_are_silent_for_the_refractory_period(
    refractory: float, dt: float, silent: int, dtype: torch.dtype
) -> None:
    params = LIFParams(refractory=refractory)
    state = lif_init(1, 1, params, CPU, dtype)
    fired = []
    for n in range(3 * (silent + 1)):
        spikes, state = lif_step(torch.full((1, 1), 1e6, dtype=dtype), state, params, dt)
        if spikes:
            fired.append(n)
    assert fired == [0, silent + 1, 2 * (silent + 1)]


def test_refractory_neurons_leak_and_take_no_charge() -> None:
    params = LIFParams(v_reset=-75.0, refractory=4.0)
    history = list(constant(1e4, 6, params, 1.0))
    assert [fired for fired, _ in history] == [True, False, False, False, False, True]
    for n in range(5):
        assert float(history[n][1].v) == pytest.approx(-65.0 - 10.0 * (1 - 1 / 100) ** n)


def test_inhibition_does_not_push_below_the_lowest_potential() -> None:
    params = LIFParams(tau_mem=10.0, resistance=10.0, v_min=-80.0)
    potentials = [float(state.v) for _, state in constant(-10.0, 4, params, 1.0)]
    assert potentials == [-75.0, -80.0, -80.0, -80.0]  # -65 - 10, then -75 - 9 and so on without the bound
    unbound = [float(state.v) for _, state in constant(-10.0, 2, params._replace(v_min=-math.inf), 1.0)]
    assert unbound == [-75.0, -84.0]


@pytest.mark.parametrize("dt", [1.0, 0.5])
def test_threshold_rises_with_spikes_and_decays_between_them(dt: float) -> None:
    params = LIFParams(theta_plus=0.5, tau_theta=20.0)
    decay = math.exp(-dt / 20.0)
    state = population(params)
    for n in range(1, 8):  # fires in every step: a geometric sum
        spikes, state = lif_step(torch.full((1, 1), 1e6, dtype=torch.float64), state, params, dt)
        assert bool(spikes)
        assert float(state.theta) == pytest.approx(0.5 * (1 - decay**n) / (1 - decay))
    top = float(state.theta)
    for n in range(1, 8):
        spikes, state = lif_step(torch.zeros(1, 1, dtype=torch.float64), state, params, dt)
        assert not bool(spikes)
        assert float(state.theta) == pytest.approx(top * decay**n)


def test_the_adaptive_threshold_is_that_before_the_step() -> None:
    params = LIFParams(tau_mem=1.0, v_rest=0.0, v_reset=0.0, v_th=1.0, resistance=1.0, theta_plus=3.0, tau_theta=1.0)
    state = population(params, size=2)._replace(theta=torch.tensor([[2.0, 2.0]], dtype=torch.float64))
    spikes, state = lif_step(torch.tensor([[3.1, 2.9]]).double(), state, params, dt=1.0)  # thresholds of 3
    assert spikes.tolist() == [[True, False]]
    assert state.theta.tolist() == [[pytest.approx(2 / math.e + 3), pytest.approx(2 / math.e)]]


def test_of_several_neurons_the_one_furthest_above_its_own_threshold_fires() -> None:
    params = LIFParams(
        tau_mem=1.0, v_rest=0.0, v_reset=-1.0, v_th=1.0, resistance=1.0, theta_plus=0.25, tau_theta=1e9, one_spike=True
    )
    theta = torch.tensor([[0.0, 5.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    current = torch.tensor([[2.0, 7.5, 2.4, 0.5], [0.9, 1.0, -4.0, 0.0]], dtype=torch.float64)
    spikes, state = lif_step(current, population(params, 2, 4)._replace(theta=theta), params, dt=1.0)
    assert spikes.tolist() == [[False, True, False, False], [False] * 4]  # 1.5 beats 1.4 and 1.0
    assert state.v.tolist() == [[2.0, -1.0, 2.4, 0.5], [0.9, 1.0, -4.0, 0.0]]  # the others keep their potential
    assert state.theta.tolist() == [pytest.approx([0.0, 5.25, 0.0, 0.0]), [0.0] * 4]


def test_of_equals_one_fires_in_each_network() -> None:
    params = LIFParams(one_spike=True)
    spikes, _ = lif_step(torch.full((3, 5), 100.0).double(), population(params, 3, 5), params, dt=1.0)
    assert spikes.sum(dim=1).tolist() == [1, 1, 1]


def test_a_refractory_neuron_does_not_take_the_only_spike() -> None:
    params = LIFParams(refractory=2.0, one_spike=True)
    state = LIFState(v=torch.tensor([[-10.0, -51.0]]), refractory=torch.tensor([[1.0, 0.0]]), theta=torch.zeros(1, 2))
    spikes, state = lif_step(torch.zeros(1, 2), state, params, dt=1.0)
    assert spikes.tolist() == [[False, True]]
    assert state.refractory.tolist() == [[0.0, 2.0]]


@given(
    seed=st.integers(0, 2**31), tau=st.floats(1.0, 50.0), dt=st.floats(0.1, 1.0), reset=st.floats(-2.0, 0.5)
)  # fmt: skip
def test_without_options_it_is_the_plain_neuron(seed: int, tau: float, dt: float, reset: float) -> None:
    params = LIFParams(tau_mem=tau, v_rest=0.0, v_reset=reset, v_th=1.0, resistance=tau)
    currents = np.random.default_rng(seed).normal(0.5, 1.0, 40)
    v, state = 0.0, population(params)
    for current in currents.tolist():
        v += dt / tau * (-v + tau * current)
        assume(abs(v - 1.0) > 1e-9)
        spikes, state = lif_step(torch.full((1, 1), current, dtype=torch.float64), state, params, dt)
        assert bool(spikes) == (v > 1.0)
        v = reset if v > 1.0 else v
        assert float(state.v) == pytest.approx(v, abs=1e-9)
        assert state.refractory.item() == state.theta.item() == 0.0


class Slow(NamedTuple):
    """One network's population, as Python floats."""

    v: list[float]
    wait: list[int]  # silent steps left
    theta: list[float]


def slow_step(current: list[float], slow: Slow, params: LIFParams, dt: float) -> list[bool]:
    """Advance `slow` by one step; reject examples that rounding decides."""
    for k, value in enumerate(current):
        force = params.v_rest - slow.v[k]
        if slow.wait[k] == 0:
            force += params.resistance * value
        slow.v[k] += dt * force / params.tau_mem
    above = {k: v - params.v_th - slow.theta[k] for k, v in enumerate(slow.v) if slow.wait[k] == 0}
    assume(all(abs(excess) > 1e-9 for excess in above.values()))
    fired = sorted((k for k, excess in above.items() if excess > 0), key=lambda k: -above[k])
    if params.one_spike:
        assume(len(fired) < 2 or above[fired[0]] - above[fired[1]] > 1e-9)
        fired = fired[:1]
    for k in range(len(current)):
        slow.theta[k] *= math.exp(-dt / params.tau_theta)
        slow.wait[k] = max(0, slow.wait[k] - 1)
    for k in fired:
        slow.v[k] = params.v_reset
        slow.wait[k] = round(params.refractory / dt)
        slow.theta[k] += params.theta_plus
    return [k in fired for k in range(len(current))]


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    size=st.integers(1, 4),
    dt=DYADIC,
    silent=st.integers(0, 4),
    tau=st.floats(1.0, 30.0),
    reset=st.floats(-68.0, -53.0),
    theta_plus=st.sampled_from([0.0, 0.25, 4.0]),
    tau_theta=st.floats(2.0, 1e4),
    one_spike=st.booleans(),
)
def test_against_a_loop_over_python_floats(
    seed: int,
    batch: int,
    size: int,
    dt: float,
    silent: int,
    tau: float,
    reset: float,
    theta_plus: float,
    tau_theta: float,
    one_spike: bool,
) -> None:
    params = LIFParams(
        tau_mem=tau,
        v_reset=reset,
        resistance=1.7 * tau,
        refractory=silent * dt,
        theta_plus=theta_plus,
        tau_theta=tau_theta,
        one_spike=one_spike,
    )
    currents = np.random.default_rng(seed).normal(4.0, 8.0, (40, batch, size))
    state = population(params, batch, size)
    slow = [Slow([-65.0] * size, [0] * size, [0.0] * size) for _ in range(batch)]
    for current in currents:
        expected = [slow_step(row.tolist(), one, params, dt) for row, one in zip(current, slow, strict=True)]
        spikes, state = lif_step(torch.from_numpy(current), state, params, dt)
        assert spikes.tolist() == expected
    for b, one in enumerate(slow):
        assert state.v[b].tolist() == pytest.approx(one.v, abs=1e-9)
        assert state.theta[b].tolist() == pytest.approx(one.theta, abs=1e-9)
        assert (state.refractory[b] > 0).tolist() == [wait > 0 for wait in one.wait]
        assert (state.refractory[b] >= 0).all()


def test_a_population_begins_at_rest_and_its_tensors_are_its_own() -> None:
    state = lif_init(2, 3, LIFParams(v_rest=-61.0), CPU, torch.float32)
    expected = {"v": -61.0, "refractory": 0.0, "theta": 0.0}
    for name, value in expected.items():
        assert torch.equal(getattr(state, name), torch.full((2, 3), value))
    for name in expected:
        getattr(state, name).fill_(7.0)
        for other in expected:
            if other != name:
                assert not (getattr(state, other) == 7.0).any()
        getattr(state, name).fill_(expected[name])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_states_keep_their_precision(dtype: torch.dtype) -> None:
    params = LIFParams(v_rest=-65.1, v_reset=-65.3, refractory=1.0, theta_plus=0.1, one_spike=True)
    _, state = lif_step(torch.full((1, 1), 1e3, dtype=dtype), lif_init(1, 1, params, CPU, dtype), params, 1.0)
    for part, value in zip(state, (-65.3, 1.0, 0.1), strict=True):
        assert part.dtype == dtype
        assert torch.equal(part, torch.full((1, 1), value, dtype=dtype))


def test_a_step_leaves_what_it_is_given_as_it_was() -> None:
    params = LIFParams(refractory=2.0, theta_plus=1.0, one_spike=True)
    state = LIFState(torch.tensor([[-60.0, -64.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.0]]))
    current = torch.tensor([[50.0, 3.0]])
    copies = [tensor.clone() for tensor in (*state, current)]
    lif_step(current, state, params, 1.0)
    assert all(torch.equal(*pair) for pair in zip((*state, current), copies, strict=True))
