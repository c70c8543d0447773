"""Settings of the environments: keyword arguments of `gymnasium.make`, flags of the trainers, keys of sweeps."""

from __future__ import annotations

from typing import Any

from snn_plasticity_gym.config.schema import ConfigError, config_class, setting, unknown

DATASETS = ("auto", "mnist", "fashion-mnist", "kmnist", "digits")
SPLITS = ("train", "validation", "test")
EVENT_KINDS = ("merged", "feature", "split")
SURROGATE_NAMES = ("rectangular", "polynomial", "sigmoid", "gaussian", "fast_sigmoid")
REWARD_FORMS = ("sum", "product")


@config_class
class EnvironmentConfig:
    """What all environments have in common."""

    dataset: str = setting(
        "auto",
        "Images to show; auto is MNIST where it can be had, else digits.",
        section="Data",
        choices=DATASETS,
    )
    data_dir: str | None = setting(
        None,
        "Folder of the data sets; without it the environment variable SNN_PLASTICITY_DATA, then the user's cache.",
        section="Data",
    )
    split: str = setting("train", "Part of the data set that lifetimes draw from.", section="Data", choices=SPLITS)
    image_pool: int = setting(
        16,
        "Images that a lifetime draws from, chosen anew for each lifetime so that images repeat; 0: the whole split.",
        unit="images",
        section="Data",
        ge=0,
    )
    num_steps: int = setting(100, "Time steps T for which an image is shown.", unit="steps", section="Simulation", ge=1)
    history_length: int = setting(
        100,
        "Steps K of spike history that a synapse sees; at most num_steps.",
        unit="steps",
        section="Simulation",
        ge=1,
    )
    dt: float = setting(1.0, "Length of a time step.", unit="ms", section="Simulation", gt=0)
    max_rate: float = setting(
        0.064,
        "Spike probability of a white pixel in one step (0.064 at 1 ms is 64 Hz).",
        section="Simulation",
        ge=0,
        le=1,
    )
    lifetime_length: int = setting(
        0,
        "Images after which a lifetime ends and a fresh network begins; 0: never.",
        unit="images",
        section="Simulation",
        ge=0,
    )
    common_noise: bool = setting(
        False, "Show all lifetimes the same images with the same input spikes.", section="Simulation"
    )
    events_per_step: int = setting(
        1024,
        "Event slots E of an observation; a time step with more events is presented over several steps.",
        unit="events",
        section="Events",
        ge=1,
    )
    event_kinds: str = setting(
        "merged",
        "merged: a synapse has one event per step; feature: the kind (pre, post, both) is part of the state; split: "
        "all pre events of a step, then all post events, each kind with a policy head of its own.",
        section="Events",
        choices=EVENT_KINDS,
    )
    device: str = setting("cpu", "Torch device of the networks, e.g. cpu or cuda.", section="Machine")

    def check(self) -> None:
        """Refuse settings that contradict each other."""
        if self.history_length > self.num_steps:
            raise ConfigError(
                f"history_length must be at most num_steps, got history_length={self.history_length} and "
                f"num_steps={self.num_steps}; lower the first or raise the second"
            )


