"""The example runs, and what it prints is what happened."""

import importlib.util
from pathlib import Path


def test_the_example_runs(capsys):
    path = Path(__file__).parents[2] / "examples" / "first_steps.py"
    spec = importlib.util.spec_from_file_location("first_steps", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rewards = module.main(images=2)
    assert len(rewards) == 2 and all(0 <= reward <= 1 for reward in rewards)
    assert capsys.readouterr().out.count("winner") == 2
