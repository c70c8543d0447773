"""Run a W&B sweep file without a server, one run after the other: `python trainers/sweep.py --help`.

The file is what `wandb sweep` takes. Grid and random search are done here; `bayes` becomes random. All runs have the
sweep's seed, unless `seed` is a parameter: they then differ in their settings only.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import itertools
import math
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from snn_plasticity_gym.config.presets import shipped_file
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.trainers.sessions.program import run_program
from snn_plasticity_gym.trainers.sessions.sweep_space import (
    check_metric,
    expand,
    find_program,
    grid,
    random_search,
    read_sweep,
)
from snn_plasticity_gym.utils.files import make_unique_folder

PATIENCE = 30  # seconds that a run has for saving its state, after Ctrl-C


def run_one(command: Sequence[str], folder: Path, name: str, metric: str) -> dict[str, Any]:
    """Run one command, with output to a file, and return its result."""
    log, began = folder / f"{name}.log", time.perf_counter()
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as process,
    ):
        try:
            process.wait()
        except KeyboardInterrupt:  # the run got the signal, too
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.terminate()
            raise
    value, error = None, ""
    if process.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        error = next((line.strip() for line in reversed(lines) if line.strip()), f"exit status {process.returncode}")
    else:
        value = _last_value(folder, name, metric)
        error = "" if value is not None else f"metrics.csv has no value of {metric}"
    status = "failed" if process.returncode else "finished"
    return {"status": status, metric: value, "seconds": round(time.perf_counter() - began, 1), "error": error}


def _last_value(folder: Path, name: str, metric: str) -> float | None:
    for path in folder.glob(f"*/{name}/metrics.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            cells = [row[metric] for row in csv.DictReader(file) if row.get(metric)]
        return float(cells[-1]) if cells else None
    return None


def _check_column(metric: str, folder: Path, name: str) -> None:
    """Stop a sweep whose first run has logged a similarly named column instead of the metric."""
    for path in folder.glob(f"*/{name}/metrics.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            columns = csv.DictReader(file).fieldnames or ()
        near = difflib.get_close_matches(metric, columns, n=1, cutoff=0.85)
        if metric not in columns and near:
            raise ConfigError(f"{name} has logged no {metric}; did you mean {near[0]}? It is in {path.parent}")


def ranked(rows: Sequence[dict[str, Any]], metric: str, goal: str) -> list[dict[str, Any]]:
    """Return rows from best to worst; then those whose metric is not finite, then those without one."""

    def key(row: Mapping[str, Any]) -> tuple[bool, bool, float]:
        value = row[metric]
        if value is None or math.isnan(value):
            return value is None, True, 0.0
        return False, False, -value if goal == "maximize" else value

    return sorted(rows, key=key)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return an aligned Markdown table."""
    cells = [list(columns), *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "/")


