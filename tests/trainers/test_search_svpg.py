"""A search for a rule: the real command, what it finds, how its file is used, runs that go on; what is refused."""

from pathlib import Path

import numpy as np
import pytest
from cut_runs import assert_goes_on_bit_for_bit, result_of, rows_of
from processes import as_command

from snn_plasticity_gym.config.svpg_search import SVPGSearchConfig
from snn_plasticity_gym.learners.svpg_formula import CONTRAST, SIZE, coefficients_of
from snn_plasticity_gym.report.runs import read_runs
from snn_plasticity_gym.trainers import search_svpg, train_svpg
from snn_plasticity_gym.trainers.sessions.svpg_search import RuleSearch

ROOT = Path(__file__).parents[2]
FLAGS = ["--dataset=digits", "--hidden_groups=3", "--group_size=4", "--episodes=200", "--batch_size=20", "--seed=1"]
FLAGS += ["--generations=4", "--population=4", "--eval_every=800", "--checkpoint_every=800", "--judged_lives=1"]
FLAGS += ["--test_lives=1", "--wandb=disabled", "--no-report"]


@as_command
def test_the_command_finds_a_formula_that_train_svpg_takes(run, tmp_path):
    done = run(ROOT / "trainers" / "search_svpg.py", *FLAGS, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"a formula of {SIZE} coefficients by CMA-ES, 784-3x4-10: 4 generations of 4 trainings of 200" in done.stdout
    (folder,) = (tmp_path / "runs" / "SVPGSearch").iterdir()
    result = result_of(folder)
    assert set(result["test"]) == {"formula", "contrast", "paper"}
    assert [row["time/episodes"] for row in rows_of(folder)[:-1]] == ["800", "1600", "2400", "3200"]
    assert read_runs([folder])[0].last("eval/accuracy") is not None
    flags = ["--dataset=digits", "--hidden_groups=3", "--group_size=4", "--episodes=40", "--eval_every=20", "--seed=0"]
    flags += ["--wandb=disabled", "--no-report", f"--run_dir={tmp_path}", f"--preset={folder / 'formula.yaml'}"]
    taught = read_runs([train_svpg.train(flags)])[0].config
    assert taught["rule"] == "formula"
    assert coefficients_of(taught["formula"]).tolist() == coefficients_of(result["formula"]).tolist()


@pytest.mark.parametrize("world", [[], ["--world=CartPole-v1", "--observation_scale=0.4,0.4,4,0.4", "--episodes=4"]],
                         ids=["images", "pole"])  # fmt: skip
def test_a_search_that_was_cut_off_goes_on_bit_for_bit(world, tmp_path):
    few = ["--eval_episodes=2", "--test_episodes=2", "--batch_size=2", "--eval_every=16", "--checkpoint_every=16"]
    flags = [*FLAGS, *world, *(few if world else [])]
    assert_goes_on_bit_for_bit(search_svpg.train, RuleSearch, flags, tmp_path, "formula.yaml")


def test_a_search_climbs():
    """What formulas are worth is replaced by how near they are to one, in units of the search; it must come nearer."""
    config = SVPGSearchConfig(dataset="digits", generations=60, population=12, episodes=1, hidden_groups=1, seed=0)
    search = RuleSearch(config, 0)
    units = search.units

    def near(one, seed, part):
        return -float(np.linalg.norm(one / units - np.linspace(-2, 2, SIZE)))

    search.train_and_score = near
    for _ in search.steps():
        pass
    search.judge_centre()
    assert search.take_best()[1] > 0.3 * near(np.zeros(SIZE), 0, "")


def test_units_make_terms_move_fresh_weights_equally_far():
    """The change by one term, by the fields of the network itself, without the code that measures terms."""
    config = SVPGSearchConfig(dataset="digits", hidden_groups=3, group_size=4, batch_size=200)
    search = RuleSearch(config, 0)
    decay = {"inputs": 3, "lateral": SIZE - 1}  # places of the terms w
    weights = search.subjects.make(config, 5).agent.weights  # of another network with the same deviations
    for name, place in decay.items():
        there = weights[name][weights[name] != 0]
        share = len(there) / search.subjects.make(config, 5).agent.connections[name].mask.sum()
        size = float(there.square().mean() * share) ** 0.5
        assert search.units[place] * size == pytest.approx(1.0, rel=0.25)
    moved, drawn = search.units[1], search.units[2]
    assert moved > drawn  # holding an action moves rates by less than drawing a neuron does


def test_a_rule_that_teaches_is_worth_more_than_its_opposite():
    """Lives are real ones: contrast, with and without its sign, in networks that begin alike."""
    config = SVPGSearchConfig(dataset="digits", episodes=4000, hidden_groups=6, batch_size=20)
    search, good = RuleSearch(config, 0), coefficients_of(CONTRAST)
    worth = [search.train_and_score(one, 7, "validation") for one in (good, -good, 0 * good)]
    assert worth[0] > worth[1] + 0.15 and worth[0] > worth[2] + 0.15
    assert search.train_and_score(good, 7, "validation") == worth[0]


def test_what_cannot_be_searched_is_refused_in_one_line(tmp_path, capsys):
    for flags, message in (
        (["--rule=contrast"], "a search is for rule formula, got contrast"),
        (["--optimiser=sgd"], "a search needs optimiser adam, whose steps have a bound, got sgd"),
        (["--formula", '{"inputs": {"R": 1}}'], "got 'R'"),
        (["--population=3"], "population must be"),
        (["--spikes"], "spikes need rule contrast"),
    ):
        with pytest.raises(SystemExit):
            search_svpg.train([*flags, f"--run_dir={tmp_path}"])
        line = capsys.readouterr().err
        assert message in line and line.count("\n") == 1
    assert not list(tmp_path.iterdir())
