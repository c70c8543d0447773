"""The table of docs/performance.md: aims and measured values."""
# ruff: noqa: RUF001 - the table has times and dashes

from __future__ import annotations

import platform
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

GIB = 2**30
Lines = dict[str, dict[str, Any]]
"""Results of the programs, by name of the line."""

ROWS: list[tuple[str, str, Callable[[Lines], str]]] = [  # what, aim, measured
    ("front forward, K=100, random pairs: table over convolution", "≥ 40×", lambda r: _fronts(r, "random_100")),
    ("… at the events of an image, per event", "≥ 150×", lambda r: _fronts(r, "real")),
    ("… the same, with one construction of the table", "", lambda r: _fronts(r, "real_built")),
    ("… the same, the convolution once per distinct pair, too", "", lambda r: _fronts(r, "real_distinct")),
    ("front forward, K=16, random pairs", "≥ 10×", lambda r: _fronts(r, "random_16")),
    ("front forward + backward per event learned from, K=100, 1024 an image", "≥ 20×", lambda r: _fronts(r, "learn")),
    ("… all events of an image", "", lambda r: _fronts(r, "learn_all")),
    (
        "largest error: h; gradient, relative",
        "1e-5; 1e-4",
        lambda r: f"{max(r['front']['error'], r['front']['real_error']):.1g}; {r['front']['gradient_error']:.1g}",
    ),
    (
        "episode, learned rule by events, over the convolution path: 1 lifetime / 8 lifetimes",
        "≥ 50×",
        lambda r: f"{_times(r['episode']['over_convolution'])} / {_times(r['episode']['over_convolution_8'])}",
    ),
    (
        "episode, learned rule by events, 1 lifetime / 8 lifetimes",
        "≥ 5 images/s",
        lambda r: f"{_two(r['episode']['images_per_second'])} / {_two(r['episode']['images_per_second_8'])} images/s",
    ),
    (
        "share of the limit, 1 lifetime / 8 lifetimes (heads alone, 1)",
        "≥ 70 %",
        lambda r: (
            f"{r['episode']['share_of_limit']:.0%} / {r['episode']['share_of_limit_8']:.0%} "
            f"({r['episode']['share_of_limit_heads']:.0%})"
        ),
    ),
    (
        "images/s: no rule / STDP / target STDP / formula / learned policy, 1 lifetime",
        "≥ 3000 / 2000 / 2000 / 1000 / 100",
        lambda r: _speeds(r["rules"]["one"]),
    ),
    ("… many lifetimes", "≥ 5000 / 3000 / 3000 / 1500 / 200", lambda r: _speeds(r["rules"]["many"])),
    (
        "million synapse events/s, the same rules: 1 lifetime",
        "",
        lambda r: _speeds(_events_per_second(r["rules"], "one")),
    ),
    ("… many lifetimes", "", lambda r: _speeds(_events_per_second(r["rules"], "many"))),
    (
        "bare arithmetic, µs an image (random numbers, rows, potentials, columns): 1 lifetime",
        "",
        lambda r: _parts(r["limits"]["bare_one"]),
    ),
    ("… many lifetimes", "", lambda r: _parts(r["limits"]["bare_many"])),
    (
        "… over a whole image without a rule, with STDP, target STDP: 1 lifetime",
        "",
        lambda r: _shares(r["limits"]["share_one"]),
    ),
    ("… many lifetimes", "", lambda r: _shares(r["limits"]["share_many"])),
    (
        "a formula of ten terms over STDP, time of an image: 1 / many",
        "≤ 2× / ≤ 2×",
        lambda r: f"{_times(r['rules']['formula_over_stdp_one'])} / {_times(r['rules']['formula_over_stdp_many'])}",
    ),
    (
        "… a formula's rows of weights changed in bare arithmetic, µs an image: 1 / many",
        "",
        lambda r: f"{_two(r['limits']['formula_one'])} / {_two(r['limits']['formula_many'])}",
    ),
    (
        "delta rule in Semi 784-256-128-10, T = 16, 1 / 16 lifetimes",
        "≥ 2000 / ≥ 4000 images/s",
        lambda r: f"{_two(r['lives']['delta_one'])} / {_two(r['lives']['delta_many'])} images/s",
    ),
    (
        "judged images, 16 neurons, 32 lifetimes",
        "≥ 10,000 images/s",
        lambda r: f"{_two(r['lives']['judged'])} images/s",
    ),
    (
        "log-log slope of whole images with STDP: neurons; lifetimes",
        "0.9 to 1.0",
        lambda r: f"{_number(r['lives']['slope_n_exc'])}; {_number(r['lives']['slope_num_envs'])}",
    ),
    (
        "64 lifetimes with STDP, one thread over two, by the clock",
        "≥ 1.8×",
        lambda r: _times(r["lives"]["second_thread"]),
    ),
    (
        "… bare sums of weight rows (which is as far as two threads go)",
        "",
        lambda r: _times(r["limits"]["two_threads"]),
    ),
    (
        "STDP over BindsNET: batch 1 / many",
        "≥ 80× / ≥ 10×",
        lambda r: _over_bindsnet(r, ""),
    ),
    (
        "learned policy over BindsNET's STDP: batch 1 / many",
        "≥ 6×",
        lambda r: _over_bindsnet(r, "learned_"),
    ),
    (
        "teacher over the layer-wise loop; with the summed gradient, too",
        "≥ 1×",
        lambda r: f"{_times(r['teacher']['over_autograd'])}; {_times(r['teacher']['summed_over_autograd'])}",
    ),
    (
        "teacher over SpikingJelly; snnTorch",
        "",
        lambda r: f"{_times(r['teacher']['over_spikingjelly'])}; {_times(r['teacher']['over_snntorch'])}",
    ),
    (
        "log-log slope of cost: neurons; lifetimes (events by neurons)",
        "straight lines",
        lambda r: (
            f"{_number(r['episode']['slope_n_exc'])}; {_number(r['episode']['slope_num_envs'])} "
            f"({_number(r['episode']['slope_n_exc_events'])})"
        ),
    ),
    (
        "peak memory, 16 lifetimes training (libraries and data alone)",
        "≤ 2 GB",
        lambda r: f"{_memory(r['episode']['peak_memory'])} ({_memory(r['episode']['base_memory'])})",
    ),
    (
        "learning from all events over learning from 1024",
        "stated",
        lambda r: (
            f"{_times(r['episode']['all_over_sample'])} the time of an image; the update alone "
            f"{_times(r['episode']['update_all'] / r['episode']['update'])}"
        ),
    ),
]


