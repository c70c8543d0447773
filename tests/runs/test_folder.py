"""Run folders, metrics and W&B. Tests with the real wandb run in processes of their own, with an empty home."""

import csv
import json
import logging
import os
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from stable_baselines3.common.logger import Figure, HumanOutputFormat, Image

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.runs import folder as tracking
from snn_plasticity_gym.runs import wandb_writer
from snn_plasticity_gym.runs.folder import RunFolder, make_logger, require_tensorboard, tensorboard_writer
from snn_plasticity_gym.runs.metrics import MetricsCSV
from snn_plasticity_gym.runs.tables import Table
from snn_plasticity_gym.runs.wandb_writer import WandbWriter, start_wandb
from snn_plasticity_gym.utils.files import atomic_path, make_unique_folder

ENV = "SNNPlastic-Unsup1-v0"
CONFIG = {"env": ENV, "images": 100, "learning_rate": 1e-05, "terms": [1.0, 0.5], "max_grad": None, "anneal": False}
KEY = "0123456789" * 4  # the form of a W&B key, and nobody's


def create(root: Path, **options) -> RunFolder:
    return RunFolder.create(ENV, CONFIG, root=root, **({"seed": 3} | options))


# run folders


def test_a_new_run_folder_says_what_the_run_is(tmp_path):
    dataset = {"name": "digits", "checksum": "ab12", "directory": "digits-8x8"}
    run = create(tmp_path, name="first", dataset=dataset, command=["train", "--episodes=100"])
    assert run.path == tmp_path / ENV / "first"
    assert yaml.safe_load(run.config_yaml.read_text()) == CONFIG
    assert run.checkpoints.is_dir()
    assert run.final.parent == run.metrics_csv.parent == run.path
    manifest = json.loads(run.manifest_json.read_text())
    assert (manifest["seed"], manifest["dataset"]) == (3, dataset)
    assert manifest["command"] == ["train", "--episodes=100"]
    assert manifest["python"] == ".".join(map(str, sys.version_info[:3]))
    assert manifest["packages"].keys() == set(tracking.PACKAGES)
    assert manifest["packages"]["numpy"] == np.__version__
    assert manifest["torch_threads"] == torch.get_num_threads()
    assert {"platform", "cpu_count", "created", "git"} <= manifest.keys()


def test_the_manifest_holds_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("SOME_TOKEN", "s3cr3t-token")
    run = create(tmp_path)
    for file in (run.config_yaml, run.manifest_json):
        assert KEY not in file.read_text()
        assert "s3cr3t-token" not in file.read_text()


def test_default_names_hold_time_and_seed_and_never_meet(tmp_path, monkeypatch):
    class Frozen(tracking.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2024, 5, 6, 7, 8, 9)

    monkeypatch.setattr(tracking, "datetime", Frozen)
    names = [create(tmp_path).path.name for _ in range(3)]
    assert names == ["20240506-070809-seed3", "20240506-070809-seed3-2", "20240506-070809-seed3-3"]


def test_runs_that_start_at_the_same_moment_get_folders_of_their_own(tmp_path):
    path = tmp_path / "env" / "20240506-070809-seed0"
    with ThreadPoolExecutor(8) as pool:  # to the file system, threads compete just as processes do
        paths = list(pool.map(make_unique_folder, [path] * 40))
    assert len(set(paths)) == 40


def test_a_module_prefix_is_no_part_of_the_folder(tmp_path):
    run = RunFolder.create(f"snn_plasticity_gym:{ENV}", CONFIG, seed=0, root=tmp_path, name="a")
    assert run.path == tmp_path / ENV / "a"


def test_a_given_name_may_be_an_empty_folder_but_no_full_one(tmp_path):
    (tmp_path / ENV / "mine").mkdir(parents=True)
    run = create(tmp_path, name="mine")
    before = run.config_yaml.read_text()
    with pytest.raises(ConfigError, match=r"mine is not empty; choose another name or remove it$"):
        create(tmp_path, name="mine", seed=4)
    assert run.config_yaml.read_text() == before


@pytest.mark.parametrize("name", ["a/b", "..", ".", "/tmp/x", "a\nb", "a\tb", "\x1b[2J"])
def test_a_name_cannot_lead_elsewhere(tmp_path, name):
    with pytest.raises(ConfigError, match="must be a plain folder name"):
        create(tmp_path, name=name)


@pytest.mark.parametrize("name", ["", "mine"])
def test_an_unwritable_place_is_an_error_of_one_line(tmp_path, name):
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match="cannot write the run folder") as caught:
        create(tmp_path / "runs", name=name)
    assert "\n" not in str(caught.value)


