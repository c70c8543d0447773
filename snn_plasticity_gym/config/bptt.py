"""Settings of the BPTT baseline."""

from __future__ import annotations

from snn_plasticity_gym.config.base import check_neurons, check_rate
from snn_plasticity_gym.config.data_names import FOLDER_HELP, HELP, check_dataset_name
from snn_plasticity_gym.config.feedforward import SURROGATE_NAMES
from snn_plasticity_gym.config.schema import config_class, setting
from snn_plasticity_gym.config.training import RunConfig, resume_setting


@config_class
class BPTTConfig(RunConfig):
    """Train a feed-forward spiking network with backpropagation through time: the baseline of the Grad task.

    Potentials are dimensionless: rest 0, threshold 1. With resistance = tau_mem a spike of gain 1 at weight 1 raises
    the potential by 1, a whole threshold, whatever the time step. Initial weights are normal with standard
    deviation `initial_scale` / sqrt(n_pre): the default is where, on MNIST, every layer fires in 3 to 13 % of the steps
    before any learning. At scale 1 the deep layers are silent, and narrow surrogates then have no gradient at all.
    """

    resume: str = resume_setting(longer=False)
    checkpoint_every: int = 50_000
    epochs: int = setting(15, "Passes over the training images.", unit="epochs", section="Run", ge=1, basic=True)
    episodes: int = setting(
        0,
        "Total episodes, an image each, instead of epochs; 0: epochs.",
        unit="episodes",
        section="Run",
        ge=0,
        was=("images",),
        basic=True,
    )
    eval_every: int = setting(
        50_000,
        "Images between two rows of metrics, each with an evaluation on validation images.",
        unit="images",
        section="Run",
        ge=1,
        basic=True,
    )
    eval_episodes: int = setting(
        0,
        "Validation images of an evaluation, and test images at the end; 0: all.",
        unit="images",
        section="Run",
        ge=0,
        was=("eval_images",),
        basic=True,
    )

    dataset: str = setting("auto", HELP, section="Data", basic=True)
    data_dir: str | None = setting(
        None,
        FOLDER_HELP,
        section="Data",
        path=True,
    )

    hidden_sizes: tuple[int, ...] = setting(
        (256, 128, 64, 32), "Neurons of each hidden layer.", unit="neurons", section="Network", ge=1, basic=True
    )
    num_steps: int = setting(
        16, "Time steps T for which an image is shown.", unit="steps", section="Network", ge=1, basic=True
    )
    max_rate: float = setting(
        1.0,
        "Spike rate of a white pixel; max_rate * dt is its spike probability per step.",
        unit="spikes per ms",
        section="Network",
        gt=0,
    )
    dt: float = setting(
        1.0,
        "Integration time step; it changes no rate, no time constant and no charge of a spike.",
        unit="ms",
        section="Network",
        gt=0,
    )
    tau_mem: float = setting(2.0, "Membrane time constant.", unit="ms", section="Network", gt=0)
    v_rest: float = setting(0.0, "Resting potential, initial for each image.", section="Network")
    v_reset: float = setting(0.0, "Potential after a spike.", section="Network")
    v_th: float = setting(1.0, "Threshold.", section="Network")
    resistance: float = setting(2.0, "Membrane resistance R, potential per unit of current.", section="Network", gt=0)
    gain: float = setting(1.0, "Charge (current times ms) of a spike at weight 1.", section="Network", gt=0)
    initial_scale: float = setting(
        2.0, "Standard deviation of initial weights times sqrt(n_pre).", section="Network", gt=0
    )

    learning_rate: float = setting(
        3e-3, "Initial learning rate (Adam); it decays linearly to 0 over the run.", section="BPTT", gt=0, basic=True
    )
    batch_size: int = setting(100, "Images of a minibatch.", unit="images", section="BPTT", ge=1, basic=True)
    surrogate: str = setting(
        "gaussian",
        "Surrogate derivative of the spike function.",
        section="BPTT",
        choices=SURROGATE_NAMES,
        basic=True,
    )
    surrogate_width: float = setting(0.5, "Width of the surrogate, in units of the potential.", section="BPTT", gt=0)
    alpha: float = setting(
        10.0,
        "Sharpness: the loss is the cross-entropy of softmax(alpha * rate), with rates in spikes per ms.",
        unit="ms",
        section="BPTT",
        gt=0,
    )

    device: str = setting("cpu", "Torch device, e.g. cpu or cuda.", section="Machine", basic=True)

    def check(self) -> None:
        """Check that settings agree with each other."""
        check_dataset_name(self.dataset)
        check_neurons(self)
        check_rate(self)
