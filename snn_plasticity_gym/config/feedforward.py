"""Settings of the environments with a feed-forward classifier: `Grad` and `Semi`."""

from __future__ import annotations

from typing import Any

from snn_plasticity_gym.config.base import check_neurons
from snn_plasticity_gym.config.groups import GroupOptions
from snn_plasticity_gym.config.images import ImageConfig
from snn_plasticity_gym.config.schema import ConfigError, config_class, only_with, setting

SURROGATE_NAMES = ("rectangular", "polynomial", "sigmoid", "gaussian", "fast_sigmoid", "exponential")
THIRD_FACTORS = ("none", "reward", "teaching", "feedback")


@config_class
class FeedforwardConfig(ImageConfig):
    """A feed-forward network with one output neuron per class, whose synapses share one policy.

    Potentials are dimensionless: with the default constants a membrane halves in a step of 1 ms, and a spike at weight
    1 raises it by 1, its distance to the threshold, whatever the time step.
    """

    num_steps: int = 16
    history_length: int = 16
    hidden_sizes: tuple[int, ...] = setting(
        (256, 128), "Neurons of the hidden layers.", section="Network", ge=1, basic=True
    )
    w_init: float = setting(
        4.0,
        "Initial weights are uniform in +-w_init / sqrt(inputs of the layer), clipped to [w_min, w_max].",
        section="Network",
        gt=0,
    )
    w_min: float = setting(-1.0, "Lower clip of the weights.", section="Network", lt=0)
    w_max: float = setting(1.0, "Upper clip of the weights.", section="Network", gt=0)
    tau_mem: float = setting(2.0, "Membrane time constant.", unit="ms", section="Neurons", gt=0)
    v_rest: float = setting(0.0, "Resting potential.", section="Neurons")
    v_reset: float = setting(0.0, "Potential after a spike.", section="Neurons")
    v_th: float = setting(1.0, "Threshold.", section="Neurons")
    resistance: float = setting(2.0, "Membrane resistance R.", section="Neurons", gt=0)
    eta: float = setting(0.001, "Learning rate: weight change at delta_d = 1.", section="Plasticity", ge=0, basic=True)
    alpha_softmax: float = setting(
        10.0,
        "Sharpness alpha of softmax(alpha * rate), the network's output, in Grad's loss and Semi's feedback; rates are "
        "in spikes per ms.",
        unit="ms",
        section="Reward",
        gt=0,
    )

    def check(self) -> None:
        """Check that settings agree with each other."""
        super().check()
        if not self.hidden_sizes:
            raise ConfigError("hidden_sizes must have at least one entry, got none")
        check_neurons(self)


@config_class
class GradConfig(FeedforwardConfig):
    """A deep feed-forward network whose synapses are rewarded for following the gradient of its loss."""

    max_rate: float = 1.0
    hidden_sizes: tuple[int, ...] = (256, 128, 64, 32)
    layer_scalars: tuple[float, ...] = setting(
        (0.2, 0.4, 0.6, 0.8, 1.0),
        "Scalar that identifies a synapse's layer, one for each layer of synapses.",
        section="Network",
    )
    surrogate: str = setting(
        "rectangular",
        "Surrogate derivative of the spike in the backward pass of the gradient.",
        section="Reward",
        choices=SURROGATE_NAMES,
    )
    surrogate_width: float = setting(1.0, "Width a of the surrogate.", section="Reward", gt=0)
    penalty: float = setting(
        0.0, "Weight lambda of dw^2 in the reward -g dw - lambda dw^2.", section="Reward", ge=0, basic=True
    )

    def check(self) -> None:
        """Check that settings agree with each other."""
        super().check()
        if len(self.layer_scalars) != len(self.hidden_sizes) + 1:
            raise ConfigError(
                f"layer_scalars must have one entry for each of the {len(self.hidden_sizes) + 1} layers of synapses, "
                f"got {len(self.layer_scalars)}"
            )


@config_class
class SemiConfig(FeedforwardConfig, GroupOptions):
    """A classifier rewarded at the end of an image by the margin of the correct output.

    It is a feed-forward network, or one of recurrent winner-take-all groups.
    """

    image_pool: int = 0
    max_rate: float = 0.3
    third_factor: str = setting(
        "none",
        "Third factor, a scalar in each event. reward: the lifetime's last reward minus the running mean; "
        "teaching: the current that drives output neurons towards the label; feedback: the output error, sent to "
        "hidden neurons through fixed random weights.",
        section="Third factor",
        choices=THIRD_FACTORS,
        basic=True,
    )
    factor_steps: int = setting(
        0,
        "Last steps of an image in which a teaching or feedback factor is on; the reward is computed from the steps "
        "before. 0: on in all steps, which all enter the reward, though a teaching current then makes the output "
        "correct whatever the rule does.",
        unit="steps",
        section="Third factor",
        ge=0,
    )
    show_factor: bool = setting(
        True,
        "Show the third factor to synapses, as a scalar of each event. False: with modulation factor alone, where an "
        "answer that contains the factor moves weights by its square, whatever the sign of an error.",
        section="Third factor",
    )
    teaching_current: float = setting(
        1.0,
        "Current of teaching: 1 - 1/C of it into the label's output neuron, minus 1/C of it into the others, with C "
        "classes.",
        section="Third factor",
        gt=0,
    )
    feedback_scale: float = setting(
        0.3, "Standard deviation of the fixed random weights of feedback.", section="Third factor", gt=0
    )
    alpha_margin: float = setting(
        1.0, "Weight alpha_margin of the margin r_y - max r_k between rates, in spikes per ms.", section="Reward", ge=0
    )
    alpha_spike: float = setting(
        0.1, "Weight alpha_spike of the mean output rate, in spikes per ms, a penalty.", section="Reward", ge=0
    )

    def frozen(self) -> dict[str, Any]:
        """Return the settings that freeze networks, as far as they differ."""
        return {**super().frozen(), "show_factor": True}

    def check(self) -> None:
        """Check that settings agree with each other."""
        super().check()
        self.check_groups(self.hidden_sizes)
        if self.factor_steps >= self.num_steps:
            raise ConfigError(
                f"factor_steps must be less than num_steps={self.num_steps}, so that steps are left for the reward, "
                f"got {self.factor_steps}; 0 has the factor on in all steps"
            )
        only_with(self, "third_factor", ("teaching", "feedback"), ["factor_steps"])
        only_with(self, "modulation", ("factor",), ["show_factor"])
        only_with(self, "third_factor", ("teaching",), ["teaching_current"])
        only_with(self, "third_factor", ("feedback",), ["feedback_scale"])
