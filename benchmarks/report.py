"""Run all benchmarks, and write the results into docs/performance.md and its picture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib
from rows import Lines, measured

from snn_plasticity_gym.config.cli import parse_config
from snn_plasticity_gym.config.schema import config_class, setting

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- measured: begin, written by benchmarks/report.py -->\n", "<!-- measured: end -->"

PROGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {  # by name of the line: program and its own flags
    "front": ("front", ("--keep_memory",)),
    "front_fresh": ("front", ("--no-keep_memory",)),
    "episode": ("episode", ()),
    "rules": ("rules", ()),
    "lives": ("lives", ()),
    "limits": ("limits", ()),
    "teacher": ("teacher", ()),
}


@config_class
class ReportConfig:
    """Run all benchmarks, and write the table and the picture of docs/performance.md."""

    quick: bool = setting(True, "Fewer rounds and smaller sizes; --no-quick for the sizes of the document.")
    reuse: bool = setting(False, "Take the lines of the last run instead of measuring.")
    lines: str = setting("build/benchmarks", "Folder for the programs' JSON lines.")
    output: str = setting("docs/performance.md", "Document; its table is replaced. The picture goes to images/ there.")
    dataset: str | None = setting(None, "Passed on to the programs.")
    bindsnet_python: str | None = setting(None, "Passed on to rules.py.")
    spikingjelly_python: str | None = setting(None, "Passed on to teacher.py.")
    snntorch_python: str | None = setting(None, "Passed on to teacher.py.")


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    config = parse_config(ReportConfig, argv)
    folder, document = Path(config.lines), Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    passed = {"rules": ["bindsnet_python"], "teacher": ["spikingjelly_python", "snntorch_python"]}
    lines: Lines = {}
    for name, (program, flags) in PROGRAMS.items():
        path = folder / f"{name}.json"
        if not (config.reuse and path.exists()):
            print(f"benchmarks/{program}.py {' '.join(flags)}", file=sys.stderr, flush=True)
            command = [sys.executable, str(HERE / f"{program}.py"), "--json", f"--quick={config.quick}", *flags]
            for flag in ["dataset", *passed.get(program, [])]:
                value = getattr(config, flag)
                command += [f"--{flag}={value}"] * (value is not None)
            path.write_text(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        lines[name] = json.loads(path.read_text())
    table = measured(lines, config.quick)
    print(table)
    text = document.read_text(encoding="utf-8") if document.exists() else f"# Performance\n\n{BEGIN}{END}\n"
    before, _, rest = text.partition(BEGIN)
    document.write_text(before + BEGIN + table + END + rest.partition(END)[2], encoding="utf-8")
    picture = document.parent / "images" / "performance.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    draw(lines["episode"], picture)


def draw(episode: dict[str, Any], path: Path) -> None:
    """Draw the scaling of cost, and the parts of an episode's time."""
    figure, (neurons, lifetimes, parts) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    curves = ((neurons, "by_n_exc", "excitatory neurons", "slope_n_exc"),
              (lifetimes, "by_num_envs", "lifetimes", "slope_num_envs"))  # fmt: skip
    for axes, key, label, slope in curves:
        sizes, seconds = [int(size) for size in episode[key]], list(episode[key].values())
        axes.loglog(sizes, seconds, "o-", label=f"measured, slope {episode[slope]:.2f}")
        axes.loglog(sizes, [seconds[-1] * size / sizes[-1] for size in sizes], "k:", label="slope 1")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set(xlabel=label, ylabel="CPU seconds for 10 time steps")
        axes.legend(frameon=False)
    split = episode["split"]
    bars = parts.barh(list(split)[::-1], [100 * share for share in split.values()][::-1])
    parts.bar_label(bars, fmt="%.0f %%", padding=3)
    parts.set(xlabel="share of an episode's time, one lifetime", xlim=(0, 120 * max(split.values())))
    for axes in (neurons, lifetimes, parts):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
