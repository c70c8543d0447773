"""Sweep files run without a server: what is tried, what comes out, and what happens if a run fails."""

import csv
import importlib
import itertools
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_plasticity_gym.config.environments import ENVIRONMENTS
from snn_plasticity_gym.config.presets import read_preset, shipped_file, shipped_files
from snn_plasticity_gym.config.schema import ConfigError, build_configs, read_yaml
from snn_plasticity_gym.config.training import A2CConfig, PPOConfig
from snn_plasticity_gym.trainers import sweep as sweep_module
from snn_plasticity_gym.trainers.sessions.sweep_space import check_metric, expand, grid, random_search, read_sweep
from snn_plasticity_gym.trainers.sweep import ranked, run_sweep, table

ROOT = Path(__file__).parents[2]
NAMES = ["grad", "semi", "unsup1", "unsup2"]
TRAINERS = {"trainers/train_a2c.py": A2CConfig, "trainers/train_ppo.py": PPOConfig}
SMALL = [
    "--episodes=2",
    "--num_envs=2",
    "--eval_episodes=2",
    "--dataset=digits",
    "--num_steps=10",
    "--history_length=8",
]
SMALL += ["--history_length=8", "--wandb=disabled", "--report=False", "--seed=1"]

TOY = """
import pathlib, sys, time
flags = dict(token[2:].split("=", 1) for token in sys.argv[1:])
x = float(flags["x"])
folder = pathlib.Path(flags["run_dir"], "Toy", flags["run_name"])
folder.mkdir(parents=True)
print("x is", x, "seed", flags["seed"], "wandb", flags["wandb"])
if x == 3:
    print("a line of a traceback", file=sys.stderr)
    sys.exit("ValueError: three | is bad")
if x == 5:
    time.sleep(60)
value = "nan" if x == 2 else (x - 1) ** 2
text = f"global_step,eval/score\\n1,99\\n2,{value}\\n3,\\n" if x != 4 else "global_step\\n1\\n"
(folder / "metrics.csv").write_text(text)
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a sweep of a program that needs no time; return the path of its file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.py").write_text(TOY)

    def write(**changes: object) -> str:
        sweep = {
            "program": "toy.py",
            "method": "grid",
            "metric": {"name": "eval/score", "goal": "minimize"},
            "parameters": {"kind": {"value": "a"}, "x": {"values": [0.5, 3, 1.0]}},
        }
        Path("toy.yaml").write_text(yaml.safe_dump(sweep | changes))
        return "toy.yaml"

    return write


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open() as file:
        return list(csv.DictReader(file))


def first_run(sweep: dict) -> dict:
    search = grid(sweep["parameters"]) if sweep["method"] == "grid" else random_search(sweep["parameters"], 0)
    return next(search)


def test_these_are_shipped():
    assert [path.stem for path in shipped_files("sweep")] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_sweep_sets_only_what_its_trainer_and_environment_have(name: str):
    path = shipped_file("sweep", name)
    sweep = read_sweep(path)
    raw = read_yaml(path)
    assert (ROOT / sweep["program"]).is_file() and sweep["metric"] == {"name": "eval_after/reward", "goal": "maximize"}
    assert set(raw) <= {"program", "name", "method", "metric", "parameters"}  # W&B knows them all
    trainer = TRAINERS[sweep["program"]]
    preset = read_preset(shipped_file("preset", raw["parameters"]["preset"]["value"]), None, trainer, ENVIRONMENTS)
    types = (trainer, ENVIRONMENTS[preset["env"]])
    for parameter, space in sweep["parameters"].items():
        for value in space.get("values") or (space["min"], space["max"]):
            build_configs(preset | {parameter: value}, *types)  # raises if there is no such setting or value


@pytest.mark.parametrize("name", NAMES)
def test_a_command_of_a_shipped_sweep_runs(name: str, tmp_path: Path):
    sweep = read_sweep(shipped_file("sweep", name))
    command = expand(sweep["command"], ROOT / sweep["program"], first_run(sweep))
    assert command[:3] == ["/usr/bin/env", sys.executable, str(ROOT / sweep["program"])]
    network = {"grad": ["--hidden_sizes=8,8"], "semi": ["--hidden_sizes=8"]}.get(name, ["--n_exc=8"])
    program = importlib.import_module(f"snn_plasticity_gym.trainers.{Path(sweep['program']).stem}")
    folder = program.train([*command[3:], *SMALL, *network, f"--run_dir={tmp_path}"])
    assert read_yaml(folder / "config.yaml")["preset"] == name
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for column in rows[0].keys() - {"global_step"}:
        check_metric(column, ROOT / sweep["program"])  # nothing that is logged is called misspelt
    cells = [row[sweep["metric"]["name"]] for row in rows]
    assert math.isfinite(float(cells[-1]))


@pytest.mark.slow
def test_the_installed_program_runs_a_shipped_sweep_from_any_folder(tmp_path: Path):
    command = [sys.executable, "-m", "snn_plasticity_gym.trainers.sweep", "unsup1", "--count=1", "--run_dir=here"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    flags = [flag for flag in SMALL if not flag.startswith("--wandb")]
    done = subprocess.run(
        [*command, "--seed=5", "--", *flags, "--n-exc=8"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    (folder,) = (tmp_path / "here").iterdir()
    (row,) = rows_of(folder)
    assert row["status"] == "finished" and row["n_exc"] == "8" and float(row["eval_after/reward"]) > 0
    assert (folder / "SNNPlastic-Unsup1-v0" / "run-1" / "final.zip").exists()


def test_a_grid_is_tried_whole_and_the_best_run_comes_first(toy, capsys):
    folder = run_sweep([toy(), "--seed=7", "--run_dir", "out"])
    rows = rows_of(folder)
    assert [(row["run"], row["status"], row["x"], row["eval/score"]) for row in rows] == [
        ("run-3", "finished", "1.0", "0.0"),
        ("run-1", "finished", "0.5", "0.25"),
        ("run-2", "failed", "3", ""),
    ]
    assert rows[2]["error"] == "ValueError: three | is bad" and rows[0]["error"] == "" and rows[0]["kind"] == "a"
    assert folder.parent == Path("out") and "seed7" in folder.name
    assert "x is 3.0 seed 7 wandb disabled" in (folder / "run-2.log").read_text()
    assert "a line of a traceback" in (folder / "run-2.log").read_text()
    out = capsys.readouterr().out
    text = (folder / "sweep.md").read_text()
    assert "| run-3 | finished | 0 " in text and "three / is bad |" in text and "- kind: a\n" in text
    assert text.partition("\n| ")[2] in out and "run-2 of 3: x=3\n" in out


def test_what_has_no_number_stands_below_what_has_one(toy):
    sweep = toy(parameters={"x": {"values": [4, 2, 3, 7, 0]}}, metric={"name": "eval/score", "goal": "maximize"})
    rows = rows_of(run_sweep([sweep]))
    assert [(row["x"], row["eval/score"]) for row in rows] == [
        ("7", "36.0"),
        ("0", "1.0"),
        ("2", "nan"),
        ("4", ""),
        ("3", ""),
    ]
    assert rows[3]["error"] == "metrics.csv has no value of eval/score" and rows[3]["status"] == "finished"
    assert rows[4]["status"] == "failed"


def test_a_count_and_settings_of_ones_own(toy):
    rows = rows_of(run_sweep([toy(), "--count=1", "--wandb=offline", "--", "--x=9", "--seed=4"]))
    assert [(row["x"], row["seed"], row["eval/score"]) for row in rows] == [("9", "4", "64.0")]


def test_run_cap_is_a_count(toy, capsys):
    assert len(rows_of(run_sweep([toy(run_cap=1, early_terminate={"type": "hyperband"})]))) == 1
    assert "early_terminate needs a W&B server" in capsys.readouterr().out


def test_bayes_becomes_random(toy, capsys):
    folder = run_sweep([toy(method="bayes", parameters={"x": {"min": 6, "max": 9}}), "--count=3", "--seed=1"])
    xs = {row["run"]: int(row["x"]) for row in rows_of(folder)}
    assert [xs[f"run-{i}"] for i in (1, 2, 3)] == [
        v["x"]
        for v in itertools.islice(random_search({"x": {"distribution": "int_uniform", "min": 6, "max": 9}}, 1), 3)
    ]
    assert "bayes needs a W&B server" in capsys.readouterr().out


def test_if_no_run_finishes_the_program_says_so(toy):
    with pytest.raises(ConfigError, match="no run finished"):
        run_sweep([toy(), "--", "--x=3"])


def test_ctrl_c_keeps_what_there_is(toy, tmp_path):
    sweep = toy(parameters={"x": {"values": [0, 5, 1]}})
    command = [sys.executable, str(ROOT / "trainers" / "sweep.py"), sweep, "--run-dir=out"]
    options = {"stdout": subprocess.PIPE, "text": True, "start_new_session": True}

    def listen() -> None:  # a shell that put the tests into the background may have told them to ignore it
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with subprocess.Popen(command, preexec_fn=listen, **options) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("out/*/Toy/run-2")) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the program and its run
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    (folder,) = (tmp_path / "out").iterdir()
    assert [row["run"] for row in rows_of(folder)] == ["run-1"] and "| run-1 | finished | 1 " in out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "gird"}, "unknown method 'gird'; valid: grid, random, bayes; did you mean grid?"),
        ({"metod": "grid"}, "unknown key 'metod'; valid: program, method"),
        ({"metric": {"goal": "minimize"}}, "metric must be a mapping with name and goal"),
        ({"metric": {"name": "a", "goal": "best"}}, "unknown goal of the metric 'best'; valid: minimize, maximize"),
        ({"parameters": {}}, "parameters must be a mapping"),
        ({"parameters": {"x": 3}}, "x must be a mapping such as {value: 1}, got 3"),
        ({"parameters": {"x": {"values": []}}}, "x must have one of: value; values, a list; min and max"),
        ({"parameters": {"x": {"min": 1}}}, "x must have one of"),
        ({"parameters": {"x": {"min": "1e-3", "max": 1}}}, "x must lie between numbers (YAML takes 1e-3 for text"),
        ({"parameters": {"x": {"min": 2, "max": 1}}}, "x has no int_uniform distribution between 2 and 1"),
        ({"parameters": {"x": {"min": 0, "max": 1, "distribution": "log_uniform_values"}}}, "x has no log_uniform"),
        ({"parameters": {"x": {"min": 0, "max": 1, "distribution": "normal"}}}, "unknown distribution of x: 'normal'"),
        ({"parameters": {"x": {"min": 0.1, "max": 1}}}, "x needs values in a grid, got uniform"),
        ({"command": "python"}, "command must be a list"),
        ({"command": ["${arg}"]}, "unknown macro in command: '${arg}'"),
        ({"program": "none.py"}, "there is no program none.py; give a path seen from here, or one of ours: trainers/"),
        ({"program": 3}, "program must be a path, got 3"),
        ({"run_cap": "many"}, "run_cap must be an integer of at least 1, got 'many'"),
        ({"method": "random"}, "random search needs --count"),
    ],
)
def test_a_bad_file_is_one_line_and_nothing_is_run(toy, changes, message):
    with pytest.raises(ConfigError) as caught:
        run_sweep([toy(**changes)])
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not Path("runs").exists()


def test_a_metric_that_the_first_run_spells_otherwise_ends_the_sweep(toy):
    with pytest.raises(ConfigError, match=r"^run-1 has logged no eval/scores; did you mean eval/score\? It is in "):
        run_sweep([toy(metric={"name": "eval/scores"}), "--run_dir=out"])
    (folder,) = Path("out").iterdir()
    assert [row["status"] for row in rows_of(folder)] == ["finished"]


def test_a_metric_that_no_run_has_is_said_at_the_end(toy):
    with pytest.raises(ConfigError, match="no run has logged other/thing; what they logged is in "):
        run_sweep([toy(metric={"name": "other/thing"}), "--", "--x=1"])


def test_two_sweeps_of_one_second_and_seed_have_folders_of_their_own(toy, monkeypatch):
    class Stopped(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr(sweep_module, "datetime", Stopped)
    folders = [run_sweep([toy(), "--seed=7", "--run_dir=out", "--", "--x=1"]) for _ in range(3)]
    ends = [folder.name.removeprefix("sweep-toy-20260102-030405-seed7") for folder in folders]
    assert ends == ["", "-2", "-3"]


def test_a_home_is_expanded_and_a_folder_that_cannot_be_made_is_one_line(toy, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert run_sweep([toy(), "--run_dir=~/sweeps", "--", "--x=1"]).parent == tmp_path / "home" / "sweeps"
    (tmp_path / "afile").write_text("")
    with pytest.raises(ConfigError, match="cannot make the folder afile/sweep-toy"):
        run_sweep([toy(), "--run_dir=afile", "--", "--x=1"])


def test_plugins_are_handed_on_to_every_run(toy, tmp_path):
    sweep = toy()
    (tmp_path / "toy.py").write_text(TOY + 'print("plugins", flags["plugin"])\n')
    folder = run_sweep([sweep, "--plugin=mine.py", "--plugin", "other", "--", "--x=1"])
    assert "plugins mine.py,other" in (folder / "run-1.log").read_text()


def test_bad_arguments(toy, capsys):
    for arguments, message in [
        (["--count=0"], "--count must be at least 1, got 0"),
        (["--", "--x", "3"], "settings after -- are given as --name=value"),
    ]:
        with pytest.raises(SystemExit):
            run_sweep([toy(), *arguments])
        assert message in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"unknown sweep 'unsup'; valid: grad, semi, unsup1, unsup2"):
        run_sweep(["unsup"])
    with pytest.raises(ConfigError, match=r"cannot read settings from none\.yaml"):
        run_sweep(["none.yaml"])


SPACE = st.one_of(
    st.lists(st.integers() | st.booleans() | st.text(), min_size=1, max_size=4).map(lambda v: {"values": v}),
    st.tuples(st.integers(-99, 99), st.integers(0, 99)).map(
        lambda p: {"distribution": "int_uniform", "min": p[0], "max": p[0] + p[1]}
    ),
    st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e6)).map(
        lambda p: {"distribution": "uniform", "min": p[0], "max": p[0] + p[1]}
    ),
    st.tuples(st.floats(1e-9, 1e6), st.floats(0, 1e6)).map(
        lambda p: {"distribution": "log_uniform_values", "min": p[0], "max": p[0] + p[1]}
    ),
)


@given(st.dictionaries(st.text(min_size=1), SPACE, max_size=4), st.integers(0, 2**31))
@settings(max_examples=60)
def test_random_search_keeps_to_its_bounds_and_its_seed(parameters, seed):
    drawn = list(itertools.islice(random_search(parameters, seed), 5))
    assert drawn == list(itertools.islice(random_search(parameters, seed), 5))
    for values in drawn:
        assert list(values) == list(parameters)
        for name, value in values.items():
            space = parameters[name]
            if "values" in space:
                assert any(value is allowed for allowed in space["values"])
            else:
                assert space["min"] <= value <= space["max"]
                assert type(value) is (int if space["distribution"] == "int_uniform" else float)


def test_log_uniform_values_are_uniform_in_the_logarithm():
    space = {"x": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2}}
    values = [values["x"] for values in itertools.islice(random_search(space, 0), 2000)]
    assert abs(sum(value < 1e-3 for value in values) / 2000 - 0.5) < 0.05


@given(st.dictionaries(st.text(min_size=1), st.lists(st.integers(), min_size=1, max_size=3, unique=True), max_size=4))
def test_a_grid_covers_the_product_once(axes):
    tried = list(grid({name: {"values": values} for name, values in axes.items()}))
    assert [tuple(values.values()) for values in tried] == list(itertools.product(*axes.values()))


def test_a_grid_counts_through_an_integer_range():
    space = {"x": {"distribution": "int_uniform", "min": 2, "max": 4}, "y": {"values": [True, None]}}
    assert [(v["x"], v["y"]) for v in grid(space)] == [(2, True), (2, None), (3, True), (3, None), (4, True), (4, None)]


def test_flags_are_written_as_an_agent_writes_them():
    command = ["nice", "${interpreter}", "${program}", "--no-progress", "${args}"]
    values = {"rate": 1e-05, "on": True, "sizes": [64, 32], "kl": None}
    flags = ["--rate=1e-05", "--on=True", "--sizes=[64, 32]", "--kl=None"]
    assert expand(command, Path("p.py"), values) == ["nice", sys.executable, "p.py", "--no-progress", *flags]


def test_the_table():
    rows = [{"run": "a", "m": 2.0}, {"run": "b", "m": None}, {"run": "c", "m": math.nan}, {"run": "d", "m": 0.123456}]
    assert [row["run"] for row in ranked(rows, "m", "minimize")] == ["d", "a", "c", "b"]
    assert [row["run"] for row in ranked(rows, "m", "maximize")] == ["a", "d", "c", "b"]
    assert table(rows[::3], ["run", "m"]) == "| run | m      |\n| --- | ------ |\n| a   | 2      |\n| d   | 0.1235 |"
