"""Settings of networks of winner-take-all groups that contradict each other: one line, before work starts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_plasticity_gym.config.control import ControlConfig
from snn_plasticity_gym.config.environments import SemiConfig
from snn_plasticity_gym.config.schema import ConfigError

BOTH = [SemiConfig, ControlConfig]


@given(st.sampled_from(BOTH), st.lists(st.integers(1, 40), min_size=1, max_size=3), st.integers(2, 12))
def test_hidden_layers_are_made_of_whole_groups(config, sizes, size):
    wanted = {"network": "rwta", "hidden_sizes": tuple(sizes), "wta_size": size}
    if all(neurons % size == 0 for neurons in sizes):
        config(**wanted)
        return
    with pytest.raises(ConfigError, match=f"multiples of wta_size={size}, got .*; change one of them$"):
        config(**wanted)


@pytest.mark.parametrize("config", BOTH)
@pytest.mark.parametrize("size", [-1, 0, 1])
def test_a_group_has_a_choice(config, size):
    with pytest.raises(ConfigError, match=f"wta_size must be .*2, got {size}"):
        config(wta_size=size)


@pytest.mark.parametrize("config", BOTH)
@pytest.mark.parametrize(("name", "value"), [("input_to_output", True), ("wta_size", 5), ("wta_width", 0.5)])
def test_layers_of_lif_neurons_have_no_groups(config, name, value):
    default = config.__dataclass_fields__[name].default
    mend = f"{name} to {default}" if default else f"leave {name} out"
    said = f"{name} is for network rwta, got {value} with network feedforward; set network to rwta, or {mend}"
    with pytest.raises(ConfigError, match=f"^{said}$"):
        config(**{name: value})
    config(**{name: default})


@pytest.mark.parametrize(
    ("config", "name", "value"),
    [
        (SemiConfig, "v_reset", -0.5),
        (ControlConfig, "v_reset", -0.5),
        (ControlConfig, "refractory", 0.0),
        (ControlConfig, "recurrent", True),
        (ControlConfig, "hidden_fields", 2),
        (ControlConfig, "inhibition", 0.1),
        (ControlConfig, "deaf", 0.5),
    ],
)
def test_what_groups_have_not_is_refused(config, name, value):
    default = config.__dataclass_fields__[name].default
    mend = f"{name} to {default}" if default else f"leave {name} out"
    said = f"{name} is for network feedforward, got {value} with network rwta; set network to feedforward, or {mend}"
    with pytest.raises(ConfigError, match=f"^{said}$"):
        config(network="rwta", hidden_sizes=(20,), **{name: value})
    config(network="rwta", hidden_sizes=(20,), **{name: default})


def test_something_reaches_the_output():
    with pytest.raises(ConfigError, match="without hidden_sizes needs input_to_output, or nothing reaches the output"):
        ControlConfig(network="rwta", hidden_sizes=())
    ControlConfig(network="rwta", hidden_sizes=(), input_to_output=True)
