"""The evaluation of rules in unsupervised networks: the real command, its lines and files, and its mistakes."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.trainers import evaluate as program
from snn_plasticity_gym.trainers.evaluate import evaluate
from snn_plasticity_gym.trainers.sessions import unsupervised_session
from snn_plasticity_gym.trainers.sessions.unsupervised_session import PIXELS
from snn_plasticity_gym.trainers.train_a2c import train

SIZES = ["--dataset=digits", "--n_exc=6", "--num_steps=12", "--history_length=8", "--gain_input_exc=20"]
NETWORK = ["--env=SNNPlastic-Unsup1-v0", *SIZES, "--max_rate=0.02", "--eta_exc=0.05", "--eta_inh=0.05"]
SHORT = ["--networks=2", "--train_episodes=3", "--label_images=50", "--test_episodes=30"]
READ_OUTS = ["all_activity", "proportion_weighting", "linear_probe"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A tiny training with two heads."""
    folder = tmp_path_factory.mktemp("runs")
    common = [
        "--episodes=2",
        "--num_envs=2",
        "--eval_episodes=0",
        "--wandb=disabled",
        "--no-report",
        "--no-progress",
        "--head_sizes=8",
    ]
    return train([*common, *SIZES, "--env=SNNPlastic-Unsup2-v0", f"--run_dir={folder}", "--seed=77"])


def test_one_line_of_json_and_all_files(tmp_path, capsys):
    soft = "target-stdp:bounds=soft:learning_rate=0.05"
    returned = evaluate([*NETWORK, *SHORT, f"--rules=stdp,{soft}", "--json", f"--out={tmp_path / 'here' / 'there'}"])
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and err.strip() == f"results in {tmp_path / 'here' / 'there'}"
    printed = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert list(printed["rules"]) == ["zero", "stdp", soft]  # the control joins every comparison
    assert returned == printed["rules"] | {PIXELS: printed["pixels"]}
    assert printed["env"] == "SNNPlastic-Unsup1-v0" and printed["networks"] == 2
    facts = {
        name: printed[name] for name in ("dataset", "train_episodes", "label_images", "test_episodes", "test_split")
    }
    assert facts == {"dataset": "digits", "train_episodes": 3, "label_images": 50, "test_episodes": 30,
                     "test_split": "validation"}  # fmt: skip
    assert printed["label_images_not_learned_from"] is True
    for one in printed["rules"].values():
        assert list(one["accuracy"]) == READ_OUTS and one["seconds"] > 0
        for name, figures in one["accuracy"].items():
            assert np.shape(one["confusion"][name]) == (2, 10, 10)
            right = [np.trace(matrix) / 30 for matrix in one["confusion"][name]]
            assert figures["values"] == pytest.approx(right) and figures["mean"] == pytest.approx(np.mean(right))
            assert figures["sd"] == pytest.approx(np.std(right, ddof=1))
        assert one["curves"] == {
            "images": [3],
            **{name: [[v] for v in one["accuracy"][name]["values"]] for name in READ_OUTS},
        }
        assert list(one["activity"]) == ["spikes", "active", "winner_entropy", "dead", "greedy"]
        assert list(one["learning"]) == ["reward", "sparsity", "diversity", "stability", "spikes"]
        assert one["learning"]["stability"]["values"] == [None, None]  # no image came twice
    assert list(printed["pixels"]["accuracy"]) == ["linear_probe", "nearest_centroid"]
    spikes = [one["activity"]["spikes"]["values"] for one in printed["rules"].values()]
    assert spikes[0] != spikes[1] and spikes[1] != spikes[2]

    folder = tmp_path / "here" / "there"
    written = json.loads((folder / "results.json").read_text())
    assert written["rules"] == printed["rules"] and written["pixels"] == printed["pixels"]
    assert written["settings"]["n_exc"] == 6 and written["settings"]["label_images"] == 50
    rows = list(csv.DictReader((folder / "results.csv").open(newline="")))
    assert [row["rule"] for row in rows] == ["zero", "stdp", soft, PIXELS]
    for row, one in zip(rows[:3], printed["rules"].values(), strict=True):
        assert float(row["all_activity_percent"]) == pytest.approx(
            100 * one["accuracy"]["all_activity"]["mean"], rel=1e-4
        )
    markdown = (folder / "results.md").read_text()
    assert [line.split(" | ")[0] for line in markdown.splitlines()[2:6]] == [
        "| zero",
        "| stdp",
        f"| {soft}",
        f"| {PIXELS}",
    ]
    assert "none of which was learned from" in markdown and "30 images of the validation split" in markdown
    pictures = sorted(path.name for path in folder.glob("*.png"))
    assert pictures == [
        "comparison.png",
        "receptive_fields_0_zero.png",
        "receptive_fields_1_stdp.png",
        "receptive_fields_2_target-stdp-bounds=soft-learning-rate=0.05.png",
    ]
    for name in pictures:
        picture = imread(folder / name)
        assert picture.ndim == 3 and picture.std() > 0.05
    assert len(list(folder.iterdir())) == 7


