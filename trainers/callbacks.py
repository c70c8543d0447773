"""What happens beside the learning: checkpoints and progress."""

from __future__ import annotations

import sys
import time

from stable_baselines3.common.callbacks import BaseCallback

from snn_plasticity_gym.agents.on_policy import flat_face
from snn_plasticity_gym.tracking import RunFolder, atomic_path


class ImageCallback(BaseCallback):
    """Acts once every so many images, at the end of a rollout.

    Args:
        every: Images between two actions.
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        self._every = every
        self._next = every

    @property
    def images(self) -> int:
        """Images shown so far, over all lifetimes."""
        return self.num_timesteps // flat_face(self.training_env).engine.num_steps

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self.images >= self._next:
            self._next = (self.images // self._every + 1) * self._every
            self.act()

    def act(self) -> None:
        """Do what the callback is for."""
        raise NotImplementedError


class CheckpointEveryImages(ImageCallback):
    """Saves the model under `checkpoints/`, and keeps the newest ones.

    Args:
        run: Where to.
        every: Images between two checkpoints.
        keep: How many stay.
    """

    def __init__(self, run: RunFolder, every: int, keep: int = 3) -> None:
        super().__init__(every)
        self._run = run
        self._keep = keep

    def act(self) -> None:
        """Save the policy as it acted in the rollout that just ended."""
        self._run.checkpoints.mkdir(exist_ok=True)
        with atomic_path(self._run.checkpoints / f"images_{self.images:09d}.zip") as path:
            self.model.save(path)
        for old in sorted(self._run.checkpoints.glob("images_*.zip"))[: -self._keep]:
            old.unlink()


class ProgressLines(ImageCallback):
    """Prints a line now and then, where there is no terminal for a progress bar.

    Args:
        total: Images of the whole run.
    """

    def __init__(self, total: int) -> None:
        super().__init__(every=max(1, total // 10))
        self._total = total
        self._began = time.perf_counter()

    def act(self) -> None:
        """Print how far the run is."""
        reward = self.logger.name_to_value["rollout/reward"]
        seconds = time.perf_counter() - self._began
        print(f"{self.images:6d} of {self._total} images  reward {reward:.4g}  {seconds:.0f} s", file=sys.stderr)
