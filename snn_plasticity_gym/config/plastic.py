"""Settings of networks whose plasticity is trained by gradients through a trial."""

from __future__ import annotations

from snn_plasticity_gym.config.plastic_worlds import PlasticWorldConfig
from snn_plasticity_gym.config.schema import ConfigError, config_class, only_with, setting
from snn_plasticity_gym.config.training import resume_setting

FORMULA, HEAD = "formula", "head"
BACKPROPAMINE, RETROACTIVE = "backpropamine", "backpropamine-retroactive"
STILL = ("plain", "recurrent")  # no plasticity within a trial
NETWORKS = (*STILL, "dp-oja", "ndp-oja", "dp-bcm", "ndp-bcm", BACKPROPAMINE, RETROACTIVE, FORMULA, HEAD)
USUAL, SHARED, PER_NEURON, PER_SYNAPSE = "usual", "shared", "neuron", "synapse"
LEARNERS = ("bptt", "ppo", "cma")
BOTH = "both"
CONDITION_NAMES = (BOTH, "normal", "noisy")
OF_TRIALS = {  # settings of cue association, and their names in a world
    "episodes": "steps",
    "eval_every": "eval_steps",
    "eval_episodes": "eval_lives",
    "test_episodes": "test_lives",
    "batch_size": "rollout and num_worlds",
}


