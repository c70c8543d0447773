"""Settings of networks of winner-take-all groups, which several environments have."""

from __future__ import annotations

from typing import Any

from snn_plasticity_gym.config.schema import ConfigError, setting

FEEDFORWARD, RWTA = "feedforward", "rwta"
NETWORKS = (FEEDFORWARD, RWTA)
OF_GROUPS = {"wta_size": 10, "wta_width": 1.0, "input_to_output": False}  # settings of rwta alone, and what they are
NETWORK_HELP = (
    "feedforward: layers of LIF neurons, all to all from each to the next. rwta: recurrent winner-take-all groups "
    "(Yang et al., 2022): in each step exactly one neuron of each group spikes, drawn by the softmax of potentials, "
    "which have no threshold, reset or refractory period; the input reaches every hidden layer, and hidden layers and "
    "output, which is one group, reach each other both ways, backwards by the spikes of the step before."
)


def network_setting() -> Any:
    """Return the setting `network`."""
    return setting(FEEDFORWARD, NETWORK_HELP, section="Network", choices=NETWORKS)


def wta_size_setting() -> Any:
    """Return the setting `wta_size`."""
    return setting(OF_GROUPS["wta_size"], "Neurons of a hidden group of network rwta.", section="Network", ge=2)


def wta_width_setting() -> Any:
    """Return the setting `wta_width`."""
    return setting(
        OF_GROUPS["wta_width"],
        "Width of the softmax of network rwta, in units of potentials. For rule svpg with width = wta_width / (v_th - "
        "v_rest) the score is exact.",
        section="Network",
        gt=0,
    )


def input_to_output_setting() -> Any:
    """Return the setting `input_to_output`."""
    return setting(
        OF_GROUPS["input_to_output"], "Input reaches the output of network rwta directly, too.", section="Network"
    )


def check_groups(config: Any) -> None:
    """Refuse hidden layers that are not made of whole groups, and settings of groups where there are none.

    Args:
        config: Has network, hidden_sizes, wta_size, wta_width and input_to_output.
    """
    if config.network != RWTA:
        for name, unset in OF_GROUPS.items():
            if getattr(config, name) != unset:
                raise ConfigError(f"{name} is for network rwta; set network to rwta, or leave it out")
        return
    for size in config.hidden_sizes:
        if size % config.wta_size:
            raise ConfigError(
                f"hidden_sizes of network rwta must be multiples of wta_size={config.wta_size}, got "
                f"{list(config.hidden_sizes)}; change one of them"
            )
    if not config.hidden_sizes and not config.input_to_output:
        raise ConfigError("network rwta without hidden_sizes needs input_to_output, or nothing reaches the output")
