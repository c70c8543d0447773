"""Pictures of kernels: the arrays that are drawn."""

import numpy as np

from snn_plasticity_gym.evaluation.kernels import RateResponse, pair_window
from snn_plasticity_gym.evaluation.probes import Site
from snn_plasticity_gym.evaluation.stdp_fit import fit_window
from snn_plasticity_gym.report.kernel_figures import draw_maps, draw_rates, draw_scalar, draw_windows
from snn_plasticity_gym.rules.registry import make_rule

SITE = Site("input_to_exc", 0, 0, 1.0, 30, extra_names=("factor",))
WEIGHTS = np.array([-0.3, 0.1, 0.9])


def test_windows_show_change_interaction_and_fit():
    window = pair_window(make_rule("target-stdp", mu=0.5), SITE, np.abs(WEIGHTS))
    fit = fit_window(window.delays, window.interaction[1])
    figure = draw_windows("k", ["input to exc"], [window], [WEIGHTS], [fit]).figure
    above, below = figure.axes
    labelled = {line.get_label(): line for line in above.lines if not line.get_label().startswith("_")}
    assert list(labelled) == ["w −0.3", "w 0.1", "w 0.9"]
    for line, change in zip(labelled.values(), window.change, strict=True):
        np.testing.assert_allclose(line.get_xydata(), np.stack([window.delays, change])[:, window.delays > 0].T)
    before = [line for line in above.lines if len(line.get_xdata()) == 29 and line.get_xdata()[-1] == -1]
    np.testing.assert_allclose([line.get_ydata() for line in before], window.change[:, window.delays < 0])
    at_once = [line.get_ydata()[0] for line in above.lines if list(line.get_xdata()) == [0.0]]
    np.testing.assert_allclose(at_once, window.change[:, window.delays == 0][:, 0])
    dots, fall, rise = below.lines[:3]
    np.testing.assert_allclose(dots.get_ydata(), window.interaction[1][window.delays != 0])
    np.testing.assert_allclose(rise.get_ydata(), fit.window(rise.get_xdata()))
    np.testing.assert_allclose(fall.get_ydata(), fit.window(fall.get_xdata()))
    assert "ms" in above.get_xlabel() and "Δd" in above.get_ylabel() and "0.1" in below.get_title()


def test_maps_are_centred_at_no_change():
    window = pair_window(make_rule("stdp"), SITE, np.linspace(0, 1, 5))
    axes, bar = draw_maps("m", ["input to exc"], [window], [np.linspace(0, 1, 5)]).figure.axes
    mesh = axes.collections[0]
    np.testing.assert_allclose(mesh.get_array().reshape(window.change.shape), window.change)
    low, high = mesh.get_clim()
    assert low == -high and high == np.abs(window.change).max()
    assert "weight" in axes.get_ylabel() and "Δd" in bar.get_ylabel()


def test_rates_are_curves_and_a_map():
    rates = np.linspace(0, 100, 6)
    change = np.random.default_rng(0).normal(size=(6, 6))
    figure = draw_rates("r", ["input to exc"], [RateResponse(rates, rates, change, np.full((6, 6), 0.1), 30.0)]).figure
    above, below, _ = figure.axes
    curves = [bars.lines[0] for bars in above.containers]
    np.testing.assert_allclose([line.get_ydata() for line in curves], change[[0, 2, 3, 5]])
    assert [bars.get_label() for bars in above.containers] == ["pre 0 Hz", "pre 40 Hz", "pre 60 Hz", "pre 100 Hz"]
    np.testing.assert_allclose(below.collections[0].get_array().reshape(6, 6), change)
    assert below.get_xlabel() == "post rate (Hz)" and below.get_ylabel() == "pre rate (Hz)"


def test_dependence_on_a_scalar_is_that_of_the_rule():
    values = np.array([-1.0, 0.0, 0.5])
    window = pair_window(make_rule("delta"), SITE, np.full(3, 0.2), values[:, None])
    _, below = draw_scalar("s", "factor", ["input to exc"], [window], [values]).figure.axes
    lines = {line.get_label(): line.get_ydata() for line in below.lines}
    np.testing.assert_allclose(lines["pre"], values)  # the delta rule acts at pre spikes alone
    np.testing.assert_allclose(lines["post"], 0 * values)
    for name in ("pre, post", "post, pre", "at once"):
        np.testing.assert_allclose(lines[name], values)
