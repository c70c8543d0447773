"""The bar of a training."""

import pytest

from snn_plasticity_gym.trainers.sessions.progress import TrainingBar


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


def test_it_goes_on_from_where_a_run_was_and_says_what_it_is_told(capsys):
    with TrainingBar(10, 4, "trials") as bar:
        assert "4 of 10 trials" in capsys.readouterr().err
        bar.show(4, "return 3")  # nothing new
        bar.show(10, "return 5")
    last = capsys.readouterr().err.split("\r")[-1]
    assert "100%" in last and "10 of 10 trials" in last and "return 5" in last


def test_what_is_not_shown_writes_nothing(capsys):
    with TrainingBar(10, shown=False) as bar:
        bar.show(5, "return 3")
    assert capsys.readouterr().err == ""