@config_class
class PlasticConfig(PlasticWorldConfig):
    """Train a spiking network and its plasticity within a trial by gradients through the weight changes.

    The task is cue association: seven cues, left or right, then a rest; while the decision cue is on, the output neuron
    of the more frequent cue must spike more. "SpikePropamine-style" (Schmidgall et al.,
    2021): the published equations could not be verified, and no published number is claimed.

    With `world` it acts in a Gymnasium environment instead, by PPO, with population codes of observations and actions,
    as in that paper's supplement.
    """

    resume: str = resume_setting(longer=False)
    preset: str = setting(
        "",
        "Settings to start from: cue-association, cheetah-reduced, inverted-pendulum-plastic, or a YAML file, e.g. a "
        "run's config.yaml; other flags override them.",
        section="Run",
        basic=True,
        path=True,
    )
    checkpoint_every: int = 3200
    episodes: int = setting(19_200, "Trials in all.", unit="trials", section="Run", ge=1, basic=True)
    eval_every: int = setting(
        1920,
        "Trials between two rows of metrics, each with a validation; the best parameters are kept.",
        unit="trials",
        section="Run",
        ge=1,
        basic=True,
    )
    eval_episodes: int = setting(
        500, "Held-out trials of a validation, of each condition.", unit="trials", section="Run", ge=1, basic=True
    )
    test_episodes: int = setting(
        2000,
        "Test trials, of each condition, for the best parameters at the end.",
        unit="trials",
        section="Run",
        ge=1,
    )

    condition: str = setting(
        BOTH,
        "Noise of the training spikes; both: half of the trials of an update are normal, the others noisy.",
        section="Task",
        choices=CONDITION_NAMES,
        basic=True,
    )
    cues: int = setting(7, "Cues of a trial, an odd number.", unit="cues", section="Task", ge=1)
    rests: tuple[int, ...] = setting(
        (45, 75, 105), "Rests between the last cue and the decision cue.", unit="ms", section="Task", ge=0, basic=True
    )
    test_rests: tuple[int, ...] = setting(
        (155, 205, 305),
        "Further rests for testing the best parameters, each in eval_episodes trials.",
        unit="ms",
        section="Task",
        ge=0,
    )
    test_cues: tuple[int, ...] = setting(
        (9, 11, 15),
        "Further numbers of cues for testing the best parameters, in eval_episodes trials each; odd.",
        unit="cues",
        section="Task",
        ge=1,
    )

    network: str = setting(
        "ndp-bcm",
        "Plasticity within a trial. plain: none; recurrent: none, but hidden neurons have recurrent weights; "
        "dp-oja, dp-bcm: all weights, by a rule with trained coefficients; ndp-oja, ndp-bcm: the same, "
        "times a trained projection of the layer's activity; backpropamine: all weights, by Hebb's rule times a "
        "trained signal of the layer, fanned out to its neurons; backpropamine-retroactive: that signal times a trace "
        "of Hebb's rule; formula, head: all weights, by one formula of synapse events with trained coefficients, or by "
        "one policy head, a perceptron of the spikes and traces (20 ms) of both neurons and of the weight; either is "
        "saved as a rule for every environment.",
        section="Network",
        choices=NETWORKS,
        basic=True,
    )
    coefficients: str = setting(
        USUAL,
        "Sharing of a rule's coefficients. usual: of a formula shared, else as neuron; neuron: a gain of each synapse, "
        "a rate of each neuron, not of a formula; shared: one of each for all synapses of a layer, of a formula of "
        "both layers; synapse: all of each synapse. A formula of each synapse runs in torch, step by step, and many "
        "times as long as in compiled loops; it is not saved as a rule, since other networks have other synapses.",
        section="Network",
        choices=(USUAL, SHARED, PER_NEURON, PER_SYNAPSE),
    )
    formula_terms: tuple[str, ...] = setting(
        (),
        "Terms of network formula, products as post*x20*w; none: the spike of either neuron, alone and times a trace "
        "of the other (20 ms), each with and without the weight.",
        section="Network",
    )
    head_size: int = setting(
        8, "Neurons of the hidden layer of network head.", unit="neurons", section="Network", ge=1, le=1024
    )
    eta: float = setting(
        0.02, "Weight change at delta_d = 1, of networks formula and head.", section="Network", gt=0, basic=True
    )
    weight_limit: float = setting(
        2.0, "Largest weight, and smallest with a minus, of networks formula and head.", section="Network", gt=0
    )
    hidden_size: int = setting(
        0,
        "Hidden neurons; 0: the number that comes nearest to `parameters`.",
        unit="neurons",
        section="Network",
        ge=0,
        basic=True,
    )
    parameters: int = setting(2552, "Target number of trained parameters for hidden_size 0.", section="Network", ge=50)

    learner: str = setting(
        "bptt",
        "bptt: cross-entropy of the target, by softmax of the output spikes; ppo: a decision is sampled, with reward 1 "
        "or -1 at the end of the trial; cma: no gradient, CMA-ES over all parameters on that cross-entropy.",
        section="Learning",
        choices=LEARNERS,
        basic=True,
    )
    batch_size: int = setting(
        64, "Trials of an update; of cma, of all individuals.", unit="trials", section="Learning", ge=1, basic=True
    )
    learning_rate: float = setting(
        1e-2,
        "Initial learning rate (Adam); it decays to 0 over the run with the root of the remaining trials.",
        section="Learning",
        gt=0,
        basic=True,
    )
    clip_norm: float = setting(1.0, "Largest norm of the gradient of all parameters.", section="Learning", gt=0)
    surrogate_width: float = setting(
        0.3, "Width of exp(-|u - 1| / width), the surrogate derivative of a spike, in thresholds.",
        section="Learning", gt=0,
    )  # fmt: skip
    rule_gradient: float = setting(
        0.1,
        "Share of the gradient that reaches postsynaptic activity through the plasticity rule; 1: all of it, which can "
        "grow in every step of a trial.",
        section="Learning",
        ge=0,
        le=1,
    )
    carry_limit: float = setting(
        0.02,
        "Clip of the derivative of the loss by a postsynaptic trace, passed from a step to the one before; in a world, "
        "where the loss is a mean over actions, over `truncation`.",
        section="Learning",
        gt=0,
    )
    epochs: int = setting(3, "Passes of ppo over the trials or actions of an update.", section="PPO", ge=1)
    clip_range: float = setting(0.2, "Clip of ppo's ratio.", section="PPO", gt=0, lt=1)
    entropy: float = setting(0.02, "Weight of the decision's entropy in ppo.", section="PPO", ge=0)

    population: int = setting(16, "Individuals of a generation of cma.", unit="individuals", section="CMA-ES", ge=4)
    sigma: float = setting(0.05, "Initial standard deviation of cma's individuals.", section="CMA-ES", gt=0)

    device: str = setting(
        "cpu",
        "Torch device, e.g. cpu or cuda. On the CPU trials run in compiled loops, elsewhere in torch, step by step.",
        section="Machine",
        basic=True,
    )

    def check(self) -> None:
        """Check that settings agree with each other."""
        self.check_world()
        if self.world and self.learner != "ppo":
            raise ConfigError(f"learner must be ppo in a world, got {self.learner}; give learner=ppo")
        for name, of_world in OF_TRIALS.items():
            given = getattr(self, name)
            if self.world and given != type(self).__dataclass_fields__[name].default:
                raise ConfigError(f"{name} is of cue association, got {given}; give {of_world} in a world")
        if self.world and self.network in (FORMULA, HEAD):
            raise ConfigError(
                f"network {self.network} does not act in worlds, got world={self.world}; take another network"
            )
        if self.learner == "cma" and self.batch_size % self.population:
            raise ConfigError(
                f"batch_size must be a multiple of population={self.population}, so that each individual of cma has as "
                f"many trials, got {self.batch_size}"
            )
        only_with(self, "network", (FORMULA,), ["formula_terms"])
        if self.coefficients != USUAL and self.network in STILL:
            raise ConfigError(
                f"coefficients are those of a rule, and network {self.network} has none, got {self.coefficients}; "
                "leave coefficients out, or take another network"
            )
        if self.coefficients not in (USUAL, SHARED) and self.network == HEAD:
            raise ConfigError(f"all synapses share network head, got coefficients {self.coefficients}; leave them out")
        if self.coefficients == PER_NEURON and self.network == FORMULA:
            raise ConfigError(
                f"coefficients of network formula are {SHARED} or of each {PER_SYNAPSE}, got {PER_NEURON}; give one of "
                "these"
            )
        even = [number for number in (self.cues, *self.test_cues) if number % 2 == 0]
        if even:
            raise ConfigError(f"cues and test_cues must be odd, so that one cue comes more often, got {even[0]}")
        if not self.rests:
            raise ConfigError("rests must hold a rest at least, got none")