def test_a_table_for_people(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = evaluate([*NETWORK, *SHORT, "--rules=zero"])
    out, err = capsys.readouterr()
    head, zero, pixels, *notes = out.splitlines()
    assert err == "" and head.startswith("rule") and zero.startswith("zero") and pixels.startswith(PIXELS)
    assert f"{100 * results['zero']['accuracy']['all_activity']['mean']:.1f} ±" in zero
    assert f"{100 * results[PIXELS]['accuracy']['nearest_centroid']['mean']:.1f}" in pixels
    assert "2 networks, seeds 0 to 1" in notes[0] and "more than 10 times" in notes[2]
    assert not list(tmp_path.iterdir())  # nothing is written that was not asked for


def test_learning_curves_are_written(tmp_path, capsys):
    results = evaluate([*NETWORK, *SHORT, "--rules=stdp", "--tests=3", f"--out={tmp_path}", "--seed=4"])
    assert capsys.readouterr().err == f"results in {tmp_path}\n"  # nothing to say of a short run
    rows = list(csv.DictReader((tmp_path / "learning_curves.csv").open(newline="")))
    assert [(row["rule"], row["seed"], row["images"]) for row in rows] == [
        (rule, seed, images) for rule in ("zero", "stdp") for seed in "45" for images in "0123"
    ]
    for name in READ_OUTS:
        curve = [float(row[name]) for row in rows if row["rule"] == "stdp"]
        assert curve == pytest.approx(np.ravel(results["stdp"]["curves"][name]), rel=1e-5)
        assert curve[3::4] == pytest.approx(results["stdp"]["accuracy"][name]["values"], rel=1e-5)
    assert imread(tmp_path / "learning_curves.png").std() > 0.05


def test_a_long_run_says_how_it_goes(monkeypatch, capsys):
    monkeypatch.setattr("snn_plasticity_gym.trainers.sessions.watching.PATIENCE", 0.0)
    results = evaluate([*NETWORK, *SHORT, "--rules=zero", "--tests=2", "--train_episodes=4", "--json"])
    middle = 100 * np.mean([curve[1] for curve in results["zero"]["curves"]["all_activity"]])
    assert capsys.readouterr().err == f"zero: {middle:.1f} % after 2 of 4 images\n"


def test_it_is_said_when_labels_are_taken_from_what_is_learned_from(capsys):
    evaluate([*NETWORK, "--networks=1", "--train_episodes=1", "--label_images=0", "--test_episodes=5", "--json"])
    out, err = capsys.readouterr()
    assert json.loads(out)["label_images_not_learned_from"] is False and json.loads(out)["label_images"] == 1197
    assert "labels are taken from the whole training split, so from images that are learned from, too" in err


def test_a_run_folder_is_a_rule_and_its_settings_a_preset(run, capsys):
    results = evaluate([f"--preset={run}/config.yaml", *SHORT, f"--rules={run}", "--eta_exc=0.5"])
    assert list(results) == ["zero", str(run), PIXELS]
    spikes = [results[name]["activity"]["spikes"]["values"] for name in ("zero", str(run))]
    assert spikes[0] != spikes[1] and run.name in capsys.readouterr().out


def test_a_run_named_like_a_rule_is_told_from_it(run, tmp_path, monkeypatch, capsys):
    (tmp_path / "zero").mkdir()
    (tmp_path / "zero" / "final.zip").write_bytes((run / "final.zip").read_bytes())
    evaluate([f"--preset={run}/config.yaml", *SHORT, f"--rules={tmp_path / 'zero'}"])
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].startswith("zero ") and rows[2].startswith(str(tmp_path / "zero"))


def test_rules_know_the_learning_rate_of_the_environment_and_their_own_parameters(monkeypatch, capsys):
    made = []
    monkeypatch.setattr(
        "snn_plasticity_gym.rules.registry.make_rule",
        lambda name, **given: made.append((name, given)) or (lambda events: 0 * events.weight),
    )
    flags = [*NETWORK, *SHORT, "--networks=1", "--train_episodes=0", "--alpha_unsup=0.5", "--eta_inh=0.2"]
    evaluate([*flags, "--rules=stdp:tau_plus=7,stdp:scale=3"])
    assert made == [
        ("zero", {}),
        ("stdp", {"dt": 1.0, "scale": 0.025, "tau_plus": "7"}),
        ("stdp", {"dt": 1.0, "scale": "3"}),
    ]
    made.clear()
    evaluate([*flags, "--rules=oja", "--eta_exc=0"])
    assert made[1][1]["scale"] == pytest.approx(0.1)


