"""The example draws the returns that runs have logged."""

import importlib.util
from pathlib import Path

import numpy as np
from matplotlib.image import imread


def test_curves_are_those_of_the_runs(tmp_path):
    path = Path(__file__).parents[2] / "examples" / "learning_curves.py"
    spec = importlib.util.spec_from_file_location("learning_curves", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, returns in (("a", [0.1, 0.2, 0.4]), ("b", [0.3, 0.2])):
        lines = ["time/episodes,train/n_updates,train/return", "8,,"]  # the first rollout has no update
        lines += [f"{16 + 8 * k},{k + 1},{value}" for k, value in enumerate(returns)]
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text("\n".join([*lines, f",{len(returns)},{returns[-1]}"]) + "\n")
    curves = module.main(str(tmp_path / "c.png"), f"A2C={tmp_path / 'a'},{tmp_path / 'b'}", f"ES={tmp_path / 'a'}")
    np.testing.assert_array_equal(curves["A2C"], [[0.1, 0.2], [0.3, 0.2]])
    np.testing.assert_array_equal(curves["ES"], [[0.1, 0.2, 0.4]])
    assert imread(tmp_path / "c.png").std() > 0.05
