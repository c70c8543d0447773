"""The real command on real runs in a temporary folder."""

import re
import sys
from pathlib import Path

import pytest
from processes import as_command
from quick import small_pngs
from toys_tasks import QUOTA, registered
from toys_worlds import CORRIDOR

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.rules.distilled import DistilledRule, load_distilled
from snn_plasticity_gym.trainers.evaluate import evaluate
from snn_plasticity_gym.trainers.report import main, report
from snn_plasticity_gym.trainers.train_a2c import train
from snn_plasticity_gym.trainers.train_bptt import train as train_bptt

ROOT = Path(__file__).parents[2]
COMMON = ["--episodes=4", "--num_envs=2", "--eval_episodes=2", "--wandb=disabled", "--no-progress", "--head_sizes=8,8",
          "--dataset=digits"]  # fmt: skip
UNSUP = ["--n_exc=8", "--num_steps=12", "--history_length=8", "--max_rate=0.02", "--gain_input_exc=20"]
QUICK = ["--sample_images=2", "--sample_events=200", "--life_images=3"]


@pytest.fixture(scope="module", autouse=True)
def small_pictures():
    """Pictures without layout, which takes a second each; what they show is tested elsewhere, and once in full."""
    with small_pngs():
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Two seeds of one training, another environment, and a BPTT run; the first has its report already."""
    root = tmp_path_factory.mktemp("runs")
    made = {}
    for name, flags in {
        "a": ["--seed=1", "--wandb=offline"],
        "b": ["--seed=2", "--no-report"],
    }.items():
        made[name] = train([*COMMON, *UNSUP, *flags, f"--run_dir={root}", f"--run_name={name}"])
    flags = ["--env=SNNPlastic-Semi-v0", "--third_factor=feedback", "--hidden_sizes=6", "--w_init=6", "--no-report"]
    made["semi"] = train([*COMMON, *flags, "--seed=3", f"--run_dir={root}", "--run_name=semi"])
    bptt = ["--dataset=digits", "--hidden_sizes=16", "--num_steps=6", "--episodes=100", "--eval_episodes=20"]
    made["bptt"] = train_bptt([*bptt, "--wandb=disabled", "--no-progress", f"--run_dir={root}", "--run_name=bptt"])
    return made


def pictures(page: Path) -> set[str]:
    return {path.stem for path in (page.parent / "report").glob("*.png")}


KERNEL = {"kernel_pairs", "kernel_map", "kernel_rates"}


def test_a_training_ends_with_its_report(runs):
    page = runs["a"] / "report.html"
    assert pictures(page) >= {"curves_reward", "curves_learning", *KERNEL}
    text = page.read_text()
    assert "SNNPlastic-Unsup1-v0" in text and "n_exc" in text and "R² of the window" in text
    (media,) = runs["a"].glob("wandb/offline-run-*/files/media")
    logged = {path.name.rpartition("_")[0].rpartition("_")[0] for path in (media / "images" / "report").iterdir()}
    assert logged == pictures(page)
    assert {path.name.partition("_")[0] for path in (media / "table" / "report").iterdir()} >= {"kernel", "formula"}
    assert not (runs["b"] / "report.html").exists()
    assert pictures(runs["bptt"] / "report.html") == {"curves_reward"}


@pytest.mark.slow
def test_lifetimes_whose_plasticity_ends_are_compared_by_what_follows(tmp_path):
    flags = ["--plastic_episodes=2", "--lifetime_length=4", "--eval_episodes=6", "--seed=4", f"--run_dir={tmp_path}"]
    page = train([*COMMON, *UNSUP, *flags, "--run_name=ends"]) / "report.html"
    assert "no plasticity" in page.read_text() and pictures(page) >= KERNEL


@as_command
def test_the_command_reports_on_a_run(run, runs, tmp_path):
    done = run(ROOT / "trainers" / "report.py", str(runs["semi"]), *QUICK, "--out", "here", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    page = tmp_path / "here" / "report.html"
    assert str(Path("here") / "report.html") in done.stderr
    assert pictures(page) >= {"curves_reward", "kernel_factor", *KERNEL}


@pytest.mark.slow
def test_seeds_share_a_report_and_other_runs_stand_beside(runs, tmp_path):
    flags = ["--env=SNNPlastic-Unsup2-v0", "--no-report", "--seed=1"]
    other = train([*COMMON, *UNSUP, *flags, f"--run_dir={tmp_path}", "--run_name=u2"])
    page = report([*(str(runs[name]) for name in ("a", "b", "semi")), str(other), *QUICK, f"--out={tmp_path / 'out'}"])
    names = pictures(page)
    assert {"curves_reward", "a_kernel_pairs", "semi_kernel_pairs", "u2_kernel_pairs", "side_kernels"} <= names
    assert not any(name.startswith("b_") for name in names)  # a seed of a's
    text = page.read_text()
    assert "4 runs: a, b, semi, u2" in text and "Settings that differ" in text and "third_factor" in text


def test_the_formula_of_a_report_is_a_rule_to_evaluate(runs, tmp_path, capsys):
    run = runs["semi"]
    report([str(run), *QUICK, f"--out={tmp_path}"])
    flags = [
        f"--preset={run}/config.yaml",
        "--networks=2",
        "--train_episodes=3",
        "--tests=1",
        "--test_episodes=20",
        "--eta=0.1",
    ]
    results = evaluate([*flags, f"--rules=zero,{run},distilled:{run}"])
    losses = {name: results[name]["loss"] for name in results}
    assert losses[f"distilled:{run}"] != losses["zero"]  # it moves weights
    assert f"distilled:{run}" in capsys.readouterr().out
    # the very formula that the file holds
    assert load_distilled(run).extra_names == ("factor",) and len(load_distilled(run).heads) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--rules=distilled:nowhere"],
            "no formula at nowhere/distilled.json; python trainers/report.py nowhere makes one",
        ),
        (
            ["--rules=distilled:RUN", "--third_factor=none"],
            "start from the run's settings with --preset=RUN/config.yaml",
        ),
        (["--rules=distilled:RUN", "--third_factor=feedback", "--dt=0.5"], "time steps of 1 ms, got dt=0.5"),
    ],
)
def test_a_formula_that_does_not_fit_is_refused(runs, arguments, message):
    run = runs["semi"]
    DistilledRule([[]], 1.0, ["factor"]).save(run)
    with pytest.raises(ConfigError, match=re.escape(message.replace("RUN", str(run)))):
        evaluate(["--dataset=digits", *(argument.replace("RUN", str(run)) for argument in arguments)])


@pytest.mark.slow
def test_grad_is_shown_under_its_ceiling_and_beside_bptt(runs, tmp_path):
    flags = ["--env=SNNPlastic-Grad-v0", "--hidden_sizes=6", "--layer_scalars=0.5,1", "--w_init=6", "--no-report"]
    folder = train([*COMMON, *flags, "--seed=1", f"--run_dir={tmp_path}"])
    ceiling = tmp_path / "ceiling.txt"
    ceiling.write_text('{"cosine": [0.1, 0.2], "sign_agreement": [0.5, 0.6], "images": 1}\n')
    page = report([str(folder), str(runs["bptt"]), *QUICK, f"--ceiling={ceiling}", f"--out={tmp_path / 'out'}"])
    assert {"gradient_alignment", "gradient_loss"} <= pictures(page)
    assert "after / ceiling" in page.read_text()


CORRIDOR_WORLD = [f"--world={CORRIDOR}", "--max_actions=12", "--steps_per_action=9", "--history_length=6",
                  "--hidden_sizes=5", '--encoder_kwargs={"fields": 2, "period": 3}',
                  '--decoder_kwargs={"group_size": 3}']  # fmt: skip
ANY = ["--episodes=4", "--num_envs=2", "--eval_episodes=2", "--wandb=disabled", "--no-progress", "--head_sizes=8,8"]
LIFE = {"network_episodes", "network_matrices", "network_weights", "network_signs", "network_raster"}


@pytest.mark.slow
def test_a_training_in_a_world_ends_with_its_report(tmp_path, caplog, capsys):
    flags = ["--env=SNNPlastic-Control-v0", *CORRIDOR_WORLD, "--third_factor=reward", "--w_init_min=0.4"]
    page = train([*ANY, *flags, "--w_init_max=1", "--seed=1", f"--run_dir={tmp_path}"]) / "report.html"
    assert not caplog.text and "reward on 2 fresh episodes, fresh networks" in capsys.readouterr().out
    assert pictures(page) >= {"curves_reward", "kernel_factor", "network_groups", *KERNEL, *LIFE}
    text = page.read_text()
    assert CORRIDOR in text and "learns by the frozen rule in 60 episodes" in text and "rate of motor (Hz)" in text
    assert "images" not in text.split("Effect on a network")[-1]


@pytest.mark.slow
def test_reports_on_a_task_of_ones_own_stand_side_by_side(tmp_path):
    with registered():
        for name in ("one", "two"):
            flags = [f"--env={QUOTA}", "--no-report", f"--quota={len(name) + (name == 'two')}"]
            train([*ANY, *flags, "--seed=1", f"--run_dir={tmp_path}", f"--run_name={name}"])
        runs = [str(tmp_path / QUOTA / name) for name in ("one", "two")]
        page = report([*runs, *QUICK, f"--out={tmp_path / 'out'}"])
    names = pictures(page)
    own = {f"{run}_{name}" for run in ("one", "two") for name in (*KERNEL, *LIFE)}
    assert {"curves_reward", "side_kernels", "side_signs", *own} <= names and "side_winners" not in names
    assert "return of an episode" in page.read_text().split("Side by side")[1]


def test_a_report_that_cannot_be_written_costs_a_warning_not_the_run(tmp_path, monkeypatch, caplog):
    from snn_plasticity_gym.trainers.sessions import report_session

    def broken(*_):
        raise RuntimeError("no space left")

    monkeypatch.setattr(report_session, "learning_curves", broken)
    folder = train([*COMMON, *UNSUP, "--seed=1", f"--run_dir={tmp_path}"])
    assert (folder / "final.zip").exists() and not (folder / "report.html").exists()
    assert "no report was written, the run is whole: RuntimeError: no space left" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no run was given"),
        (["nowhere"], "nowhere is no run folder: it has no config.yaml"),
        (["nowhere", "--otu=x"], "did you mean '--out'"),
        (["nowhere", "--sample_images=0"], "sample_images must be greater than or equal to 1, got 0"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        sys.exit(main())
    assert ended.value.code != 0
    told = capsys.readouterr().err
    assert message in told and len(told.strip().splitlines()) == 1 and not list(tmp_path.iterdir())


def test_the_folder_of_a_report_is_made_or_refused_before_work(runs, tmp_path, monkeypatch, capsys):
    def never(*_: object, **__: object) -> None:
        raise AssertionError("work began")

    monkeypatch.setattr("snn_plasticity_gym.trainers.sessions.report_session.sections", never)
    (tmp_path / "afile").write_text("")
    with pytest.raises(ConfigError, match=r"out must be a folder that can be written to, got .*afile: File exists"):
        report([str(runs["a"]), f"--out={tmp_path / 'afile'}"])
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "holiday.png").write_text("mine")
    with pytest.raises(ConfigError, match=r"report holds pictures of something else; choose another folder for out$"):
        report([str(runs["a"]), f"--out={tmp_path}"])
    assert (tmp_path / "report" / "holiday.png").read_text() == "mine"
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "report.html").write_text("")
    with pytest.raises(AssertionError, match="work began"):
        report([str(runs["a"]), f"--out={tmp_path / 'old'}"])
    assert f"replacing {tmp_path / 'old' / 'report.html'}" in capsys.readouterr().err