def refused(monkeypatch, capsys, *argv: str) -> str:
    """The one line on stderr of a program that ends with status 1."""
    monkeypatch.setattr(sys, "argv", ["evaluate", *NETWORK, *SHORT, "--json", *argv])
    monkeypatch.setattr(unsupervised_session, "judge", lambda *_: pytest.fail("nothing is learned before the answer"))
    assert program.main() == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1
    return err


def test_mistakes_with_rules_are_answered_in_one_line(monkeypatch, capsys, run):
    def line(*argv: str) -> str:
        return refused(monkeypatch, capsys, *argv)

    assert "unknown rule 'stpd'; valid: zero, random, stdp," in line("--rules=zero,stpd")
    assert "rule stdp: unknown argument 'tau'; valid names: dt, scale" in line("--rules=stdp:tau=5")
    assert "rule stdp: learning_rate" in line("--rules=stdp:learning_rate=-1")
    assert "name:key=value:key=value, got 'stdp:0.1'" in line("--rules=stdp:0.1")
    assert "has 2 heads, the environment needs 1" in line(f"--rules={run}")
    assert "no rule can change a weight: the learning rates of input_to_exc, inh_to_exc are 0; raise them" in line(
        "--rules=stdp", "--eta_exc=0", "--eta_inh=0"
    )
    assert "bptt is a setting for what is judged by classifier, not for SNNPlastic-Unsup1-v0" in line(
        "--bptt=somewhere", "--out=x"
    )
    assert "label_images must hold at least two classes, got 1 of class" in line("--label_images=1")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tests=0"], "tests must be greater than or equal to 1 or None, got 0"),
        (["--label_images=-1"], "label_images must be greater than or equal to 0, got -1"),
        (["--test_split=train"], "test_split must be one of validation, test, got 'train'"),
        (["--hidden_sizes=5"], "--hidden_sizes is a flag of SNNPlastic-Grad-v0, SNNPlastic-Semi-v0"),
    ],
)
def test_wrong_flags_are_answered_in_one_line(capsys, flags, message):
    with pytest.raises(SystemExit) as caught:
        evaluate([*NETWORK, *flags])
    out, err = capsys.readouterr()
    assert caught.value.code == 2 and out == "" and err.count("\n") == 1 and message in err


def test_classifiers_have_no_label_images():
    with pytest.raises(ConfigError, match="label_images is a setting for what is judged by labels, not for SNNPlas"):
        evaluate(["--env=SNNPlastic-Semi-v0", "--label_images=5"])


def test_a_rule_gets_the_modulation_that_it_needs():
    """reward-stdp beside stdp in an environment without modulation: each as its author means it."""
    results = evaluate(
        [*NETWORK, *SHORT, "--networks=2", "--train_episodes=8", "--eta_exc=0.2", "--rules=stdp,reward-stdp"]
    )
    alone = evaluate(
        [*NETWORK, *SHORT, "--networks=2", "--train_episodes=8", "--eta_exc=0.2", "--modulation=reward", "--rules=stdp"]
    )
    assert results["reward-stdp"]["confusion"] == alone["stdp"]["confusion"] != results["stdp"]["confusion"]


def test_small_images_and_the_reward_after_plasticity(capsys):
    lifetime = ["--image_size=14", "--lifetime_length=4", "--plastic_episodes=2", "--common_noise", "--max_rate=0.1"]
    results = evaluate([*NETWORK, *lifetime, *SHORT, "--train_episodes=6", "--rules=stdp"])
    table = capsys.readouterr().out
    for rule in ("zero", "stdp"):
        rewards = results[rule]["held_out"]["reward"]
        assert len(rewards["values"]) == 2 and f"{rewards['mean']:.3f} ± {rewards['sd']:.3f}" in table
    # Learning goes on for all of its images: were it to end after 2, thresholds and weights would be those of 2.
    short = evaluate([*NETWORK, *lifetime, *SHORT, "--train_episodes=2", "--rules=stdp"])
    assert short["stdp"]["activity"]["spikes"]["values"] != results["stdp"]["activity"]["spikes"]["values"]


def test_a_sum_of_weights_that_small_images_cannot_have_is_refused_before_anything_is_made(capsys, tmp_path):
    """Issue: 49 weights of at most 1 had to sum to 78.4, and every rule ended at chance."""
    flags = ["--preset=fast-wta", "--dataset=digits", "--image_size=7", f"--out={tmp_path / 'out'}"]
    with pytest.raises(SystemExit) as caught:
        evaluate(flags)
    assert caught.value.code == 2 and not list(tmp_path.iterdir())
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "w_exc_sum must be at most 49 with exc_norm=l1, 49 inputs times w_exc_max=1, got 78.4; lower" in told
