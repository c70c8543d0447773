"""The report of a run of train_plastic."""

import pytest
from quick import small_pngs

from snn_plasticity_gym.config.report import ReportConfig
from snn_plasticity_gym.evaluation.plastic_life import load_network
from snn_plasticity_gym.report.runs import read_runs
from snn_plasticity_gym.trainers import train_plastic
from snn_plasticity_gym.trainers.sessions.report_session import sections

FLAGS = ["--hidden_size=4", "--rests=15", "--cues=3", "--batch_size=8", "--episodes=16", "--eval_every=8"]
FLAGS += ["--eval_episodes=6", "--test_episodes=12", "--test_rests=30", "--test_cues=5", "--seed=3", "--wandb=disabled"]


MODULATED = ("ndp-oja", "backpropamine")


@pytest.mark.parametrize(
    "network",
    [
        "backpropamine",
        "formula",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("ndp-oja", "plain", "head")),
    ],
)
def test_pictures_and_answers_stand_in_the_report(network, tmp_path):
    with small_pngs():
        run = train_plastic.train([*FLAGS, f"--network={network}", f"--run_dir={tmp_path}"])
    page = (run / "report.html").read_text()
    assert "What changes within a trial" in page
    assert {path.stem for path in (run / "report").glob("*.png")} == {"curves_reward", "plastic_trial", "plastic_cues"}
    part = next(part for part in sections(read_runs([run]), ReportConfig()) if part.tables and "trial" in part.title)
    table, *others = part.tables
    assert [row[0] for row in table.rows] == [
        "as in training", "… rest of 15 ms", "rest of 30 ms, not in training", "5 cues, not in training",
    ]  # fmt: skip
    axes = part.pictures[0].figure.axes
    assert ("Neuromodulator m of each hidden neuron" in [one.get_title() for one in axes]) == (network in MODULATED)
    assert ("Change of the weights into each hidden neuron" in [one.get_title() for one in axes]) == (
        network != "plain"
    )
    assert [one.rows[0][0] for one in others] == (["all"] if network == "formula" else [])
    assert ("Δd = tanh(" in page) == (network == "formula")


def test_what_a_network_is_worth_in_a_world_stands_in_the_report(tmp_path):
    flags = ["--world=Pendulum-v1", "--learner=ppo", "--hidden_size=4", "--fields=3", "--action_ms=3", "--group_size=2"]
    flags += ["--steps=64", "--eval_steps=32", "--rollout=16", "--num_worlds=2", "--eval_lives=1", "--test_lives=2"]
    with small_pngs():
        run = train_plastic.train([*flags, "--seed=3", "--wandb=disabled", f"--run_dir={tmp_path}"])
    page = (run / "report.html").read_text()
    assert "Test returns of the network" in page
    assert {path.stem for path in (run / "report").glob("*.png")} >= {"curves_reward", "plastic_disturbed"}
    part = next(part for part in sections(read_runs([run]), ReportConfig()) if "Test returns" in part.title)
    assert [row[0] for row in part.tables[0].rows] == ["as in training", "action noise 30%"]
    (read,) = read_runs([run])
    assert read.curve("eval/return")[0].tolist() == [32, 64]  # though no episode has ended by then
    _, network = load_network(read.config, run / "weights.pt")
    assert network.weights[0].shape == (9, 4)
