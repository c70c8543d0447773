"""A spiking network that learns to balance a pole within its lifetime, before and after, as an animation.

    python examples/pole.py                 pole.gif
    python examples/pole.py --episodes 20   less learning

Network and rule are those of the preset `cartpole-rstdp`: reward-modulated STDP with eligibility traces. The
pictures of the pole need pygame: `pip install "gymnasium[classic-control]"`.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from snn_plasticity_gym.config.cli import parse_configs
from snn_plasticity_gym.config.environments import ENVIRONMENTS
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.registry import read_rule

WIDTH, HEIGHT = 300, 200  # pixels of a picture
QUIET = (110, 110, 110)

Pixels = NDArray[np.uint8]


def watched_episode(env: PlasticityVectorEnv, rule: Rule, every: int) -> tuple[list[Pixels], int]:
    """Run an episode; return a picture of the world every few actions, and the return."""
    task = env.engine.task
    pictures: list[Pixels] = []
    actions = 0
    while (events := env.events()) is not None:
        done = int(env.engine.steps[0]) // task.window
        if done >= actions and done % every == 0:
            actions = done + 1
            picture = task.worlds.frame(0)  # type: ignore[attr-defined]
            if picture is None:
                raise ConfigError('the pole cannot be drawn without pygame; pip install "gymnasium[classic-control]"')
            pictures.append(picture)
        env.apply(rule(events))
    return pictures, int(env.finish().reward[0])


def side_by_side(number: int, sides: list[tuple[str, list[Pixels], int]], every: int) -> Image.Image:
    """Draw picture `number` of every side; a finished episode keeps its last."""
    whole = Image.new("RGB", (len(sides) * WIDTH, HEIGHT + 24), "white")
    draw = ImageDraw.Draw(whole)
    for place, (title, pictures, steps) in enumerate(sides):
        world = Image.fromarray(pictures[min(number, len(pictures) - 1)]).resize((WIDTH, HEIGHT))
        whole.paste(world, (place * WIDTH, 24))
        label = f"{title}: {min(number * every, steps)} steps" + (", over" if number >= len(pictures) else "")
        draw.text((place * WIDTH + 8, 5), label, fill=QUIET, font_size=14)
    return whole


def main(out: str = "pole.gif", episodes: int = 90, seed: int = 0, every: int = 4) -> Path:
    """Write the animation.

    Args:
        out: A GIF file.
        episodes: Training episodes between the two that are shown.
        seed: Of the network and its episodes.
        every: Actions between two pictures.
    """
    config, settings = parse_configs(EvaluateConfig, ENVIRONMENTS, ["--preset=cartpole-rstdp"])
    rule = read_rule(config.rules[-1], dt=settings.dt, scale=settings.eta)
    env = PlasticityVectorEnv(config.env, render_mode="rgb_array", **to_dict(settings))
    env.reset(seed=seed)
    first, before = watched_episode(env, rule, every)
    for _ in range(episodes):
        env.run_episode(rule)
    last, after = watched_episode(env, rule, every)
    env.close()
    sides = [("episode 1", first, before), (f"episode {episodes + 2}", last, after)]
    frames = [side_by_side(number, sides, every) for number in range(max(len(first), len(last)) + 1)]
    small = [frame.quantize(16) for frame in frames]
    path = Path(out)
    small[0].save(
        path, save_all=True, append_images=[*small[1:], *[small[-1]] * 10], duration=80, loop=0, optimize=True
    )
    print(f"{before} steps before, {after} after {episodes} episodes; wrote {path}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A network that learns to balance a pole, before and after.")
    parser.add_argument("--out", default="pole.gif", help="GIF file (%(default)s)")
    parser.add_argument("--episodes", type=int, default=90, help="between the two that are shown (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of network and episodes (%(default)s)")
    main(**vars(parser.parse_args()))
