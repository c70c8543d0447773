"""Settings of the environments: sound defaults, and one line for everything that is refused."""

import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.config.environments import (
    ENVIRONMENTS,
    EnvironmentConfig,
    SemiConfig,
    Unsup1Config,
    environment_config,
)
from snn_plasticity_gym.config.schema import SettingInfo, setting_fields, to_dict

UNSUP1 = "SNNPlastic-Unsup1-v0"
SETTINGS = {info.name: info for info in setting_fields(Unsup1Config)}
NUMBERS = [info for info in SETTINGS.values() if info.kind in (int, float)]
CHOICES = [info for info in SETTINGS.values() if info.choices]


def refusal(**settings: Any) -> str:
    """The one line that wrong settings get."""
    with pytest.raises(ValueError) as caught:
        environment_config(UNSUP1, **settings)
    message = str(caught.value)
    assert message and "\n" not in message
    return message


# Each: the settings, and what the line must name: argument, value, what is allowed.
BAD = [
    # Out of range
    ({"num_steps": 0}, ["num_steps", "got 0", "greater than or equal to 1"]),
    ({"history_length": 0}, ["history_length", "got 0", "greater than or equal to 1"]),
    ({"history_length": -5}, ["history_length", "got -5", "greater than or equal to 1"]),
    ({"n_exc": 0}, ["n_exc", "got 0", "greater than or equal to 1"]),
    ({"n_exc": -400}, ["n_exc", "got -400", "greater than or equal to 1"]),
    ({"dt": 0.0}, ["dt", "got 0.0", "greater than 0"]),
    ({"dt": -1.0}, ["dt", "got -1.0", "greater than 0"]),
    ({"max_rate": -0.1}, ["max_rate", "got -0.1", "greater than or equal to 0"]),
    ({"max_rate": 1.01}, ["max_rate", "got 1.01", "at most 1 / dt = 1 spikes per ms", "lower max_rate or dt"]),
    ({"max_rate": 0.3, "dt": 4.0}, ["max_rate", "got 0.3", "at most 1 / dt = 0.25 spikes per ms"]),
    ({"image_pool": -1}, ["image_pool", "got -1", "greater than or equal to 0"]),
    ({"lifetime_length": -1}, ["lifetime_length", "got -1", "greater than or equal to 0"]),
    ({"events_per_step": 0}, ["events_per_step", "got 0", "greater than or equal to 1"]),
    ({"plastic_episodes": 4, "lifetime_length": 4}, ["plastic_episodes=4", "lifetime_length=4", "less than"]),
    ({"heldout_pool": 4}, ["heldout_pool=4", "needs plastic_episodes", "plastic_episodes=0"]),
    ({"heldout_shift": 1}, ["heldout_shift=1", "needs plastic_episodes", "plastic_episodes=0"]),
    ({"heldout_shift": 14, "image_size": 14, "plastic_episodes": 1}, ["heldout_shift", "image_size=14", "got 14"]),
    ({"gain_input_exc": 0.0}, ["gain_input_exc", "got 0.0", "greater than 0"]),
    ({"gain_exc_inh": -1.0}, ["gain_exc_inh", "got -1.0", "greater than or equal to 0"]),
    ({"gain_inh_exc": -1.0}, ["gain_inh_exc", "got -1.0", "greater than or equal to 0"]),
    ({"w_exc_max": 0.0}, ["w_exc_max", "got 0.0", "greater than 0"]),
    ({"w_exc_sum": -1.0}, ["w_exc_sum", "got -1.0", "greater than or equal to 0"]),
    (
        {"w_exc_sum": 78.4, "image_size": 7},
        ["w_exc_sum", "at most 49", "49 inputs times w_exc_max=1", "got 78.4", "lower w_exc_sum, or raise w_exc_max"],
    ),
    ({"w_exc_sum": 1000.0}, ["w_exc_sum", "at most 784", "784 inputs", "got 1000"]),
    ({"w_exc_sum": 400.0, "w_exc_max": 0.5, "w_exc_init_max": 0.4}, ["w_exc_sum", "at most 392", "w_exc_max=0.5"]),
    (
        {"w_exc_sum": 7.1, "image_size": 7, "exc_norm": "l2"},
        ["w_exc_sum", "at most 7 ", "the root of 49 inputs", "exc_norm=l2", "got 7.1"],
    ),
    ({"w_exc_sum": 5.0, "w_exc_init_max": 0.0}, ["w_exc_sum=5", "w_exc_init_max=0", "raise w_exc_init_max"]),
    ({"w_inh_min": 0.0}, ["w_inh_min", "got 0.0", "less than 0"]),
    ({"exc_tau_mem": 0.0}, ["exc_tau_mem", "got 0.0", "greater than 0"]),
    ({"exc_resistance": -1.0}, ["exc_resistance", "got -1.0", "greater than 0"]),
    ({"exc_refractory": -1.0}, ["exc_refractory", "got -1.0", "greater than or equal to 0"]),
    ({"exc_theta_plus": -1.0}, ["exc_theta_plus", "got -1.0", "greater than or equal to 0"]),
    ({"exc_tau_theta": 0.0}, ["exc_tau_theta", "got 0.0", "greater than 0"]),
    ({"inh_tau_mem": -1.0}, ["inh_tau_mem", "got -1.0", "greater than 0"]),
    ({"inh_resistance": 0.0}, ["inh_resistance", "got 0.0", "greater than 0"]),
    ({"inh_refractory": -1.0}, ["inh_refractory", "got -1.0", "greater than or equal to 0"]),
    ({"eta_exc": -0.1}, ["eta_exc", "got -0.1", "greater than or equal to 0"]),
    ({"eta_inh": -0.1}, ["eta_inh", "got -0.1", "greater than or equal to 0"]),
    ({"alpha_unsup": -1.0}, ["alpha_unsup", "got -1.0", "greater than or equal to 0"]),
    ({"c_sparsity": -1.0}, ["c_sparsity", "got -1.0", "greater than or equal to 0"]),
    ({"c_diversity": -1.0}, ["c_diversity", "got -1.0", "greater than or equal to 0"]),
    ({"c_stability": -1.0}, ["c_stability", "got -1.0", "greater than or equal to 0"]),
    ({"target_active": 1.5}, ["target_active", "got 1.5", "less than or equal to 1"]),
    ({"target_active": -0.5}, ["target_active", "got -0.5", "greater than or equal to 0"]),
    ({"winner_window": 0.0}, ["winner_window", "got 0.0", "greater than 0"]),
    # Wrong types
    ({"num_steps": 10.5}, ["num_steps", "got 10.5", "integer"]),
    ({"num_steps": "100"}, ["num_steps", "got '100'", "integer"]),
    ({"n_exc": True}, ["n_exc", "got True", "integer"]),
    ({"n_exc": None}, ["n_exc", "got None", "integer"]),
    ({"dt": "1.0"}, ["dt", "got '1.0'", "number"]),
    ({"dt": [1.0]}, ["dt", "number"]),
    ({"common_noise": 1}, ["common_noise", "got 1", "boolean"]),
    ({"exc_one_spike": "no"}, ["exc_one_spike", "got 'no'", "boolean"]),
    ({"dataset": 3}, ["dataset", "got 3", "string"]),
    ({"data_dir": 3}, ["data_dir", "got 3", "string", "None"]),
    # Names
    ({"dataset": "cifar"}, ["dataset", "'cifar'", "auto, mnist, fashion-mnist, kmnist, digits"]),
    ({"dataset": "digit"}, ["dataset", "'digit'", "did you mean 'digits'?"]),
    ({"split": "valid"}, ["split", "'valid'", "train, validation, test"]),
    ({"event_kinds": "both"}, ["event_kinds", "'both'", "merged, feature, split, pre, post"]),
    ({"reward_form": "mean"}, ["reward_form", "'mean'", "sum, product"]),
    ({"n_ex": 3}, ["unknown argument 'n_ex'", "did you mean 'n_exc'?"]),
    ({"history_len": 3}, ["unknown argument 'history_len'", "did you mean 'history_length'?"]),
    ({"foo": 3}, ["unknown argument 'foo'", "num_steps"]),
    # Contradictions
    ({"history_length": 101}, ["history_length=101", "num_steps=100", "at most"]),
    ({"num_steps": 99}, ["history_length=100", "num_steps=99", "at most"]),
    ({"num_steps": 16, "history_length": 17}, ["history_length=17", "num_steps=16"]),
    ({"w_exc_init_min": 0.7}, ["w_exc_init_min", "w_exc_init_max", "0.7 and 0.6"]),
    ({"w_exc_init_min": -0.1}, ["input -> E", "[0, w_exc_max=1.0]", "[-0.1, 0.6]"]),
    ({"w_exc_init_max": 1.1}, ["input -> E", "[0, w_exc_max=1.0]", "1.1"]),
    ({"w_exc_max": 0.2}, ["input -> E", "w_exc_max=0.2", "0.6"]),
    ({"w_inh_init_min": -0.1, "w_inh_init_max": -0.9}, ["w_inh_init_min", "w_inh_init_max", "-0.1 and -0.9"]),
    ({"w_inh_init_max": 0.1}, ["I -> E", "[w_inh_min=-1.0, 0]", "0.1"]),
    ({"w_inh_init_min": -1.5}, ["I -> E", "w_inh_min=-1.0", "-1.5"]),
    ({"w_inh_min": -0.001}, ["I -> E", "w_inh_min=-0.001"]),
    ({"exc_v_th": -65.0}, ["exc_v_th", "exc_v_reset=-65.0", "exc_v_rest=-65.0", "got -65.0", "above"]),
    ({"exc_v_reset": -51.0}, ["exc_v_th", "exc_v_reset=-51.0", "-52.0"]),
    ({"exc_v_rest": -52.0}, ["exc_v_th", "exc_v_rest=-52.0", "-52.0"]),
    ({"exc_v_min": -64.0}, ["exc_v_min", "exc_v_rest=-65.0", "exc_v_reset=-65.0", "got -64.0"]),
    ({"inh_v_th": -45.0}, ["inh_v_th", "inh_v_reset=-45.0", "got -45.0"]),
    ({"inh_v_rest": 0.0}, ["inh_v_th", "inh_v_rest=0.0", "-40.0"]),
    ({"dt": 10.5}, ["dt", "inh_tau_mem=10.0", "got 10.5", "at most"]),
    ({"exc_tau_mem": 0.5}, ["dt", "exc_tau_mem=0.5", "got 1.0", "at most"]),
    ({"c_sparsity": 0.0, "c_diversity": 0.0}, ["c_sparsity + c_diversity", "0.0 + 0.0", "greater than 0"]),
]


