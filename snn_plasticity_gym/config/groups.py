"""Settings of networks of winner-take-all groups, common to several environments."""

from __future__ import annotations

from collections.abc import Sequence

from snn_plasticity_gym.config.schema import ConfigError, config_class, only_with, setting, setting_fields

FEEDFORWARD, RWTA = "feedforward", "rwta"
OF_LAYERS = ("v_reset", "refractory", "recurrent", "hidden_fields", "inhibition", "deaf")  # settings of feedforward


@config_class
class GroupOptions:
    """Network type and winner-take-all groups of an environment."""

    network: str = setting(
        FEEDFORWARD,
        "feedforward: layers of LIF neurons, all to all from each to the next. rwta: recurrent winner-take-all groups "
        "(Yang et al., 2022): in each step exactly one neuron of each group spikes, sampled by the softmax of "
        "potentials, which have no threshold, reset or refractory period; the input reaches every hidden layer, and "
        "hidden layers and output, which is one group, reach each other both ways, backwards by the spikes of the step "
        "before.",
        section="Network",
        choices=(FEEDFORWARD, RWTA),
    )
    wta_size: int = setting(10, "Neurons of a hidden group of network rwta.", section="Network", ge=2)
    wta_width: float = setting(
        1.0,
        "Width of the softmax of network rwta, in units of potentials. For rule svpg with width = wta_width / (v_th - "
        "v_rest) the score is exact.",
        section="Network",
        gt=0,
    )
    input_to_output: bool = setting(False, "Input reaches the output of network rwta directly, too.", section="Network")

    def check_groups(self, hidden_sizes: Sequence[int]) -> None:
        """Check that hidden layers consist of whole groups, and that no setting is of another network type."""
        of_groups = [info.name for info in setting_fields(GroupOptions) if info.name != "network"]
        only_with(self, "network", [RWTA], of_groups)
        only_with(self, "network", [FEEDFORWARD], [name for name in OF_LAYERS if hasattr(self, name)])
        if self.network != RWTA:
            return
        for size in hidden_sizes:
            if size % self.wta_size:
                raise ConfigError(
                    f"hidden_sizes of network rwta must be multiples of wta_size={self.wta_size}, got "
                    f"{list(hidden_sizes)}; change one of them"
                )
        if not hidden_sizes and not self.input_to_output:
            raise ConfigError("network rwta without hidden_sizes needs input_to_output, or nothing reaches the output")
