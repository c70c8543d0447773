"""Settings of the gradient ceiling."""

from __future__ import annotations

from snn_plasticity_gym.config.plugins import PluginSettings
from snn_plasticity_gym.config.schema import config_class, setting


@config_class
class CeilingConfig(PluginSettings):
    """Predict the gradient from local states, with supervision: the ceiling for rules learned by reward."""

    env: str = setting("SNNPlastic-Grad-v0", "Environment; only this one has gradients.", section="Run")
    episodes: int = setting(
        1600,
        "Training episodes, an image of the training split each.",
        unit="episodes",
        section="Run",
        ge=1,
        was=("images",),
        basic=True,
    )
    eval_episodes: int = setting(
        160,
        "Episodes to measure on, a held-out image each.",
        unit="episodes",
        section="Run",
        ge=1,
        was=("eval_images",),
        basic=True,
    )
    num_envs: int = setting(16, "Parallel fresh networks.", unit="networks", section="Run", ge=1, basic=True)
    episodes_per_network: int = setting(
        4, "Episodes of a network before it is replaced by a new one.", section="Run", ge=1, was=("images_per_network",)
    )
    rules: tuple[str, ...] = setting(
        (),
        "Rules to measure on the same networks and images, named as in evaluate.py: by the name of a hand-written one, "
        "or by the folder of a training run.",
        section="Run",
        basic=True,
    )
    seed: int = setting(0, "Seed of everything.", section="Run", ge=0, basic=True)
    learning_rate: float = setting(1e-3, "Learning rate (Adam).", section="Learning", gt=0, basic=True)
    events_per_episode: int = setting(
        4096, "Events learned from per episode; 0: all.", section="Learning", ge=0, was=("events_per_image",)
    )
    batch_size: int = setting(4096, "Events of a minibatch.", unit="events", section="Learning", ge=1)
    n_epochs: int = setting(2, "Passes over the events of a rollout.", section="Learning", ge=1)
    threads: int = setting(1, "CPU threads of torch; 0: as many as torch takes.", section="Machine", ge=0)
