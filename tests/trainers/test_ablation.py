"""The ablation: the whole grid, each cell in the network that it says, and the same figures as the judge's."""

import csv
import itertools

import pytest

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.trainers.ablation import GRID, ablate
from snn_plasticity_gym.trainers.evaluate import evaluate

SIZES = ["--dataset=digits", "--n_exc=6", "--num_steps=12", "--history_length=12", "--gain_input_exc=20"]
SHORT = [*SIZES, "--networks=2", "--train_episodes=3", "--label_images=50", "--test_episodes=30"]
NETWORK = ["--preset=fast-wta", "--exc_theta_plus=5", "--w_exc_sum=30"]


def test_every_cell_is_judged_as_evaluate_would(tmp_path, capsys):
    rows = ablate([*SHORT, *NETWORK, f"--out={tmp_path}"])
    printed = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert printed == list(csv.DictReader((tmp_path / "ablation.csv").open(newline="")))
    cells = [tuple(row[part] for part in GRID) for row in printed]
    assert cells == [cell for cell in itertools.product(*GRID.values()) for _ in range(2)]
    assert [row["rule"] for row in printed[:2]] == ["zero", rows[1]["rule"]]

    flags = ["--exc_theta_plus=0", "--exc_norm=l2", "--w_exc_sum=5", "--gain_inh_exc=0", "--exc_one_spike=false"]
    results = evaluate(["--env=SNNPlastic-Unsup1-v0", *SHORT, NETWORK[0], *flags, "--json"])
    row = rows[cells.index(("fixed", "L2", "off")) + 1]
    for column, group in (("all_activity", "accuracy"), ("linear_probe", "accuracy"), ("dead", "activity")):
        figures = results[row["rule"]][group][column]
        assert (row[column], row[f"{column}_sd"]) == (figures["mean"], figures["sd"])
    spikes = {cell: float(row["spikes"]) for cell, row in zip(cells, printed, strict=True)}
    assert spikes["fixed", "L1", "off"] > spikes["fixed", "L1", "strong"] > spikes["adaptive", "L1", "strong"]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--json", "json is a setting of evaluate.py, not of an ablation; leave it out"),
        ("--tests=3", "tests is a setting of evaluate.py"),
        ("--env=SNNPlastic-Semi-v0", "unknown environment 'SNNPlastic-Semi-v0'; valid: SNNPlastic-Unsup1-v0, SNN"),
    ],
)
def test_what_has_no_meaning_is_refused(capsys, flag, message):
    with pytest.raises(SystemExit):
        ablate([flag])
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err


def test_an_earlier_ablation_is_not_overwritten(tmp_path):
    (tmp_path / "ablation.csv").write_text("mine")
    with pytest.raises(ConfigError, match=r"ablation\.csv is there already; choose another folder for out"):
        ablate([*SHORT, *NETWORK, f"--out={tmp_path}"])
    assert (tmp_path / "ablation.csv").read_text() == "mine"
