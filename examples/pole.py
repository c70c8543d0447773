"""A spiking network that acts in a world, before and after it has learned or evolved, as an animation.

    python examples/pole.py                             pole.gif: learns to balance a pole within its lifetime
    python examples/pole.py --episodes 20               less learning
    python examples/pole.py --run RUN --out lander.gif  fresh weights and the champion of a run of evolve.py

Network and rule of the pole are those of the preset `cartpole-rstdp`: reward-modulated STDP with eligibility traces.
Pictures of the pole need pygame: `pip install "gymnasium[classic-control]"`; other worlds need their own extras.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from snn_plasticity_gym.config.cli import parse_configs
from snn_plasticity_gym.config.environments import ENVIRONMENTS
from snn_plasticity_gym.config.evaluate import EvaluateConfig
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.report.runs import read_runs
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.rules.registry import make_rule, read_rule

WIDTH, HEIGHT = 300, 200  # pixels of a picture
QUIET = (110, 110, 110)

Pixels = NDArray[np.uint8]


class Watched(NamedTuple):
    """An episode to be shown."""

    title: str
    pictures: list[Pixels]
    actions: int
    reward: float  # the return


def watched_episode(title: str, env: PlasticityVectorEnv, rule: Rule, every: int) -> Watched:
    """Run an episode, and take a picture of the world every few actions."""
    task = env.engine.task
    pictures: list[Pixels] = []
    actions = 0
    while (events := env.events()) is not None:
        done = int(env.engine.steps[0]) // task.window
        if done >= actions and done % every == 0:
            actions = done + 1
            picture = task.worlds.frame(0)  # type: ignore[attr-defined]
            if picture is None:
                raise ConfigError(
                    'the world cannot be drawn; pip install "gymnasium[classic-control]" for its pictures'
                )
            pictures.append(picture)
        env.apply(rule(events))
    result = env.finish()
    return Watched(title, pictures, int(result.length[0]) // task.window, float(result.reward[0]))


def side_by_side(number: int, sides: list[Watched], every: int) -> Image.Image:
    """Draw picture `number` of every side; a finished episode keeps its last."""
    whole = Image.new("RGB", (len(sides) * WIDTH, HEIGHT + 24), "white")
    draw = ImageDraw.Draw(whole)
    for place, side in enumerate(sides):
        world = Image.fromarray(side.pictures[min(number, len(side.pictures) - 1)]).resize((WIDTH, HEIGHT))
        whole.paste(world, (place * WIDTH, 24))
        over = f", return {side.reward:.0f}" if number >= len(side.pictures) else ""
        label = f"{side.title}: {min(number * every, side.actions)} actions{over}"
        draw.text((place * WIDTH + 8, 5), label, fill=QUIET, font_size=14)
    return whole


def learning(episodes: int, seed: int, every: int) -> list[Watched]:
    """Return the first episode of a network that learns within its lifetime, and a later one."""
    config, settings = parse_configs(EvaluateConfig, ENVIRONMENTS, ["--preset=cartpole-rstdp"])
    rule = read_rule(config.rules[-1], dt=settings.dt, scale=settings.eta)
    env = PlasticityVectorEnv(config.env, render_mode="rgb_array", **to_dict(settings))
    env.reset(seed=seed)
    first = watched_episode("episode 1", env, rule, every)
    for _ in range(episodes):
        env.run_episode(rule)
    last = watched_episode(f"episode {episodes + 2}", env, rule, every)
    env.close()
    return [first, last]


def evolved(run: str, seed: int, every: int) -> list[Watched]:
    """Return the same episode with fresh weights, and with those of the champion of a run of `evolve.py`."""
    (read,) = read_runs([run])
    sides = []
    for title, weights in (("fresh weights", ""), ("evolved", run)):
        settings = to_dict(read.environment()) | {"init_weights": weights}
        env = PlasticityVectorEnv(str(read.env), render_mode="rgb_array", **settings)
        env.reset(seed=seed)
        sides.append(watched_episode(title, env, make_rule("zero"), every))
        env.close()
    return sides


def main(out: str = "pole.gif", run: str = "", episodes: int = 90, seed: int = 0, every: int = 4) -> Path:
    """Write the animation.

    Args:
        out: A GIF file.
        run: Folder of a run of `evolve.py`; empty: a network that learns.
        episodes: Training episodes between the two that are shown, without a run.
        seed: Of the network and its episodes.
        every: Actions between two pictures.
    """
    sides = evolved(run, seed, every) if run else learning(episodes, seed, every)
    frames = [side_by_side(number, sides, every) for number in range(max(len(side.pictures) for side in sides) + 1)]
    small = [frame.quantize(16) for frame in frames]
    path = Path(out)
    small[0].save(
        path, save_all=True, append_images=[*small[1:], *[small[-1]] * 10], duration=80, loop=0, optimize=True
    )
    lived = "; ".join(f"{side.title}: {side.actions} actions, return {side.reward:.0f}" for side in sides)
    print(f"{lived}; wrote {path}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A network that acts, before and after.")
    parser.add_argument("--out", default="pole.gif", help="GIF file (%(default)s)")
    parser.add_argument("--run", default="", help="folder of a run of evolve.py whose champion is shown")
    parser.add_argument("--every", type=int, default=4, help="actions between two pictures (%(default)s)")
    parser.add_argument("--episodes", type=int, default=90, help="between the two that are shown (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of network and episodes (%(default)s)")
    main(**vars(parser.parse_args()))