def write_results(folder: Path, title: str, sweep: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """Write sweep.csv and sweep.md, and return the table."""
    metric, goal, parameters = sweep["metric"]["name"], sweep["metric"]["goal"], sweep["parameters"]
    rows = ranked(rows, metric, goal)
    with (folder / "sweep.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["run", "status", metric, *parameters, "seconds", "error"])
        writer.writeheader()
        writer.writerows(rows)
    varied = _varied(parameters)
    errors = ["error"] if any(row["error"] for row in rows) else []
    text = table(rows, ["run", "status", metric, *varied, "seconds", *errors])
    constants = "".join(f"- {name}: {p['values'][0]}\n" for name, p in parameters.items() if name not in varied)
    (folder / "sweep.md").write_text(f"# {title}\n\n{goal} {metric}\n\n{constants}\n{text}\n", encoding="utf-8")
    return text


def _varied(parameters: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [name for name, parameter in parameters.items() if "values" not in parameter or len(parameter["values"]) > 1]


def run_sweep(argv: Sequence[str] | None = None) -> Path:
    """Run a sweep, and return its folder."""
    options, settings = _options(list(sys.argv[1:] if argv is None else argv))
    path = shipped_file("sweep", options.file)
    sweep = read_sweep(path)
    sweep["parameters"] |= settings
    program = find_program(sweep["program"], path)
    metric = sweep["metric"]["name"]
    check_metric(metric, program)
    seed = options.seed if options.seed >= 0 else secrets.randbelow(2**31)
    count = options.count or sweep.get("run_cap")
    if not count and sweep["method"] != "grid":
        raise ConfigError("random search needs --count, the number of runs")
    search = grid(sweep["parameters"]) if sweep["method"] == "grid" else random_search(sweep["parameters"], seed)
    runs = list(itertools.islice(search, count))
    folder = Path(options.run_dir).expanduser() / f"sweep-{path.stem}-{datetime.now():%Y%m%d-%H%M%S}-seed{seed}"
    try:
        folder = make_unique_folder(folder)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {folder}: {error.strerror}") from error
    if sweep["method"] == "bayes":
        print("bayes needs a W&B server; this is random search instead")
    if "early_terminate" in sweep:
        print("early_terminate needs a W&B server; every run goes to its end instead")
    print(f"{len(runs)} runs of {program}, seed {seed}\nsweep folder {folder}")

    rows: list[dict[str, Any]] = []
    varied, text = _varied(sweep["parameters"]), ""
    try:
        for index, values in enumerate(runs, start=1):
            name = f"run-{index:0{len(str(len(runs)))}d}"
            own = {"run_dir": folder, "run_name": name, "wandb": options.wandb}
            own |= {"plugin": ",".join(options.plugin)} if options.plugin else {}
            command = expand(sweep["command"], program, {"seed": seed} | values | own)
            print(f"{name} of {len(runs)}: {' '.join(f'{key}={_cell(values[key])}' for key in varied)}", flush=True)
            row = run_one(command, folder, name, metric)
            rows.append({"run": name, **values, **row})
            text = write_results(folder, path.stem, sweep, rows)
            if index == 1 and row["status"] == "finished" and row[metric] is None:
                _check_column(metric, folder, name)
    finally:
        if rows:
            print(f"{text}\nsweep folder {folder}")
    if not any(row["status"] == "finished" for row in rows):
        raise ConfigError(f"no run finished; what they wrote is in {folder}")
    if all(row[metric] is None for row in rows):
        raise ConfigError(f"no run has logged {metric}; what they logged is in {folder}")
    return folder


def _options(arguments: list[str]) -> tuple[argparse.Namespace, dict[str, dict[str, Any]]]:
    """Return the options, and the settings after -- as parameters of one value."""
    parser = argparse.ArgumentParser(
        description="Run a W&B sweep file without a server, one run after the other.",
        epilog="Settings after -- replace those of the file in every run, e.g. -- --episodes=100 --dataset=digits",
    )
    parser.add_argument("file", help="a sweep of trainers/sweeps by its name, or the path of a YAML file")
    parser.add_argument("--count", type=int, help="number of runs; a grid ends by itself")
    parser.add_argument(
        "--seed", type=int, default=-1, help="of the search and of all runs; -1 draws one and prints it"
    )
    parser.add_argument("--run_dir", "--run-dir", default="runs", help="the sweep's folder is made there (%(default)s)")
    parser.add_argument(
        "--plugin", action="append", default=[], help="modules of your own for every run; may be given several times"
    )
    parser.add_argument("--wandb", choices=("offline", "disabled"), default="disabled", help="(%(default)s)")
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    pairs = [flag.removeprefix("--").partition("=") for flag in arguments[cut + 1 :]]
    options = parser.parse_args(arguments[:cut])
    if not all(equals for _, equals, _ in pairs):
        parser.error("settings after -- are given as --name=value")
    if options.count is not None and options.count < 1:
        parser.error(f"--count must be at least 1, got {options.count}")
    return options, {name.replace("-", "_"): {"values": [value]} for name, _, value in pairs}


def main() -> int:
    """Run the program."""
    return run_program(run_sweep)


if __name__ == "__main__":
    sys.exit(main())