@pytest.mark.parametrize(("settings", "parts"), BAD, ids=[str(settings) for settings, _ in BAD])
def test_bad_settings_are_refused_in_one_line(settings: dict[str, Any], parts: list[str]) -> None:
    message = refusal(**settings)
    for part in parts:
        assert part in message


@pytest.mark.parametrize("info", NUMBERS, ids=lambda info: info.name)
def test_no_number_takes_what_is_none(info: SettingInfo) -> None:
    left_open = [] if info.default is None else [None]
    for value in (math.nan, math.inf, -math.inf, "1", True, *left_open):
        message = refusal(**{info.name: value})
        assert info.name in message and f"got {value!r}" in message


@pytest.mark.parametrize("info", CHOICES, ids=lambda info: info.name)
def test_choices_are_listed_in_the_refusal(info: SettingInfo) -> None:
    message = refusal(**{info.name: "nonsense"})
    assert info.name in message and "'nonsense'" in message and ", ".join(info.choices) in message


@pytest.mark.parametrize("info", NUMBERS, ids=lambda info: info.name)
def test_bounds_hold_at_their_very_edge(info: SettingInfo) -> None:
    """A closed bound is no error of range by itself; one step beyond a bound is."""
    for key, bound in info.bounds:
        if key in ("ge", "le"):
            beyond = bound + (1 if key == "le" else -1) * (1 if info.kind is int else 1e-9)
        else:
            beyond = bound
        message = refusal(**{info.name: info.kind(beyond)})
        assert f"{info.name} must be" in message and info.range in message


