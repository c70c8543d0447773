"""Winner-take-all networks: against exact enumeration of all states, and by spikes against the mean field."""

import itertools

import pytest
import torch

from snn_plasticity_gym.networks.rwta import (
    GroupLayout,
    RWTAWeights,
    initial_weights,
    input_drive,
    sample_groups,
    settle,
    softmax_groups,
)
from snn_plasticity_gym.networks.rwta_spikes import run_window, silent_traces

LAYOUT = GroupLayout(num_inputs=3, hidden_groups=2, group_size=3, num_actions=2)


def network(scale=1.0, layout=LAYOUT, seed=0) -> RWTAWeights:
    weights = initial_weights(layout, torch.Generator().manual_seed(seed), input_scale=scale, lateral_scale=scale)
    return RWTAWeights(*(part.double() for part in weights))


def states(layout=LAYOUT) -> torch.Tensor:
    """Every state: one neuron active in each group, (states, N)."""
    sizes = [layout.group_size] * layout.hidden_groups + [layout.num_actions]
    rows = []
    for chosen in itertools.product(*map(range, sizes)):
        rows.append(
            torch.cat([torch.nn.functional.one_hot(torch.tensor(k), n) for k, n in zip(chosen, sizes, strict=True)])
        )
    return torch.stack(rows).double()


def exact_rates(weights: RWTAWeights, inputs: torch.Tensor, layout=LAYOUT) -> torch.Tensor:
    """Marginals of the Boltzmann distribution, (B, N), by summing over all states."""
    v = states(layout)
    energy = (
        0.5 * torch.einsum("sn,nm,sm->s", v, weights.lateral, v) + input_drive(weights, inputs) @ v.T
    )  # (B, states)
    return torch.softmax(energy, dim=1) @ v


def test_without_lateral_weights_the_mean_field_is_exact():
    weights = network()._replace(lateral=torch.zeros(8, 8).double())
    inputs = torch.rand(5, 3, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(settle(weights, LAYOUT, input_drive(weights, inputs), 3), exact_rates(weights, inputs))


def test_the_mean_field_is_near_the_enumeration_and_nearer_for_weaker_weights():
    inputs = torch.rand(20, 3, generator=torch.Generator().manual_seed(1)).double()
    errors = []
    for scale in (0.8, 0.4, 0.2):
        weights = network(scale)
        rates = settle(weights, LAYOUT, input_drive(weights, inputs), 200)
        errors.append(float((rates - exact_rates(weights, inputs)).abs().max()))
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-2


def test_a_fixed_point_is_reached_and_groups_sum_to_one():
    weights = network(0.5)
    inputs = torch.rand(4, 3).double()
    drive = input_drive(weights, inputs)
    rates = settle(weights, LAYOUT, drive, 500, tolerance=1e-12)
    torch.testing.assert_close(rates, softmax_groups(drive + rates @ weights.lateral, LAYOUT), rtol=0, atol=1e-8)
    for part in (rates[:, :3], rates[:, 3:6], rates[:, 6:]):
        torch.testing.assert_close(part.sum(dim=1), torch.ones(4).double())


def test_a_held_action_stays_and_reaches_hidden_neurons():
    weights = network()
    drive = input_drive(weights, torch.rand(2, 3).double())
    held = settle(weights, LAYOUT, drive, 5, action=torch.tensor([0, 1]))
    assert held[:, 6:].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    free = settle(weights, LAYOUT, drive, 5)
    assert (held[:, :6] - free[:, :6]).abs().max() > 1e-3


@pytest.mark.parametrize(("name", "off"), [("input_to_action", (slice(None), slice(6, 8))), ("hidden_to_hidden", None)])
def test_what_is_not_connected_has_no_weight(name, off):
    layout = LAYOUT._replace(**{name: False})
    if off is not None:
        assert layout.input_mask()[off].abs().sum() == 0
    else:
        assert layout.lateral_mask()[:6, :6].abs().sum() == 0 and layout.lateral_mask()[:6, 6:].all()
    mask = LAYOUT.lateral_mask()
    assert torch.equal(mask, mask.T) and mask[:3, :3].sum() == 0 and mask[6:, 6:].sum() == 0
    assert layout.num_weights() < LAYOUT.num_weights() == 3 * 8 + 9 + 12


def test_samples_follow_the_rates():
    weights = network()
    rates = settle(weights, LAYOUT, input_drive(weights, torch.rand(1, 3).double()), 5)
    drawn = sample_groups(rates.expand(40_000, -1), LAYOUT, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(dim=0), rates[0], rtol=0, atol=0.02)
    assert (drawn[:, :3].sum(dim=1) == 1).all() and (drawn[:, 6:].sum(dim=1) == 1).all()


def test_spikes_go_to_the_mean_field_as_windows_grow():
    weights, inputs = network(0.6), torch.rand(30, 3, generator=torch.Generator().manual_seed(2)).double()
    rates = settle(weights, LAYOUT, input_drive(weights, inputs), 100)
    errors = []
    for tau, steps in ((5.0, 60), (50.0, 600), (400.0, 6000)):
        window = run_window(
            weights, LAYOUT, inputs, silent_traces(inputs, LAYOUT), torch.Generator().manual_seed(3),
            steps=steps, tau=tau, skip=steps // 5,
        )  # fmt: skip
        errors.append(float((window.rates - rates).abs().mean()))
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.02


def test_windows_that_cannot_be():
    inputs = torch.rand(1, 3).double()
    for settings, message in (
        ({"skip": 5}, "skip must be at least 0 and below steps=5"),
        ({"tau": 0.0}, "tau must be"),
    ):
        with pytest.raises(ValueError, match=message):
            run_window(
                network(), LAYOUT, inputs, silent_traces(inputs, LAYOUT), torch.Generator(),
                **({"steps": 5, "tau": 20.0} | settings),
            )  # fmt: skip
