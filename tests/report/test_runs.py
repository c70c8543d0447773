"""Run folders as a report reads them."""

import json
import math

import numpy as np
import pytest
import yaml

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.report.runs import differing, group_runs, mean_curve, outcome_rows, read_runs
from snn_plasticity_gym.runs.folder import RunFolder

ENV = "SNNPlastic-Unsup1-v0"
METRICS = "global_step,time/episodes,rollout/reward,eval_before/reward,eval_after/reward,eval_after/images\n"


def run_at(folder, metrics=METRICS + "10,2,0.5,,,\n20,4,0.75,,,\n20,,,0.25,0.5,128\n", **config):
    folder.mkdir(parents=True)
    files = RunFolder(folder)
    files.config_yaml.write_text(yaml.safe_dump({"env": ENV, "n_exc": 8, "seed": 0, **config}))
    files.manifest_json.write_text(json.dumps({"seed": 0}))
    files.metrics_csv.write_text(metrics)
    return folder


def test_curves_are_the_rows_that_have_both_numbers(tmp_path):
    (run,) = read_runs([run_at(tmp_path / "a")])
    images, reward = run.curve("rollout/reward")
    assert images.tolist() == [2, 4] and reward.tolist() == [0.5, 0.75]
    assert [len(part) for part in run.curve("rollout/nothing")] == [0, 0]
    assert outcome_rows(run) == [("reward", 0.25, 0.5)]
    assert run.environment().n_exc == 8 and run.rule_file is None


def test_a_run_that_was_killed_while_writing_can_be_read(tmp_path):
    (run,) = read_runs([run_at(tmp_path / "a", METRICS + "10,2,0.5,,,\n20,4,0.")])
    assert run.curve("rollout/reward")[1].tolist() == [0.5, 0.0] and run.last("eval_after/reward") is None
    (empty,) = read_runs([run_at(tmp_path / "b", METRICS)])
    assert len(empty.curve("rollout/reward")[0]) == 0 and outcome_rows(empty) == []


def test_a_cuda_run_is_shown_on_the_cpu_and_settings_of_other_versions_are_left_aside(tmp_path):
    (run,) = read_runs([run_at(tmp_path / "a", device="cuda", bygone=3)])
    assert run.environment().device == "cpu"


def test_runs_that_differ_in_their_seeds_are_one_group(tmp_path):
    paths = [run_at(tmp_path / "x" / name, seed=seed, run_name=name, n_exc=n_exc)
             for name, seed, n_exc in (("a", 0, 8), ("b", 1, 8), ("c", 2, 9))]  # fmt: skip
    runs = read_runs(paths)
    groups = group_runs(runs)
    assert [[run.label for run in group.runs] for group in groups] == [["a", "b"], ["c"]]
    assert [group.label for group in groups] == ["a and 1 more seed", "c"]
    assert differing(runs) == {"n_exc": [8, 8, 9], "seed": [0, 1, 2], "run_name": ["a", "b", "c"]}


def test_labels_are_as_long_as_they_must_be(tmp_path):
    paths = [run_at(tmp_path / "one" / "a"), run_at(tmp_path / "two" / "a"), run_at(tmp_path / "two" / "b")]
    assert [run.label for run in read_runs(paths)] == ["one/a", "two/a", "two/b"]
    assert [run.label for run in read_runs(paths[1:])] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.yaml", None, "is no run folder: it has no config.yaml"),
        ("metrics.csv", None, "is no run folder: it has no metrics.csv"),
        ("config.yaml", "a: [", "is damaged"),
        ("config.yaml", "- 1", "must hold settings by name"),
        ("manifest.json", "{", "is damaged"),
    ],
)
def test_what_is_no_run_is_refused_in_one_line(tmp_path, name, text, message):
    folder = run_at(tmp_path / "a")
    (folder / name).unlink()
    if text is not None:
        (folder / name).write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_runs([folder])
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


def test_a_run_named_twice_is_refused(tmp_path):
    folder = run_at(tmp_path / "a")
    with pytest.raises(ConfigError, match="named twice"):
        read_runs([folder, tmp_path / "a" / ".." / "a"])


def test_means_are_taken_where_all_curves_have_values():
    x, mean, spread = mean_curve([
        (np.array([0.0, 2.0, 4.0, 6.0]), np.array([0.0, 2.0, 4.0, 6.0])),
        (np.array([1.0, 5.0]), np.array([3.0, 7.0])),
    ])  # fmt: skip
    assert x.tolist() == [2, 4]
    np.testing.assert_allclose(mean, [3.0, 5.0])  # of 2 and 4, of 4 and 6
    np.testing.assert_allclose(spread, [math.sqrt(2)] * 2)
    x, mean, spread = mean_curve([(np.array([1.0]), np.array([2.0])), (np.empty(0), np.empty(0))])
    assert x.tolist() == [1] and mean.tolist() == [2] and np.isnan(spread).all()
    assert [len(part) for part in mean_curve([])] == [0, 0, 0]