@pytest.mark.parametrize(
    "settings",
    [
        {"history_length": 100},
        {"num_steps": 1, "history_length": 1},
        {"n_exc": 1},
        {"max_rate": 0.0},
        {"max_rate": 1.0},
        {"target_active": 0.0},
        {"target_active": 1.0},
        {"w_exc_init_min": 0.3},
        {"w_exc_init_min": 0.0, "w_exc_init_max": 0.0},
        {"w_exc_init_max": 1.0},
        {"w_inh_init_min": -1.0, "w_inh_init_max": 0.0},
        {"w_exc_sum": 784.0},
        {"w_exc_sum": 49.0, "image_size": 7},
        {"w_exc_sum": 7.0, "image_size": 7, "exc_norm": "l2"},
        {"max_rate": 4.0, "dt": 0.25},
        {"dt": 10.0},
        {"c_sparsity": 0.0},
        {"c_diversity": 0.0, "c_stability": 0.0},
        {"image_pool": 0},
        {"dt": 1},  # an int is a number
    ],
)
def test_the_edges_of_what_is_allowed(settings: dict[str, Any]) -> None:
    config = environment_config(UNSUP1, **settings)
    assert {name: getattr(config, name) for name in settings} == settings


@given(length=st.integers(1, 300), steps=st.integers(1, 300))
def test_histories_are_never_longer_than_images(length: int, steps: int) -> None:
    if length <= steps:
        assert environment_config(UNSUP1, history_length=length, num_steps=steps).num_steps == steps
    else:
        message = refusal(history_length=length, num_steps=steps)
        assert f"history_length={length}" in message and f"num_steps={steps}" in message