def test_a_folder_without_permission_is_an_error_of_one_line(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ConfigError, match=r"cannot write the run folder .*: Permission denied$"):
        create(tmp_path)


# git


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(root), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_git_state_is_commit_and_dirty_flag(tmp_path):
    assert tracking._git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert tracking._git_state(tmp_path) is None  # no commit yet
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "start")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert tracking._git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "new.py").write_text("x = 1\n")
    assert tracking._git_state(tmp_path) == {"commit": commit, "dirty": True}
    (tmp_path / "site-packages").mkdir()
    assert tracking._git_state(tmp_path / "site-packages") is None


def test_git_state_without_git(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    assert tracking._git_state(tmp_path) is None


# atomic writing


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "final.zip"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["final.zip"]


def test_a_failing_replace_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        RunFolder(tmp_path).write(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_complete_write_replaces_the_file(tmp_path):
    path = tmp_path / "a.txt"
    for text in ("old", "new: Δd"):
        RunFolder(tmp_path).write(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_temporary_name_keeps_folder_and_suffix(tmp_path):
    with atomic_path(tmp_path / "final.zip") as temporary:
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".zip")
        temporary.write_bytes(b"model")
    assert (tmp_path / "final.zip").read_bytes() == b"model"


# logger


def read_csv(run: RunFolder) -> list[dict[str, str]]:
    with run.metrics_csv.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_csv_grows_with_new_keys(tmp_path):
    run = create(tmp_path)
    logger = make_logger(run, MetricsCSV(run.metrics_csv))
    logger.record("train/loss", 0.5)
    logger.dump(10)
    logger.record("train/loss", np.float32(0.25))
    logger.record("eval/accuracy", torch.tensor(0.75))
    logger.dump(20)
    logger.close()
    assert read_csv(run) == [
        {"global_step": "10", "train/loss": "0.5", "eval/accuracy": ""},
        {"global_step": "20", "train/loss": "0.25", "eval/accuracy": "0.75"},
    ]


def test_the_csv_takes_no_histograms_and_figures(tmp_path):
    run = create(tmp_path)
    logger = make_logger(run, MetricsCSV(run.metrics_csv))
    logger.record("weights", np.arange(1000.0))
    logger.record("history", torch.zeros(2, 3))
    logger.record("figure", Figure(None, close=False))
    logger.record("note", 'a "quoted", text')
    logger.record("hidden", 1.0, exclude="csv")
    logger.dump(1)
    logger.close()
    assert read_csv(run) == [{"global_step": "1", "note": 'a "quoted", text'}]


def test_a_table_on_stdout_only_if_verbose(tmp_path):
    def has_table(logger):
        return any(isinstance(output, HumanOutputFormat) for output in logger.output_formats)

    assert not has_table(make_logger(create(tmp_path)))
    assert has_table(make_logger(create(tmp_path), verbose=1))


# W&B, with a run that only remembers


class FakeRun:
    def __init__(self, failing: bool = False):
        self.failing = failing
        self.logged, self.metrics, self.exit_codes = [], [], []
        self.config = SimpleNamespace(update=lambda *args, **kwargs: None)

    def define_metric(self, *args, **kwargs):
        self.metrics.append((args, kwargs))

    def log(self, values):
        if self.failing:
            raise RuntimeError("no contact\nmore lines")
        self.logged.append(values)

    def finish(self, exit_code=0):
        self.exit_codes.append(exit_code)
        if self.failing:
            raise RuntimeError("no contact")


def test_values_reach_wandb_on_our_own_step_axis(tmp_path):
    fake = FakeRun()
    writer = WandbWriter(fake, tmp_path)
    assert (("*",), {"step_metric": "global_step"}) in fake.metrics
    logger = make_logger(create(tmp_path), writer)
    logger.record("train/loss", 0.5)
    logger.record("hidden", 1, exclude="wandb")
    logger.dump(64)
    logger.record("eval/accuracy", torch.tensor(0.5))
    logger.dump(64)  # the step of an evaluation may be that of the training
    assert fake.logged == [{"global_step": 64, "train/loss": 0.5}, {"global_step": 64, "eval/accuracy": 0.5}]


def test_arrays_become_histograms(tmp_path):
    wandb = pytest.importorskip("wandb")
    fake = FakeRun()
    logger = make_logger(create(tmp_path), WandbWriter(fake, tmp_path))
    logger.record("array", np.arange(10.0))
    logger.record("tensor", torch.zeros(2, 3, requires_grad=True))
    logger.dump(1)
    assert all(isinstance(fake.logged[0][key], wandb.Histogram) for key in ("array", "tensor"))


def test_pictures_and_tables_become_media(tmp_path):
    wandb = pytest.importorskip("wandb")
    fake, run = FakeRun(), create(tmp_path)
    logger = make_logger(run, MetricsCSV(run.metrics_csv), WandbWriter(fake, tmp_path))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    logger.record("report/picture", Image(pixels, "HWC"))
    logger.record("report/table", Table("table", ["a", "b"], [["1", "x"], ["2", "y"]]))
    logger.dump(1)
    picture, table = (fake.logged[0][f"report/{name}"] for name in ("picture", "table"))
    assert isinstance(picture, wandb.Image)
    np.testing.assert_array_equal(np.asarray(picture.image), pixels)
    assert isinstance(table, wandb.Table) and table.columns == ["a", "b"] and table.data == [["1", "x"], ["2", "y"]]
    logger.close()
    assert read_csv(run) == []  # a row of nothing is none


def test_tensorboard_gets_numbers_pictures_and_tables_when_asked(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = create(tmp_path)
    logger = make_logger(run, tensorboard_writer(run, True))
    logger.record("train/loss", 0.5)
    logger.record("report/picture", Image(np.zeros((4, 6, 3), dtype=np.uint8), "HWC"))
    logger.record("report/table", Table("table", ["a", "b"], [["1", "x|y"]], "Said below."))
    logger.dump(7)
    logger.close()
    events = accumulator.EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(7, 0.5)]
    (picture,) = events.Images("report/picture")
    assert (picture.height, picture.width) == (4, 6)
    (table,) = events.Tensors("report/table/text_summary")
    assert table.tensor_proto.string_val[0].decode() == "| a | b |\n| --- | --- |\n| 1 | x\\|y |\n\nSaid below."
    assert tensorboard_writer(run, False) is None


def test_tensorboard_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install tensorboard"):
        require_tensorboard(True)
    require_tensorboard(False)


def test_a_failing_log_warns_once_and_the_csv_goes_on(tmp_path, caplog):
    run = create(tmp_path)
    logger = make_logger(run, MetricsCSV(run.metrics_csv), WandbWriter(FakeRun(failing=True), tmp_path))
    with caplog.at_level(logging.WARNING, "snn_plasticity_gym"):
        for step in range(5):
            logger.record("train/loss", 0.5)
            logger.dump(step)
        logger.close()
    (record,) = caplog.records
    assert record.getMessage() == "W&B refuses values, metrics.csv continues: no contact"
    assert len(read_csv(run)) == 5


@pytest.mark.parametrize("returns", [True, False])
def test_logs_wait_while_the_disk_is_full(returns, tmp_path, monkeypatch, caplog):
    """W&B's service would lose them, and with them all that follow."""
    free = [100 << 20]
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free[0]))
    fake = FakeRun()
    writer = WandbWriter(fake, tmp_path)

    def steps():
        return [values["global_step"] for values in fake.logged]

    with caplog.at_level(logging.WARNING, "snn_plasticity_gym"):
        for step in range(6):
            free[0] = (100 if step < 2 else 3) << 20
            writer.write({"a": step}, {"a": ()}, step)
        assert steps() == [0, 1]
        if returns:
            free[0] = 100 << 20
            writer.write({"a": 6}, {"a": ()}, 6)
            assert steps() == list(range(7))
        writer.finish()
    assert steps() == list(range(7 if returns else 6))
    first, *rest = [record.getMessage() for record in caplog.records]
    assert first == "W&B waits: its disk has 3 MiB left, less than 32"
    assert rest == ([] if returns else ["W&B gets its last 4 logs without that room, and may lose them"])
    assert fake.exit_codes == [0]


