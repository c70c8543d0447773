"""Settings of the environments in which a network acts in a world, a Gymnasium environment."""

from __future__ import annotations

import json
from typing import Any

from snn_plasticity_gym.config.base import EnvironmentConfig, check_neurons
from snn_plasticity_gym.config.groups import GroupOptions
from snn_plasticity_gym.config.schema import ConfigError, config_class, only_with, setting

WORLD_FACTORS = ("none", "reward", "rpe", "targeted", "credited")
BASELINES = ("mean", "critic")
FEWEST_MET = 1000  # observations for estimating quantiles


@config_class
class ControlConfig(EnvironmentConfig, GroupOptions):
    """A spiking network between an encoder and a decoder acts in any Gymnasium world of Box observations.

    One action: observe, encode, simulate `steps_per_action` time steps (with plasticity events in each), decode, step
    the world, apply its reward, update the third factors.

    Potentials are dimensionless: with the default constants a spike at weight 1 raises a membrane by 1, its distance to
    the threshold, whatever the length of a step; so does one unit of current, held for 1 ms.
    """

    history_length: int = 20
    world: str = setting(
        "MountainCar-v0",
        "Gymnasium id of the world: Box observations, Discrete or Box actions; module:Id imports the module first.",
        section="World",
        basic=True,
    )
    world_kwargs: str = setting(
        "{}",
        'Arguments of the world, a mapping or JSON, e.g. {"sutton_barto_reward": true}.',
        section="World",
        json=True,
    )
    world_attributes: str = setting(
        "{}",
        "Attributes to set in the world after gymnasium.make, a mapping or JSON: CartPole's pole is twice as long with "
        '{"length": 1.0, "polemass_length": 0.1}.',
        section="World",
        json=True,
    )
    steps_per_action: int = setting(20, "Simulated time steps per action.", unit="steps", section="World", ge=1)
    max_actions: int = setting(
        0,
        "Actions after which an episode is truncated; 0: the world's own limit.",
        unit="actions",
        section="World",
        ge=0,
    )
    carry_state: bool = setting(
        True, "Membranes persist from one action to the next; else they start each action at rest.", section="World"
    )
    change_after: int = setting(
        0,
        "Actions of an episode after which flipped and deaf take effect for the rest of it; 0: from the first on.",
        unit="actions",
        section="Change",
        ge=0,
    )
    flipped: bool = setting(
        False,
        "Reverse actions from then on: Discrete ones in their order, Box ones as low + high - x. Networks get no "
        "signal of the change.",
        section="Change",
    )
    deaf: float = setting(
        0.0,
        "Share of the neurons of each hidden layer, its first ones, that get no input from then on, and are silent.",
        section="Change",
        ge=0,
        le=1,
    )
    encoder: str = setting(
        "one-hot",
        "Encoder of observations: one-hot, one-hot-normal, one-hot-measured, gaussian, rate (spikes), "
        "one-hot-current, gaussian-current, value-current (currents), or one that a plugin has registered.",
        section="Encoder",
        basic=True,
    )
    encoder_kwargs: str = setting(
        '{"period": 10}',
        'Its settings, a mapping or JSON, e.g. {"fields": 20, "low": [-1], "high": [1], "period": 10}. Periods are in '
        "ms, rates in spikes per ms.",
        section="Encoder",
        json=True,
    )
    range_quantile: float = setting(
        0.0,
        "Quantile q of the observations that an encoder uses as low, with that of 1 - q as high, e.g. 0.02; first of "
        "random actions, then of the networks' episodes. 0: ranges are as encoder_kwargs or the world "
        "give them.",
        section="Encoder",
        ge=0,
        lt=0.5,
    )
    range_sample: int = setting(
        2000,
        "Observations in the uniform sample for these quantiles, at least 1000; ranges are updated when all lifetimes "
        "start an episode together. 0: ranges of random actions are kept, as in evaluations.",
        unit="observations",
        section="Encoder",
        ge=0,
    )
    ranges: str = setting(
        "",
        "Folder of a run with range_quantile, whose final ranges are used and kept; those of a rule or of init_weights "
        "from such a run are used anyway.",
        section="Encoder",
        path=True,
    )
    decoder: str = setting(
        "winner",
        "Decoder of motor spikes: winner (the group that spikes most), softmax (sampled by spike counts), "
        "population (signed sums, for Box actions), or one that a plugin has registered.",
        section="Decoder",
        basic=True,
    )
    decoder_kwargs: str = setting(
        '{"group_size": 20}',
        'Its settings, a mapping or JSON, e.g. {"group_size": 20, "tie": "random"}.',
        section="Decoder",
        json=True,
    )
    hidden_sizes: tuple[int, ...] = setting(
        (64,),
        "Neurons of each hidden layer; an empty list (--hidden_sizes=): no hidden layer.",
        section="Network",
        ge=1,
        basic=True,
    )
    hidden_fields: int = setting(
        0,
        "Neighbouring receptive fields of each observation that project to a neuron of the first hidden layer, all "
        "with about the same weight: it then responds to a box of states. 0: all fields project to it, with random "
        "weights.",
        unit="fields",
        section="Network",
        ge=0,
    )
    field_weight: float = setting(0.3, "Mean of these weights, uniform within 20 %.", section="Network", gt=0)
    recurrent: bool = setting(False, "Hidden layers have plastic synapses among themselves.", section="Network")
    w_init_min: float = setting(-0.5, "Smallest initial weight.", section="Network")
    w_init_max: float = setting(0.5, "Largest initial weight.", section="Network")
    init_weights: str = setting(
        "",
        "Initial weights of every fresh network, in place of random ones: the folder of a run of "
        "evolve.py, or a .safetensors file of matrices (n_pre, n_post) by projection.",
        section="Network",
        path=True,
    )
    w_min: float = setting(-1.0, "Lower clip of the weights.", section="Network")
    w_max: float = setting(1.0, "Upper clip of the weights.", section="Network")
    inhibition: float = setting(
        0.0,
        "Charge (current times ms) by which a motor spike of one action inhibits the motor neurons of the others.",
        section="Network", ge=0,
    )  # fmt: skip
    plastic_hidden: bool = setting(
        True, "Synapses into hidden layers are plastic; else they are fixed.", section="Network"
    )
    noise: float = setting(
        0.0,
        "Standard deviation of the noise of motor neurons in 1 ms, as charge (current times ms): an independent "
        "current in each step, of deviation noise / sqrt(dt).",
        section="Network",
        ge=0,
    )
    tau_mem: float = setting(20.0, "Membrane time constant.", unit="ms", section="Neurons", gt=0)
    v_rest: float = setting(0.0, "Resting potential.", section="Neurons")
    v_reset: float = setting(0.0, "Potential after a spike.", section="Neurons")
    v_th: float = setting(1.0, "Threshold.", section="Neurons")
    resistance: float = setting(20.0, "Membrane resistance R.", section="Neurons", gt=0)
    refractory: float = setting(2.0, "Refractory period; 0: off.", unit="ms", section="Neurons", ge=0)
    eta: float = setting(0.01, "Learning rate: weight change at delta_d = 1.", section="Plasticity", ge=0, basic=True)
    third_factor: str = setting(
        "none",
        "Third factor, a scalar in each event. reward: the world's last reward minus its mean; rpe: the reward "
        "prediction error; targeted: that error for the motor neurons of the action taken, with opposite sign for the "
        "others; credited: rpe, but eligibility traces onto motor neurons of actions not taken change sign (needs "
        "modulation factor).",
        section="Third factor",
        choices=WORLD_FACTORS,
        basic=True,
    )
    rpe_baseline: str = setting(
        "critic",
        "Reward prediction in rpe, targeted and credited: mean, the mean of earlier rewards; critic, a linear critic "
        "of input spikes that learns by TD(0).",
        section="Third factor",
        choices=BASELINES,
    )
    critic_rate: float = setting(0.1, "Learning rate of the critic, divided by the squared norm of its input.",
        section="Third factor", gt=0,
    )  # fmt: skip
    critic_gamma: float = setting(
        0.95, "Discount factor of the critic, per action.", section="Third factor", ge=0, lt=1
    )
    critic_start: float = setting(
        0.0,
        "Initial prediction of the critic; with a constant reward r per action, r / (1 - critic_gamma) starts without "
        "prediction error.",
        section="Third factor",
    )
    critic_pairs: bool = setting(
        False,
        "The critic reads each pair of input neurons, too, as the product of their activations: of receptive fields "
        "it then learns that a position is safe at one velocity and not at another.",
        section="Third factor",
    )

    def learning(self) -> dict[str, Any]:
        """Return the settings for learning in an evaluation; ranges of observations are fixed."""
        return {**super().learning(), "range_sample": 0}

    def frozen(self) -> dict[str, Any]:
        """Return the settings that freeze networks, as far as they differ."""
        return {**super().frozen(), "third_factor": "none", "range_sample": 0}

    def check(self) -> None:
        """Check that settings agree with each other."""
        super().check()
        check_neurons(self)
        self.check_groups(self.hidden_sizes)
        if self.change_after and not (self.flipped or self.deaf):
            raise ConfigError(
                f"change_after={self.change_after} is set, but no change is chosen; set flipped or deaf, or omit it"
            )
        only_with(self, "rpe_baseline", ("critic",), ["critic_pairs"])
        self._check_ranges()
        if self.hidden_fields and (self.plastic_hidden or not self.hidden_sizes):
            raise ConfigError(
                f"hidden_fields wires a fixed hidden layer: it needs plastic_hidden off and hidden_sizes, got "
                f"{self.plastic_hidden} and {list(self.hidden_sizes)}"
            )
        if self.third_factor == "credited" and self.modulation != "factor":
            raise ConfigError(
                "third_factor credited changes the sign of eligibility: set modulation to factor, got "
                f"{self.modulation}"
            )
        if not self.w_min <= self.w_init_min <= self.w_init_max <= self.w_max or self.w_min == self.w_max:
            raise ConfigError(
                f"weights need w_min <= w_init_min <= w_init_max <= w_max, got {self.w_min}, {self.w_init_min}, "
                f"{self.w_init_max} and {self.w_max}"
            )

    def _check_ranges(self) -> None:
        given = json.loads(self.encoder_kwargs)
        if self.range_quantile and {"low", "high"} & set(given):
            raise ConfigError(
                f"range_quantile measures the low and high that encoder_kwargs gives, got {self.encoder_kwargs}; leave "
                "them out there, or set range_quantile to 0"
            )
        if self.ranges and not self.range_quantile:
            raise ConfigError(
                f"ranges={self.ranges!r} takes the place of ranges to be measured; set range_quantile, too, or leave "
                "it out"
            )
        if 0 < self.range_sample < FEWEST_MET:
            raise ConfigError(f"range_sample must be 0 or at least {FEWEST_MET}, got {self.range_sample}")