def test_several_mistakes_are_named_together() -> None:
    message = refusal(n_exc=0, dt=-1.0, foo=1)
    assert "n_exc must be" in message and "dt must be" in message and "'foo'" in message


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_defaults_are_valid_and_documented(env_id: str) -> None:
    config = environment_config(env_id)
    assert type(config) is ENVIRONMENTS[env_id]
    assert isinstance(config, EnvironmentConfig)
    for info in setting_fields(type(config)):
        assert info.section and info.help.endswith("."), info.name
        assert getattr(config, info.name) == info.default


def test_defaults_of_the_design() -> None:
    config = environment_config(UNSUP1)
    assert isinstance(config, Unsup1Config)
    assert (config.num_steps, config.history_length, config.n_exc) == (100, 100, 400)
    assert config.event_kinds == "merged"
    # Options are off in the plain presets.
    assert config.exc_refractory == config.inh_refractory == config.exc_theta_plus == config.w_exc_sum == 0.0
    assert not config.exc_one_spike


@pytest.mark.parametrize("env_id", ["Pong-v5", "xyz", ""])
def test_unknown_environments_are_refused(env_id: str) -> None:
    with pytest.raises(ValueError) as caught:
        environment_config(env_id)
    assert repr(env_id) in str(caught.value) and UNSUP1 in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("env_id", "near"),
    [("SNNPlastic-Unsup1-v1", UNSUP1), ("snnplastic-unsup1-v0", UNSUP1), ("SNNPlastic-Grd-v0", "SNNPlastic-Grad-v0")],
)
def test_the_environment_that_was_meant_is_named(env_id: str, near: str) -> None:
    with pytest.raises(ValueError) as caught:
        environment_config(env_id)
    assert repr(env_id) in str(caught.value) and f"did you mean {near!r}?" in str(caught.value)


# The other environments: what differs from Unsup1.

GRAD = "SNNPlastic-Grad-v0"