@config_class
class UnsupervisedConfig(EnvironmentConfig):
    """A Diehl-Cook network rewarded for sparse, diverse and stable responses.

    Weights are dimensionless; a gain turns a weight into current, and resistance * dt / tau_mem turns current into
    mV, which is 1 mV per unit with the default constants of both populations. Neuron constants: Diehl & Cook (2015),
    section 2.1 and the authors' code, with their options (refractory period, adaptive threshold, weight
    normalisation, one spike a step) off. Initial weights are skewed, as they are in cortex (Song et al. 2005): with
    uniform ones the neurons are so alike that bright images make hundreds of them fire in one step.
    """

    n_exc: int = setting(400, "Excitatory neurons N_E; there are as many inhibitory ones.", section="Network", ge=1)
    gain_input_exc: float = setting(0.8, "Current of an input spike at weight 1.", section="Network", gt=0)
    gain_exc_inh: float = setting(22.5, "Current from an E neuron to its I neuron.", section="Network", ge=0)
    gain_inh_exc: float = setting(20.0, "Current of an I spike at weight -1.", section="Network", ge=0)
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
        "Sum to which the input weights of an E neuron are scaled before each image; 0: off.",
        section="Network",
        ge=0,
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
        0.01, "Learning rate of input -> E: weight change at delta_d = 1.", section="Plasticity", ge=0
    )
    eta_inh: float = setting(0.01, "Learning rate of I -> E: weight change at delta_d = 1.", section="Plasticity", ge=0)
    alpha_unsup: float = setting(1.0, "Factor on both learning rates.", section="Plasticity", ge=0)

    reward_form: str = setting(
        "sum",
        "How the terms are joined: weighted sum, or weighted geometric product.",
        section="Reward",
        choices=REWARD_FORMS,
    )
    c_sparsity: float = setting(1 / 3, "Weight of sparsity.", section="Reward", ge=0)
    c_diversity: float = setting(1 / 3, "Weight of diversity.", section="Reward", ge=0)
    c_stability: float = setting(1 / 3, "Weight of stability.", section="Reward", ge=0)
    target_active: float = setting(
        0.02, "Share a* of E neurons that should fire for an image.", section="Reward", ge=0, le=1
    )
    winner_window: float = setting(
        100.0, "Time constant of the winner distribution behind diversity.", unit="images", section="Reward", gt=0
    )

    def check(self) -> None:
        """Refuse settings that contradict each other."""
        super().check()
        _check_interval("w_exc_init_min", self.w_exc_init_min, "w_exc_init_max", self.w_exc_init_max)
        _check_interval("w_inh_init_min", self.w_inh_init_min, "w_inh_init_max", self.w_inh_init_max)
        if not (self.w_exc_init_min >= 0 and self.w_exc_init_max <= self.w_exc_max):
            raise ConfigError(
                f"initial weights input -> E must lie in [0, w_exc_max={self.w_exc_max}], "
                f"got [{self.w_exc_init_min}, {self.w_exc_init_max}]"
            )
        if not (self.w_inh_min <= self.w_inh_init_min and self.w_inh_init_max <= 0):
            raise ConfigError(
                f"initial weights I -> E must lie in [w_inh_min={self.w_inh_min}, 0], "
                f"got [{self.w_inh_init_min}, {self.w_inh_init_max}]"
            )
        for name in ("exc", "inh"):
            reset, threshold = getattr(self, f"{name}_v_reset"), getattr(self, f"{name}_v_th")
            rest, tau = getattr(self, f"{name}_v_rest"), getattr(self, f"{name}_tau_mem")
            if threshold <= max(reset, rest):
                raise ConfigError(
                    f"{name}_v_th must be above {name}_v_reset={reset} and {name}_v_rest={rest}, got {threshold}"
                )
            if self.dt > tau:
                raise ConfigError(
                    f"dt must be at most {name}_tau_mem={tau} ms, beyond which forward Euler overshoots, got {self.dt}"
                )
        if self.c_sparsity + self.c_diversity <= 0:
            raise ConfigError(
                "c_sparsity + c_diversity must be greater than 0, since stability has no value on a first "
                f"presentation, got {self.c_sparsity} + {self.c_diversity}"
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


@config_class
class GradConfig(EnvironmentConfig):
    """A deep feed-forward network whose synapses are rewarded for following the gradient of its loss.

    Time constants and potentials are dimensionless where a step is 1: with the default constants a membrane halves in
    a step and one unit of current raises it by 1, its distance to the threshold.
    """

    num_steps: int = 16
    history_length: int = 16
    max_rate: float = 1.0
    hidden_sizes: tuple[int, ...] = setting(
        (256, 128, 64, 32), "Neurons of the hidden layers.", section="Network", ge=1
    )
    layer_scalars: tuple[float, ...] = setting(
        (0.2, 0.4, 0.6, 0.8, 1.0),
        "Scalar that tells a synapse its layer, one for each layer of synapses.",
        section="Network",
    )
    w_init: float = setting(
        4.0, "Initial weights are uniform in +-w_init / sqrt(inputs of the layer).", section="Network", gt=0
    )
    w_min: float = setting(-1.0, "Lower clip of the weights.", section="Network", lt=0)
    w_max: float = setting(1.0, "Upper clip of the weights.", section="Network", gt=0)
    tau_mem: float = setting(2.0, "Membrane time constant.", unit="ms", section="Neurons", gt=0)
    v_rest: float = setting(0.0, "Resting potential.", section="Neurons")
    v_reset: float = setting(0.0, "Potential after a spike.", section="Neurons")
    v_th: float = setting(1.0, "Threshold.", section="Neurons")
    resistance: float = setting(2.0, "Membrane resistance R.", section="Neurons", gt=0)
    eta: float = setting(0.001, "Learning rate: weight change at delta_d = 1.", section="Plasticity", ge=0)
    surrogate: str = setting(
        "rectangular",
        "Surrogate derivative of the spike in the teacher's backward pass.",
        section="Reward",
        choices=SURROGATE_NAMES,
    )
    surrogate_width: float = setting(1.0, "Width a of the surrogate.", section="Reward", gt=0)
    alpha_softmax: float = setting(
        10.0, "Sharpness alpha of softmax(alpha * rate) in the loss.", section="Reward", gt=0
    )
    penalty: float = setting(0.0, "Weight lambda of dw^2 in the reward -g dw - lambda dw^2.", section="Reward", ge=0)

    def check(self) -> None:
        """Refuse settings that contradict each other."""
        super().check()
        if not self.hidden_sizes:
            raise ConfigError("hidden_sizes must have at least one entry, got none")
        if len(self.layer_scalars) != len(self.hidden_sizes) + 1:
            raise ConfigError(
                f"layer_scalars must have one entry for each of the {len(self.hidden_sizes) + 1} layers of synapses, "
                f"got {len(self.layer_scalars)}"
            )
        if self.v_th <= max(self.v_reset, self.v_rest):
            raise ConfigError(f"v_th must be above v_reset={self.v_reset} and v_rest={self.v_rest}, got {self.v_th}")
        if self.dt > self.tau_mem:
            raise ConfigError(
                f"dt must be at most tau_mem={self.tau_mem} ms, beyond which forward Euler overshoots, got {self.dt}"
            )


ENVIRONMENTS: dict[str, type[EnvironmentConfig]] = {
    "SNNPlastic-Unsup1-v0": Unsup1Config,
    "SNNPlastic-Unsup2-v0": Unsup2Config,
    "SNNPlastic-Grad-v0": GradConfig,
}
"""Registered environments and their settings."""


def environment_config(env_id: str, **settings: Any) -> EnvironmentConfig:
    """Return the configuration of an environment.

    Raises:
        ConfigError: No such environment, or a setting is unknown, out of range or contradicts another.
    """
    if env_id not in ENVIRONMENTS:
        raise ConfigError(unknown("environment", env_id, ENVIRONMENTS))
    return ENVIRONMENTS[env_id](**settings)