def test_finish_is_done_once(tmp_path):
    fake = FakeRun()
    writer = WandbWriter(fake, tmp_path)
    writer.close()
    writer.finish()
    writer.close()
    writer.write({"a": 1}, {}, 1)
    assert (fake.exit_codes, fake.logged) == ([0], [])


def test_finish_under_an_exception_marks_the_run_failed(tmp_path):
    fake = FakeRun()
    writer = WandbWriter(fake, tmp_path)
    with pytest.raises(ZeroDivisionError):
        try:
            _ = 1 / 0
        finally:
            writer.close()
    assert fake.exit_codes == [1]


class FakeWandb:
    """The parts of the wandb module that `start_wandb` uses."""

    def __init__(self, has_key: bool = True, failing_modes: tuple[str, ...] = ()):
        self.has_key, self.failing_modes, self.inits = has_key, failing_modes, []

    class Settings:
        model_fields = {"finish_timeout": None}  # noqa: RUF012

        def __init__(self, **values):
            self.values = values

    def setup(self, settings):
        assert settings.values["silent"]

    def teardown(self):
        pass

    def login(self, prompt=True, verify=True):
        assert not prompt and not verify
        return self.has_key

    def init(self, **options):
        self.inits.append(options)
        if options["mode"] in self.failing_modes:
            raise RuntimeError(f"{options['mode']} fails\nsecond line")
        return FakeRun()