BAD_GRAD = [
    ({"history_length": 17}, ["history_length=17", "num_steps=16", "at most"]),
    ({"hidden_sizes": ()}, ["hidden_sizes", "at least one"]),
    ({"hidden_sizes": (8, 0)}, ["hidden_sizes[1]", "greater than or equal to 1", "got 0"]),
    ({"hidden_sizes": (8, 2.5)}, ["hidden_sizes[1]", "integer", "got 2.5"]),
    ({"hidden_sizes": 8}, ["hidden_sizes", "got 8"]),
    ({"hidden_sizes": (8, 8)}, ["layer_scalars", "3 layers", "got 5"]),
    ({"layer_scalars": (0.1,)}, ["layer_scalars", "5 layers", "got 1"]),
    ({"layer_scalars": (0.1, 0.2, math.nan, 0.4, 0.5)}, ["layer_scalars[2]", "finite", "got nan"]),
    ({"w_init": 0.0}, ["w_init", "greater than 0", "got 0.0"]),
    ({"w_min": 0.0}, ["w_min", "less than 0", "got 0.0"]),
    ({"w_max": 0.0}, ["w_max", "greater than 0", "got 0.0"]),
    ({"v_th": 0.0}, ["v_th", "v_reset=0.0", "v_rest=0.0", "got 0.0", "above"]),
    ({"v_reset": 2.0}, ["v_th", "v_reset=2.0", "got 1.0"]),
    ({"dt": 2.5, "max_rate": 0.3}, ["dt", "tau_mem=2.0", "got 2.5", "at most"]),
    ({"eta": -1.0}, ["eta", "greater than or equal to 0", "got -1.0"]),
    ({"penalty": -1.0}, ["penalty", "greater than or equal to 0", "got -1.0"]),
    ({"alpha_softmax": 0.0}, ["alpha_softmax", "greater than 0", "got 0.0"]),
    ({"surrogate_width": 0.0}, ["surrogate_width", "greater than 0", "got 0.0"]),
    ({"surrogate": "rectangle"}, ["surrogate", "'rectangle'", "did you mean 'rectangular'?"]),
    ({"n_exc": 5}, ["unknown argument 'n_exc'"]),
]


