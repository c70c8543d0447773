"""Every notebook runs from its first cell to its last, on data that need no network, and shows what it says."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "examples"
QUICK = {  # sizes of the first cell that are quick
    "first_rule": {"EPISODES = 640_000": "EPISODES = 6_400", "JUDGED = 6_400": "JUDGED = 1_600"},
    "own_rule": {"IMAGES = 1_600": "IMAGES = 16"},
    "balance_a_pole": {"EPISODES = 200": "EPISODES = 2", "NETWORKS = 8": "NETWORKS = 2"},
    "what_was_learned": {"EPISODES = 5_120": "EPISODES = 128"},
}
SAID = {
    "first_rule": r"accuracy .*%.*def delta_d\(pre, post, w, x20, y20\)",
    "own_rule": r"my rule +reward 0\.\d+.*none +reward 0\.\d+",
    "balance_a_pole": r"first 1 episodes: \d+ steps, last 1: \d+",
    "what_was_learned": r"accuracy .* before .* after.*factor \+0\.5: Δd [+-]0\.\d+.*head 0: Δd =",
}
REPORTING = ("first_rule", "what_was_learned")  # which takes some twenty seconds; CI runs them, too
PICTURES = {"first_rule": 2, "own_rule": 1, "balance_a_pole": 2, "what_was_learned": 2}


def test_each_notebook_is_run_and_stands_in_the_tour():
    names = {path.stem for path in FOLDER.glob("*.ipynb")}
    assert names == set(QUICK) == set(SAID) == set(PICTURES)
    assert set(re.findall(r"\]\((\w+)\.ipynb\)", (FOLDER / "README.md").read_text(encoding="utf-8"))) == names


@pytest.mark.parametrize("name", QUICK)
def test_what_is_kept_of_a_run_says_nothing_of_the_machine(name):
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert not re.search(r"/(home|work|root|tmp|Users)/", text)
    assert all(cell["outputs"] for cell in json.loads(text)["cells"] if "print(" in "".join(cell["source"])
               and cell["cell_type"] == "code")  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in REPORTING else []) for name in QUICK]
)
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    for thread_count in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.setenv(thread_count, "1")
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    sizes = notebook.cells[1]
    for given, quick in QUICK[name].items():
        assert given in sizes.source
        sizes.source = sizes.source.replace(given, quick)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    said = "".join(output.get("text", "") for output in outputs)
    assert re.search(SAID[name], said, re.S), said
    assert sum("image/png" in output.get("data", {}) for output in outputs) == PICTURES[name]