@pytest.fixture
def start(tmp_path, monkeypatch, caplog):
    """Start W&B with a fake module; gives the modes tried, the writer and the warnings."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)

    def run(mode: str, fake: FakeWandb):
        monkeypatch.setitem(sys.modules, "wandb", fake)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "snn_plasticity_gym"):
            writer = start_wandb(mode, create(tmp_path), CONFIG, "project")
        return [options["mode"] for options in fake.inits], writer, [r.getMessage() for r in caplog.records]

    return run


def test_auto_follows_the_key(start):
    modes, writer, warnings = start("auto", FakeWandb(has_key=True))
    assert (modes, warnings) == (["online"], []) and writer is not None
    modes, writer, warnings = start("auto", FakeWandb(has_key=False))
    assert (modes, warnings) == (["offline"], []) and writer is not None


@pytest.mark.parametrize(("asked", "modes"), [("offline", ["offline"]), ("disabled", []), ("online", ["online"])])
def test_auto_obeys_the_variable_of_wandb(start, monkeypatch, asked, modes):
    monkeypatch.setenv("WANDB_MODE", asked)
    assert start("auto", FakeWandb(has_key=True))[0] == modes


def test_online_without_a_key_is_offline_and_asks_nobody(start):
    modes, writer, warnings = start("online", FakeWandb(has_key=False))
    assert modes == ["offline"] and writer is not None
    assert len(warnings) == 1 and "run `wandb login`" in warnings[0]


def test_online_that_fails_is_offline_with_one_warning(start):
    modes, writer, warnings = start("online", FakeWandb(failing_modes=("online",)))
    assert modes == ["online", "offline"] and writer is not None
    assert len(warnings) == 1 and warnings[0].endswith(": online fails")


def test_wandb_that_fails_altogether_is_one_warning(start):
    _, writer, warnings = start("offline", FakeWandb(failing_modes=("offline",)))
    assert writer is None and len(warnings) == 1
    assert "the run folder has everything" in warnings[0]


def test_disabled_is_none_and_silent(start):
    _, writer, warnings = start("disabled", FakeWandb())
    assert writer is None and warnings == []


def test_a_wandb_that_cannot_be_imported_is_one_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with caplog.at_level(logging.WARNING, "snn_plasticity_gym"):
        assert start_wandb("offline", create(tmp_path), CONFIG, "project") is None
    assert len(caplog.records) == 1


def test_an_unknown_mode_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="one of auto, online, offline, disabled, got 'ofline'"):
        start_wandb("ofline", create(tmp_path), CONFIG, "project")


def test_time_limits_are_set(start):
    fake = FakeWandb()
    start("online", fake)
    options = fake.inits[0]["settings"].values
    assert options["init_timeout"] == wandb_writer.ONLINE_TIMEOUT
    assert options["finish_timeout"] == wandb_writer.FINISH_TIMEOUT


# W&B itself

PROGRAM = """
import logging, os, pathlib, signal, sys, time
from snn_plasticity_gym.runs.metrics import MetricsCSV
from snn_plasticity_gym.runs.folder import RunFolder, make_logger
from snn_plasticity_gym.runs.wandb_writer import start_wandb

logging.basicConfig(format="LOG %(message)s")
mode, root, ending = sys.argv[1:]
config = {"env": "E-v0", "learning_rate": 1e-5}
run = RunFolder.create("E-v0", config, seed=0, name="run", root=root)
assert "wandb" not in sys.modules
writer = start_wandb(mode, run, config, "tests")
assert dict(writer.run.config) == config
logger = make_logger(run, MetricsCSV(run.metrics_csv), writer)
for step in range(3):
    logger.record("train/loss", 1 / (step + 1))
    logger.dump(step)
    if ending == "service killed" and step == 0:
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = stat.read_text().rpartition(")")[2].split()[1]
            except OSError:  # it has just ended
                continue
            if int(parent) == os.getpid():
                os.kill(int(stat.parent.name), signal.SIGKILL)
        time.sleep(1)
if ending == "dies":
    raise RuntimeError("training died")