@pytest.mark.parametrize(("settings", "parts"), BAD_GRAD, ids=[str(settings) for settings, _ in BAD_GRAD])
def test_bad_settings_of_the_gradient_environment(settings: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        environment_config(GRAD, **settings)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


SEMI = "SNNPlastic-Semi-v0"

BAD_SEMI = [
    # Names of third factors
    ({"third_factor": "nothing"}, ["third_factor", "'nothing'", "none, reward, teaching, feedback"]),
    ({"third_factor": ""}, ["third_factor", "''", "none, reward, teaching, feedback"]),
    ({"third_factor": "Feedback"}, ["third_factor", "'Feedback'", "none, reward, teaching, feedback"]),
    ({"third_factor": "teachin"}, ["third_factor", "'teachin'", "did you mean 'teaching'?"]),
    ({"third_factor": None}, ["third_factor", "string", "got None"]),
    # Steps that are left to judge
    ({"third_factor": "teaching", "factor_steps": 16}, ["factor_steps", "num_steps=16", "less than", "got 16"]),
    ({"third_factor": "feedback", "factor_steps": 17}, ["factor_steps", "num_steps=16", "less than", "got 17"]),
    (
        {"third_factor": "feedback", "factor_steps": 5, "num_steps": 5, "history_length": 5},
        ["factor_steps", "num_steps=5", "got 5"],
    ),
    ({"factor_steps": -1}, ["factor_steps", "greater than or equal to 0", "got -1"]),
    ({"factor_steps": 2.5}, ["factor_steps", "integer", "got 2.5"]),
    # Factors that do not pass
    ({"factor_steps": 1}, ["factor_steps", "teaching or feedback", "got 1", "none"]),
    ({"third_factor": "none", "factor_steps": 8}, ["factor_steps", "teaching or feedback", "got 8", "none"]),
    ({"third_factor": "reward", "factor_steps": 8}, ["factor_steps", "teaching or feedback", "got 8", "reward"]),
    ({"teaching_current": 2.0}, ["teaching_current", "third_factor teaching", "got 2.0", "none", "to 1.0"]),
    ({"third_factor": "feedback", "teaching_current": 2.0}, ["teaching_current", "third_factor teaching", "feedback"]),
    ({"show_factor": False}, ["show_factor", "modulation factor", "got False", "none", "to True"]),
    ({"third_factor": "feedback", "show_factor": False}, ["show_factor", "modulation factor", "got False", "none"]),
    ({"feedback_scale": 0.1}, ["feedback_scale", "third_factor feedback", "got 0.1", "none", "to 0.3"]),
    ({"third_factor": "reward", "feedback_scale": 0.1}, ["feedback_scale", "third_factor feedback", "reward"]),
    # Ranges
    ({"teaching_current": 0.0}, ["teaching_current", "greater than 0", "got 0.0"]),
    ({"teaching_current": -1.0}, ["teaching_current", "greater than 0", "got -1.0"]),
    ({"feedback_scale": 0.0}, ["feedback_scale", "greater than 0", "got 0.0"]),
    ({"reward_window": 0.0}, ["reward_window", "greater than", "got 0.0"]),
    ({"alpha_margin": -0.1}, ["alpha_margin", "greater than or equal to 0", "got -0.1"]),
    ({"alpha_spike": -0.1}, ["alpha_spike", "greater than or equal to 0", "got -0.1"]),
    ({"alpha_spike": math.nan}, ["alpha_spike", "finite", "got nan"]),
    ({"alpha_softmax": 0.0}, ["alpha_softmax", "greater than 0", "got 0.0"]),
    # What it shares with Grad, and what it does not
    ({"hidden_sizes": ()}, ["hidden_sizes", "at least one"]),
    ({"history_length": 17}, ["history_length=17", "num_steps=16", "at most"]),
    ({"v_th": 0.0}, ["v_th", "v_reset=0.0", "v_rest=0.0", "got 0.0", "above"]),
    ({"layer_scalars": (0.5, 1.0)}, ["unknown argument 'layer_scalars'"]),
    ({"surrogate": "sigmoid"}, ["unknown argument 'surrogate'"]),
]


@pytest.mark.parametrize(("settings", "parts"), BAD_SEMI, ids=[str(settings) for settings, _ in BAD_SEMI])
def test_bad_settings_of_the_semi_supervised_environment(settings: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        environment_config(SEMI, **settings)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    "settings",
    [
        {"third_factor": "reward"},
        {"third_factor": "teaching", "factor_steps": 0},
        {"third_factor": "teaching", "factor_steps": 15},
        {"third_factor": "feedback", "factor_steps": 1},
        {"third_factor": "feedback", "factor_steps": 1, "num_steps": 2, "history_length": 2},
        {"alpha_margin": 0.0, "alpha_spike": 0.0},
        {"third_factor": "reward", "reward_window": 1.0},
        {"hidden_sizes": (1,)},
    ],
)
def test_the_edges_of_what_the_semi_supervised_environment_allows(settings: dict[str, Any]) -> None:
    config = environment_config(SEMI, **settings)
    assert {name: getattr(config, name) for name in settings} == settings


def test_the_reward_is_compared_with_a_mean_of_at_least_one_image() -> None:
    """Below 1, steps of 1 / reward_window overshoot: at 0.5 the mean leaves its rewards, below that it explodes."""
    with pytest.raises(ValueError, match=r"^reward_window must be greater than or equal to 1[^\n]*0\.25$"):
        environment_config(SEMI, third_factor="reward", reward_window=0.25)


def test_defaults_of_the_semi_supervised_design() -> None:
    config = environment_config(SEMI)
    assert isinstance(config, SemiConfig)
    assert (config.num_steps, config.history_length, config.hidden_sizes) == (16, 16, (256, 128))
    assert (config.third_factor, config.factor_steps, config.event_kinds) == ("none", 0, "merged")


def test_two_heads_learn_half_as_fast_and_share_all_else() -> None:
    one, two = environment_config(UNSUP1), environment_config("SNNPlastic-Unsup2-v0")
    differing = [info.name for info in SETTINGS.values() if getattr(one, info.name) != getattr(two, info.name)]
    assert differing == ["alpha_unsup"]
    assert "w_exc_init_min" in refusal(w_exc_init_min=0.7)
    with pytest.raises(ValueError, match="w_exc_init_min must be at most w_exc_init_max"):
        environment_config("SNNPlastic-Unsup2-v0", w_exc_init_min=0.7)


def test_import_needs_no_torch() -> None:
    code = "import sys, snn_plasticity_gym.config.environments; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_networks_with_a_hidden_factor_can_be_frozen():
    config = SemiConfig(third_factor="feedback", modulation="factor", show_factor=False)
    frozen = SemiConfig(**(to_dict(config) | config.frozen()))
    assert (frozen.modulation, frozen.show_factor, frozen.third_factor) == ("none", True, "feedback")