def measured(lines: Lines, quick: bool) -> str:
    """Return the table in Markdown, with the machine and the sizes below."""
    rows = ["| what | aim | measured |", "|---|---|---|"]
    rows += [f"| {what} | {aim} | {value(lines)} |" for what, aim, value in ROWS]
    front, episode = lines["front"], lines["episode"]
    footer = (
        f"{'Quick' if quick else 'Full'} sizes. {processor()}, one thread, torch {torch.__version__}; "
        f"{episode['dataset']}, 784-400, T = K = 100, {episode['events_per_episode']:,.0f} events an image; "
        f"{front['random_pairs']:,} random pairs, {front['real_pairs']:,} distinct pairs in {front['real_events']:,} "
        f"real events, {front['learn_pairs']:,} in {front['learn_events']:,} events learned from; many = "
        f"{lines['rules']['lifetimes']} lifetimes. Ratios of the front: freed memory kept / handed back."
    )
    rows += ["", *textwrap.wrap(footer, 118)]
    return "\n".join(rows) + "\n"


def processor() -> str:
    """Return the name of this machine's processor."""
    path = Path("/proc/cpuinfo")
    names = [line for line in path.read_text().splitlines() if "model name" in line] if path.exists() else []
    return f"One core of {names[0].partition(':')[2].strip()}" if names else f"One core of {platform.machine()}"


def _fronts(lines: Lines, key: str) -> str:
    return f"{_times(lines['front'][key])} / {_times(lines['front_fresh'][key])}"


def _two(number: float) -> str:
    """Format with two digits, or the integer part."""
    return f"{number:.2g}" if number < 10 else f"{number:,.0f}"


def _times(ratio: float | None) -> str:
    return "not measured" if ratio is None else f"{_two(ratio)}×"


def _over_bindsnet(lines: Lines, rule: str) -> str:
    return " / ".join(_times(lines["rules"][f"{rule}over_bindsnet_{name}"]) for name in ("one", "many"))


def _speeds(images_per_second: dict[str, float]) -> str:
    names = ("zero", "stdp", "target-stdp", "formula", "learned")
    return " / ".join(_two(images_per_second[name]) if name in images_per_second else "–" for name in names)


def _events_per_second(rules: dict[str, Any], name: str) -> dict[str, float]:
    """Return millions of synapse events per second by rule."""
    return {rule: speed * rules[f"events_{name}"][rule] / 1e6 for rule, speed in rules[name].items()}


def _parts(microseconds: dict[str, float]) -> str:
    return " / ".join(_two(value) for value in microseconds.values())


def _shares(shares: dict[str, float]) -> str:
    return " / ".join(f"{share:.0%}" for share in shares.values())


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _memory(size: int | None) -> str:
    return "not measured" if size is None else f"{size / GIB:.2f} GiB"