logger.close()
logger.close()
print(writer and writer.run.settings.mode)
"""


def train(tmp_path: Path, mode: str, ending: str = "ends", **variables: str) -> subprocess.CompletedProcess:
    """Run a small training with wandb in a process that sees no settings and no key but those given."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "XDG_"))}
    environment |= {"HOME": str(home), "NETRC": str(home / "netrc"), "OMP_NUM_THREADS": "1"}
    environment |= {"PYTHONPATH": str(Path(tracking.__file__).parents[1])} | variables
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), mode, str(tmp_path / "runs"), ending]
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)


def wandb_files(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "runs" / "E-v0" / "run" / "wandb").glob("offline-run-*/*.wandb"))


def test_an_offline_run_is_written_quietly_into_the_run_folder(tmp_path):
    done = train(tmp_path, "offline")
    assert (done.returncode, done.stdout, done.stderr) == (0, "offline\n", "")
    (file,) = wandb_files(tmp_path)
    assert b"train/loss" in file.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "runs"]


@pytest.mark.slow
def test_auto_without_a_key_is_offline_and_quiet(tmp_path):
    done = train(tmp_path, "auto")
    assert (done.returncode, done.stdout, done.stderr) == (0, "offline\n", "")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="children are found there")
def test_a_killed_service_is_one_warning_and_the_csv_goes_on(tmp_path):
    done = train(tmp_path, "offline", "service killed")
    assert (done.returncode, done.stdout) == (0, "offline\n")
    (line,) = done.stderr.splitlines()
    assert line.startswith("LOG W&B refuses values, metrics.csv continues: ")
    assert len(read_csv(RunFolder(tmp_path / "runs" / "E-v0" / "run"))) == 3


@pytest.mark.slow
def test_an_unreachable_server_is_one_warning_and_an_offline_run(tmp_path):
    start = time.monotonic()
    done = train(
        tmp_path, "auto", WANDB_API_KEY=KEY, WANDB_BASE_URL="http://127.0.0.1:9", WANDB_INIT_TIMEOUT="2"
    )  # fmt: skip
    assert time.monotonic() - start < 60
    assert (done.returncode, done.stdout) == (0, "offline\n")
    (line,) = done.stderr.splitlines()
    assert line.startswith("LOG W&B is offline, `wandb sync` can upload the run later: ")
    assert len(wandb_files(tmp_path)) == 1
    assert len(read_csv(RunFolder(tmp_path / "runs" / "E-v0" / "run"))) == 3


@pytest.mark.slow
def test_a_broken_key_is_one_warning_and_an_offline_run(tmp_path):
    done = train(tmp_path, "online", WANDB_API_KEY="short")
    assert (done.returncode, done.stdout) == (0, "offline\n")
    (line,) = done.stderr.splitlines()
    assert "WANDB_API_KEY invalid" in line
    assert "short" not in line.replace("shorter", "")


@pytest.mark.slow
def test_in_a_sweep_the_parsed_flags_are_the_truth(tmp_path):
    parameters = tmp_path / "sweep.yaml"
    parameters.write_text("wandb_version: 1\nlearning_rate:\n  value: 0.25\n")  # the program compares: it has 1e-5
    done = train(tmp_path, "offline", WANDB_SWEEP_ID="abc", WANDB_SWEEP_PARAM_PATH=str(parameters))
    assert (done.returncode, done.stdout, done.stderr) == (0, "offline\n", "")


def test_a_training_that_dies_leaves_a_complete_offline_run(tmp_path):
    done = train(tmp_path, "offline", "dies")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("RuntimeError: training died")
    (file,) = wandb_files(tmp_path)
    assert b"train/loss" in file.read_bytes()


# a run that goes on


def test_a_run_goes_on_in_its_folder_under_its_wandb_id(tmp_path):
    run = create(tmp_path)
    again = RunFolder.reopen(run.path, {"images": 7})
    assert yaml.safe_load(again.config_yaml.read_text()) == {"images": 7}
    assert len(run.wandb_id) == 8 and again.wandb_id == run.wandb_id


def test_a_folder_that_cannot_be_written_or_is_no_run_is_refused_before_training(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"^no run at .*; give a run's folder, which has a manifest.json$"):
        RunFolder.reopen(tmp_path, {})
    run = create(tmp_path)
    before = run.config_yaml.read_text()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    for attempt in (lambda: RunFolder.reopen(run.path, {}), lambda: create(tmp_path / "other")):
        with pytest.raises(ConfigError, match=r"^cannot write the run folder .*: Read-only file system$"):
            attempt()
    assert run.config_yaml.read_text() == before
