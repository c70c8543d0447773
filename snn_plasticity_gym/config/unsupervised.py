"""Settings of the unsupervised environments: a Diehl-Cook network, and the reward of its responses."""

from __future__ import annotations

import math

from snn_plasticity_gym.config.base import check_neurons
from snn_plasticity_gym.config.images import ImageConfig
from snn_plasticity_gym.config.schema import ConfigError, config_class, setting

NORMS = ("l1", "l2")
INFORMATION, RECONSTRUCTION = "information", "reconstruction"
REWARD_FORMS = ("sum", "product", INFORMATION, RECONSTRUCTION)
OF_THE_WHOLE = (INFORMATION, RECONSTRUCTION)  # no part of such a reward is a neuron's own
CREDITS = ("global", "neuron")


@config_class
class UnsupervisedConfig(ImageConfig):
    """A Diehl-Cook network rewarded for sparse, diverse and stable responses.

    Weights are dimensionless; a gain turns a weight into the charge of a spike (current times ms), and resistance /
    tau_mem turns charge into mV, which is 1 mV per unit with the default constants of both populations. Neuron
    constants: Diehl & Cook (2015), section 2.1 and the authors' code, with their options (refractory period, adaptive
    threshold, weight normalisation, one spike a step) off. Initial weights are skewed, as they are in cortex (Song et
    al. 2005): with uniform ones the neurons are so alike that bright images make hundreds of them fire in one step.
    """

    n_exc: int = setting(
        400, "Excitatory neurons N_E; there are as many inhibitory ones.", section="Network", ge=1, basic=True
    )
    gain_input_exc: float | None = setting(
        None,
        "Charge (current times ms) of an input spike at weight 1; none: 0.8 times 784 over the number of inputs, so "
        "that smaller images drive E neurons as much as those of 28 x 28 pixels.",
        section="Network",
        gt=0,
    )
    gain_exc_inh: float = setting(22.5, "Charge of an E spike to its I neuron.", section="Network", ge=0)
    gain_inh_exc: float = setting(20.0, "Charge of an I spike at weight -1.", section="Network", ge=0)
    w_exc_init_min: float = setting(0.0, "Smallest initial weight input -> E.", section="Network")
    w_exc_init_max: float = setting(0.6, "Largest initial weight input -> E.", section="Network")
    w_exc_init_power: float = setting(
        3.0,
        "Skew of initial weights input -> E, min + (max - min) u^power with u uniform; 1 is uniform.",
        section="Network",
        gt=0,
    )
    w_exc_max: float = setting(1.0, "Upper clip of input -> E weights; the lower one is 0.", section="Network", gt=0)
    w_exc_sum: float = setting(
        0.0,
        "Norm to which the input weights of an E neuron are scaled before each image; 0: off.",
        section="Network",
        ge=0,
    )
    exc_norm: str = setting(
        "l1",
        "That norm: l1, the sum of the weights; l2, the root of the sum of their squares.",
        section="Network",
        choices=NORMS,
    )
    w_inh_init_min: float = setting(-0.5, "Smallest initial weight I -> E.", section="Network")
    w_inh_init_max: float = setting(-0.5, "Largest initial weight I -> E.", section="Network")
    w_inh_min: float = setting(-1.0, "Lower clip of I -> E weights; the upper one is 0.", section="Network", lt=0)

    exc_tau_mem: float = setting(100.0, "Membrane time constant.", unit="ms", section="E neurons", gt=0)
    exc_v_rest: float = setting(-65.0, "Resting potential.", unit="mV", section="E neurons")
    exc_v_reset: float = setting(-65.0, "Potential after a spike.", unit="mV", section="E neurons")
    exc_v_th: float = setting(-52.0, "Threshold.", unit="mV", section="E neurons")
    exc_resistance: float = setting(
        100.0, "Membrane resistance R.", unit="mV per unit of current", section="E neurons", gt=0
    )
    exc_refractory: float = setting(0.0, "Refractory period; 0: off.", unit="ms", section="E neurons", ge=0)
    exc_theta_plus: float = setting(
        0.0, "Rise of the adaptive threshold at each spike; 0: off.", unit="mV", section="E neurons", ge=0
    )
    exc_tau_theta: float = setting(
        1e7, "Time constant of the adaptive threshold's decay.", unit="ms", section="E neurons", gt=0
    )
    exc_v_min: float | None = setting(
        None,
        "Potential below which inhibition does not push, as its reversal potential would; none: no bound.",
        unit="mV",
        section="E neurons",
    )
    exc_one_spike: bool = setting(
        False, "At most one E spike a step, of the neuron furthest above threshold.", section="E neurons"
    )
    inh_tau_mem: float = setting(10.0, "Membrane time constant.", unit="ms", section="I neurons", gt=0)
    inh_v_rest: float = setting(-60.0, "Resting potential.", unit="mV", section="I neurons")
    inh_v_reset: float = setting(-45.0, "Potential after a spike.", unit="mV", section="I neurons")
    inh_v_th: float = setting(-40.0, "Threshold.", unit="mV", section="I neurons")
    inh_resistance: float = setting(
        10.0, "Membrane resistance R.", unit="mV per unit of current", section="I neurons", gt=0
    )
    inh_refractory: float = setting(0.0, "Refractory period; 0: off.", unit="ms", section="I neurons", ge=0)

    eta_exc: float = setting(
        0.01, "Learning rate of input -> E: weight change at delta_d = 1.", section="Plasticity", ge=0, basic=True
    )
    eta_inh: float = setting(0.01, "Learning rate of I -> E: weight change at delta_d = 1.", section="Plasticity", ge=0)
    alpha_unsup: float = setting(1.0, "Factor on both learning rates.", section="Plasticity", ge=0)

    reward_form: str = setting(
        "sum",
        "Combination of the terms: weighted sum, or weighted geometric product; information: entropy of the winners "
        "minus their entropy given the image, estimated with a small image_pool whose images repeat; reconstruction: "
        "share of the input spikes that the winner's input weights explain.",
        section="Reward",
        choices=REWARD_FORMS,
        basic=True,
    )
    credit: str = setting(
        "global",
        "Reward of an event: that of the image, or its decrease if the event's E neuron were silent (difference "
        "reward), with exploration independent.",
        section="Reward",
        choices=CREDITS,
    )
    c_sparsity: float = setting(1 / 3, "Weight of sparsity.", section="Reward", ge=0)
    c_diversity: float = setting(1 / 3, "Weight of diversity.", section="Reward", ge=0)
    c_stability: float = setting(1 / 3, "Weight of stability.", section="Reward", ge=0)
    target_active: float = setting(
        0.02, "Share a* of E neurons that should fire for an image.", section="Reward", ge=0, le=1
    )
    winner_window: float = setting(
        100.0,
        "Time constant of the winner distribution behind diversity and information.",
        unit="images",
        section="Reward",
        gt=0,
    )

    def check(self) -> None:
        """Check that settings agree with each other."""
        super().check()
        if self.credit == "neuron" and self.reward_form in OF_THE_WHOLE:
            raise ConfigError(
                f"credit=neuron needs reward_form=sum or product, got {self.reward_form}, where no part is one neuron's"
            )
        _check_interval("w_exc_init_min", self.w_exc_init_min, "w_exc_init_max", self.w_exc_init_max)
        _check_interval("w_inh_init_min", self.w_inh_init_min, "w_inh_init_max", self.w_inh_init_max)
        if not (self.w_exc_init_min >= 0 and self.w_exc_init_max <= self.w_exc_max):
            raise ConfigError(
                f"initial weights input -> E must lie in [0, w_exc_max={self.w_exc_max}], "
                f"got [{self.w_exc_init_min}, {self.w_exc_init_max}]"
            )
        if self.w_exc_sum and not self.w_exc_init_max:
            raise ConfigError(
                f"w_exc_sum={self.w_exc_sum:g} needs initial weights that can be scaled to it, got w_exc_init_max=0; "
                "raise w_exc_init_max, or set w_exc_sum to 0"
            )
        if self.image_side is not None:
            check_norm(self, self.image_side**2)
        if not (self.w_inh_min <= self.w_inh_init_min and self.w_inh_init_max <= 0):
            raise ConfigError(
                f"initial weights I -> E must lie in [w_inh_min={self.w_inh_min}, 0], "
                f"got [{self.w_inh_init_min}, {self.w_inh_init_max}]"
            )
        for prefix in ("exc_", "inh_"):
            check_neurons(self, prefix)
        if self.exc_v_min is not None and self.exc_v_min > min(self.exc_v_rest, self.exc_v_reset):
            raise ConfigError(
                f"exc_v_min must be at most exc_v_rest={self.exc_v_rest} and exc_v_reset={self.exc_v_reset}, "
                f"got {self.exc_v_min}"
            )
        if self.c_sparsity + self.c_diversity <= 0:
            raise ConfigError(
                "c_sparsity + c_diversity must be greater than 0, since stability has no value on a first "
                f"presentation, got {self.c_sparsity} + {self.c_diversity}"
            )


def check_norm(config: UnsupervisedConfig, n_input: int) -> None:
    """Check that a neuron with so many inputs can have the norm of input weights.

    Raises:
        ConfigError: It exceeds that of weights all at their clip.
    """
    root = config.exc_norm == "l2"
    most = config.w_exc_max * (math.sqrt(n_input) if root else n_input)
    if config.w_exc_sum > most:
        limit = f"{'the root of ' if root else ''}{n_input} inputs times w_exc_max={config.w_exc_max:g}"
        raise ConfigError(
            f"w_exc_sum must be at most {most:g} with exc_norm={config.exc_norm}, {limit}, got {config.w_exc_sum:g}; "
            "lower w_exc_sum, or raise w_exc_max or image_size"
        )


def _check_interval(low_name: str, low: float, high_name: str, high: float) -> None:
    if low > high:
        raise ConfigError(f"{low_name} must be at most {high_name}, got {low} and {high}")


@config_class
class Unsup1Config(UnsupervisedConfig):
    """One policy for all plastic synapses of a Diehl-Cook network."""


@config_class
class Unsup2Config(UnsupervisedConfig):
    """One policy head for input -> E, another for I -> E, of a Diehl-Cook network."""

    alpha_unsup: float = 0.5
