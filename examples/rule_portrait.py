"""Two figures of a learned rule: receptive fields that form under it, and its kernel compared with STDP.

STDP is the best pair rule for the small networks of the preset `unsup1-small`, of 37 settings.

    python examples/rule_portrait.py runs/SNNPlastic-Unsup1-v0/NAME

They are written to fields_forming.gif and kernel_beside_stdp.png. The run is one of `Unsup1` or `Unsup2`, e.g. of `make
train`; the network is a fresh one.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from snn_plasticity_gym import load_rule, make_rule
from snn_plasticity_gym.config.schema import ConfigError, to_dict
from snn_plasticity_gym.envs.vector import PlasticityVectorEnv
from snn_plasticity_gym.evaluation.kernels import pair_window
from snn_plasticity_gym.evaluation.probes import Site
from snn_plasticity_gym.report.kernel_figures import CHANGE, DELAY, branches
from snn_plasticity_gym.report.runs import read_runs
from snn_plasticity_gym.report.style import FAINT, figure_of, legend_above, png, set_labels, shades
from snn_plasticity_gym.rules.base import Rule
from snn_plasticity_gym.tasks.datasets import load_dataset

FIELD, GAP, SHOWN = 56, 6, 244  # pixels: side of a field, between fields, side of the image
ACCENT, QUIET = (213, 94, 0), (110, 110, 110)
STDP = {"learning_rate": 0.1, "alpha": 0.3, "mu_plus": 1, "mu_minus": 1, "pairing": "nearest", "coincident": True}
WEIGHTS = np.array([0.1, 0.5, 0.9])

Pixels = NDArray[np.uint8]


def fields_of(env: PlasticityVectorEnv) -> NDArray[np.float32]:
    """Return the input weights of each E neuron as an image, (N, H, W) in [0, 1]."""
    weights = env.engine.network.weights_of("input_to_exc")[0].T.cpu().numpy()  # (N, pixels)
    side = round(weights.shape[1] ** 0.5)
    return weights.reshape(len(weights), side, side) / env.config.w_exc_max  # type: ignore[attr-defined]


def frame(image: Pixels, fields: NDArray[np.float32], winner: int, title: str) -> Image.Image:
    """Draw the presented image, and all fields, with the winner's framed."""
    columns = int(np.ceil(len(fields) ** 0.5))
    rows = int(np.ceil(len(fields) / columns))
    height = 30 + max(rows * (FIELD + GAP) + GAP, SHOWN)
    picture = Image.new("RGB", (SHOWN + 3 * GAP + columns * (FIELD + GAP), height), "white")
    shown = Image.fromarray(image).resize((SHOWN, SHOWN), Image.Resampling.NEAREST)
    picture.paste(shown, (GAP, 30))
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, 9), title, fill=QUIET, font_size=14)
    for place, field in enumerate(fields):
        left, top = SHOWN + 3 * GAP + place % columns * (FIELD + GAP), 30 + place // columns * (FIELD + GAP)
        colors = (colormaps["cividis"](field)[..., :3] * 255).astype(np.uint8)
        picture.paste(Image.fromarray(colors).resize((FIELD, FIELD), Image.Resampling.NEAREST), (left, top))
        if place == winner:
            draw.rectangle((left - 3, top - 3, left + FIELD + 2, top + FIELD + 2), outline=ACCENT, width=3)
    return picture


def draw_forming(env: PlasticityVectorEnv, rule: Rule, images: int, path: Path) -> None:
    """Train a fresh network by a rule, and write a GIF with a picture after each image."""
    env.reset(seed=0)
    dataset = load_dataset(env.config.dataset, env.config.data_dir, env.config.image_size)  # type: ignore[attr-defined]
    pictures = dataset.split(env.config.split).images.numpy()  # type: ignore[attr-defined]  # uint8 (n, H, W)
    fresh, frames = fields_of(env), []
    for number in range(1, images + 1):
        info = env.run_episode(rule).info
        if number == 1:
            frames.append(frame(pictures[int(info["image"][0])], fresh, -1, "before learning"))
        frames.append(frame(pictures[int(info["image"][0])], fields_of(env), int(info["winner"][0]), f"image {number}"))
    durations = [900, *[140] * (images - 1), 2500]  # ms
    small = [picture.quantize(64) for picture in frames]
    small[0].save(path, save_all=True, append_images=small[1:], duration=durations, loop=0, optimize=True)


def draw_kernels(rules: dict[str, Rule], history_length: int, path: Path) -> None:
    """Draw each rule's STDP window at several weights."""
    site = Site("input_to_exc", projection=0, group=0, dt=1.0, history_length=history_length)
    figure, panels = figure_of(4.2 * len(rules), 3.2, 1, len(rules))
    for axes, (title, rule) in zip(panels, rules.items(), strict=True):
        window = pair_window(rule, site, WEIGHTS)
        for weight, change, color in zip(WEIGHTS, window.change, shades(len(WEIGHTS)), strict=True):
            branches(axes, window.delays, change, color, f"w = {weight:g}")
        axes.axhline(0.0, color=FAINT, linewidth=0.8, zorder=0)
        axes.axvline(0.0, color=FAINT, linewidth=0.8, zorder=0)
        set_labels(axes, title, DELAY, CHANGE)
        legend_above(axes)
    path.write_bytes(png(figure))


def main(run: str, out: str = ".", images: int = 40) -> tuple[Path, Path]:
    """Write both figures into a folder, and return their paths."""
    (read,) = read_runs([run])
    config = read.environment()
    if not hasattr(config, "w_exc_max"):
        raise ConfigError(f"the run must be one of Unsup1 or Unsup2, whose inputs project to E neurons, got {read.env}")
    rule = load_rule(run)
    folder = Path(out)
    forming, kernels = folder / "fields_forming.gif", folder / "kernel_beside_stdp.png"
    settings = {**to_dict(config), "lifetime_length": 0, "plastic_episodes": 0, "heldout_pool": 0, "heldout_shift": 0}
    env = PlasticityVectorEnv(str(read.env), **settings)
    draw_forming(env, rule, images, forming)
    env.close()
    stdp = make_rule("stdp", **STDP, scale=config.eta_exc)  # type: ignore[attr-defined]
    draw_kernels({"the learned rule": rule, "pair STDP": stdp}, config.history_length, kernels)
    print(f"wrote {forming} and {kernels}")
    return forming, kernels


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Two pictures of a learned rule.")
    parser.add_argument("run", help="folder of a run")
    parser.add_argument("--out", default=".", help="folder of the pictures (%(default)s)")
    parser.add_argument("--images", type=int, default=40, help="presented to the network (%(default)s)")
    main(**vars(parser.parse_args()))
