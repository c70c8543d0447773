"""Animate a network during learning: its spikes, winners, and a receptive field that forms.

    python examples/watch_episode.py                    episode.gif
    python examples/watch_episode.py --out=video.mp4    by Gymnasium's RecordVideo, which needs moviepy
    python examples/watch_episode.py --run=runs/SNNPlastic-Unsup1-v0/NAME    by your learned rule

Without a run the synapses follow a Hebbian rule with a target: at a post spike, recently active inputs are
potentiated, the others depressed. Inhibition is fixed.
"""

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import RecordVideo
from PIL import Image

import snn_plasticity_gym  # noqa: F401 - registers the environments
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.policies.saved import load_policy
from snn_plasticity_gym.report.runs import read_runs

HEBBIAN = {
    "events_per_step": 8192,
    "n_exc": 16,
    "eta_exc": 0.2,
    "eta_inh": 0.0,
    "image_pool": 3,
    "w_exc_sum": 80.0,
    "exc_theta_plus": 2.0,
}


def hebbian(observation: dict[str, np.ndarray]) -> np.ndarray:
    """Return a weight change for each event slot."""
    ages = np.arange(observation["history"].shape[2])[::-1]  # (K,) steps ago
    trace = observation["history"][:, 0] @ np.exp(-ages / 20.0)  # (E,) of the pre neuron
    post_fires = observation["kind"] > 0
    return np.clip(np.where(post_fires, trace - 0.4, 0.0), -1, 1).astype(np.float32)


def rule_of(run: str | None) -> tuple[str, dict[str, Any], Callable[[dict[str, np.ndarray]], np.ndarray]]:
    """Return the environment, its settings, and the rule to follow."""
    if run is None:
        return "SNNPlastic-Unsup1-v0", HEBBIAN, hebbian
    (read,) = read_runs([run])
    policy = load_policy(run)
    return str(read.env), to_dict(read.environment()), lambda seen: policy.predict(seen, deterministic=True)[0]


def main(out: str = "episode.gif", run: str | None = None, images: int = 4, every: int = 8, **settings: Any) -> Path:
    """Present some images to one network and write an animation.

    Args:
        out: A GIF or MP4 file.
        run: Folder of a run whose rule is followed.
        images: Number of images.
        every: Time steps between two pictures of a GIF.
        settings: Of the environment, which override others.
    """
    env_id, own, rule = rule_of(run)
    path = Path(out)
    if path.suffix not in (".gif", ".mp4"):
        raise ConfigError(f"out must end in .gif or .mp4, got {out!r}")
    if path.suffix == ".mp4" and importlib.util.find_spec("moviepy") is None:
        raise ConfigError("an MP4 file needs moviepy; pip install moviepy, or let out end in .gif")
    env = gymnasium.make(env_id, render_mode="rgb_array", **{**own, **settings})
    engine = env.unwrapped.engine  # a time step with many events takes several steps of the environment
    if path.suffix == ".mp4":
        # One video over all episodes: it starts with the first, and a length keeps it from ending with it.
        env = RecordVideo(
            env, str(path.parent), lambda episode: episode == 0, video_length=10**6, name_prefix=path.stem
        )
    frames = []
    for image in range(images):
        observation, info = env.reset(seed=0 if image == 0 else None)  # the next image, same network
        ended, shown = False, 0
        while not ended:
            observation, _, ended, _, info = env.step(rule(observation))
            if path.suffix == ".gif" and (ended or engine.steps[0] >= shown + every):
                shown = int(engine.steps[0])
                frames.append(Image.fromarray(env.render()).quantize(64))
        print(f"image {image + 1}: a {info['label']}, winner {info['winner']}, {info['num_events']} events")
    env.close()  # which writes the film
    if path.suffix == ".mp4":
        path.with_name(f"{path.stem}-episode-0.mp4").replace(path)
    else:
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=80, loop=0, optimize=True)
    print(f"wrote {path}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Watch a network while it learns.")
    parser.add_argument("--out", default="episode.gif", help="GIF or MP4 file")
    parser.add_argument("--run", help="folder of a run whose rule is followed")
    parser.add_argument("--images", type=int, default=4)
    main(**vars(parser.parse_args()))
