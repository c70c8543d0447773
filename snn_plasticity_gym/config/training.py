"""Settings of the trainers: flags of the programs and keys of sweeps."""

from __future__ import annotations

from snn_plasticity_gym.config.schema import config_class, setting

WANDB_MODES = ("auto", "online", "offline", "disabled")


@config_class
class TrainingConfig:
    """What all trainers have in common."""

    env: str = setting("SNNPlastic-Unsup1-v0", "Environment to train on.", section="Run")
    images: int = setting(
        800, "Images shown in all, over all lifetimes; rounded up to whole updates.", unit="images", section="Run", ge=1
    )
    num_envs: int = setting(8, "Lifetimes simulated side by side.", unit="lifetimes", section="Run", ge=1)
    seed: int = setting(-1, "Seed of everything; -1 draws one, prints it and stores it.", section="Run", ge=-1)
    eval_images: int = setting(
        128,
        "Images of the validation split shown to fresh networks before and after, without exploration; 0: none.",
        unit="images",
        section="Run",
        ge=0,
    )
    run_dir: str = setting("runs", "Folder of all runs; a run is run_dir/env/name.", section="Run")
    run_name: str = setting("", "Name of this run; made from time and seed if empty.", section="Run")
    checkpoint_every: int = setting(
        200, "Images between checkpoints, of which the newest three stay; 0: none.", unit="images", section="Run", ge=0
    )
    progress: bool = setting(True, "Show a progress bar (on a terminal) or progress lines (elsewhere).", section="Run")
    wandb: str = setting(
        "auto",
        "Weights & Biases; auto is online if a key is set up, else offline.",
        section="Logging",
        choices=WANDB_MODES,
    )
    wandb_project: str = setting("snn-plasticity-gym", "Project on Weights & Biases.", section="Logging")
    threads: int = setting(0, "CPU threads of torch; 0: as many as torch takes.", section="Machine", ge=0)


@config_class
class A2CConfig(TrainingConfig):
    """Train a plasticity rule with advantage actor-critic."""

    learning_rate: float = setting(3e-4, "Learning rate alpha_actor of front and heads (Adam).", section="A2C", gt=0)
    critic_learning_rate: float = setting(1e-3, "Learning rate alpha_critic of the critic (Adam).", section="A2C", gt=0)
    images_per_update: int = setting(
        1, "Images shown to each lifetime between two updates.", unit="images", section="A2C", ge=1
    )
    events_per_image: int = setting(
        1024,
        "Events learned from per image, a uniform sample; 0: all. Every event changes its weight.",
        unit="events",
        section="A2C",
        ge=0,
    )
    sigma: float = setting(
        0.1, "Standard deviation sigma_policy of the weight changes around their mean.", section="A2C", gt=0
    )
    gamma: float = setting(1.0, "Discount per time step.", section="A2C", gt=0, le=1)
    vf_coef: float = setting(0.5, "Weight beta_v of the value loss.", section="A2C", ge=0)
    ent_coef: float = setting(
        0.0, "Weight beta_ent of the entropy; without effect on parameters while sigma is fixed.", section="A2C", ge=0
    )
    max_grad_norm: float = setting(0.5, "Norm to which gradients are clipped.", section="A2C", gt=0)
    normalize_advantage: bool = setting(True, "Standardise the advantages over each rollout.", section="A2C")
