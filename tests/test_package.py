"""How the project is put together: one name for each file, imports in one direction, nothing heavy on import."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import snn_plasticity_gym

ROOT = Path(__file__).parents[1]
FOLDERS = ("snn_plasticity_gym", "trainers", "wrappers", "examples", "tests")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def imported_names(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module)
    return names


def test_trainers_and_wrappers_have_one_name_only():
    for path in SOURCES:
        roots = {name.split(".")[0] for name in imported_names(path)}
        assert not roots & {"trainers", "wrappers"}, f"{path}: import them as snn_plasticity_gym.{{trainers,wrappers}}"


def test_no_file_is_imported_under_two_names():
    for package in ("snn_plasticity_gym", "snn_plasticity_gym.trainers", "snn_plasticity_gym.wrappers"):
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, package + "."):
            importlib.import_module(module.name)
    files = [
        module.__file__
        for name, module in sys.modules.items()
        if name != "__main__" and any(str(getattr(module, "__file__", "")).startswith(f"{ROOT / f}/") for f in FOLDERS)
    ]
    assert len(files) > 20 and len(files) == len(set(files))


# What a part of the project may not know of: imports go trainers -> wrappers, agents -> envs -> rewards, rules -> snn.
FORBIDDEN = {
    "snn_plasticity_gym/snn": ("envs", "agents", "rewards", "rules", "events", "history", "evaluation", "tracking"),
    "snn_plasticity_gym/rewards": ("envs", "agents", "rules", "evaluation", "tracking"),
    "snn_plasticity_gym/rules": ("envs", "agents", "rewards", "evaluation", "tracking"),
    "snn_plasticity_gym/config": ("envs", "agents", "rewards", "rules", "snn", "evaluation", "tracking"),
    "snn_plasticity_gym/envs": ("agents", "evaluation", "tracking"),
    "snn_plasticity_gym/agents": ("evaluation", "tracking"),
}


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_go_one_way(folder):
    for path in (ROOT / folder).rglob("*.py"):
        for name in imported_names(path):
            parts = name.split(".")
            if parts[0] == "snn_plasticity_gym" and len(parts) > 1:
                assert parts[1] not in (*FORBIDDEN[folder], "trainers", "wrappers"), f"{path} imports {name}"


@pytest.mark.parametrize("folder", ["envs", "rules", "snn", "rewards", "config"])
def test_only_agents_and_what_is_above_them_know_stable_baselines(folder):
    for path in (ROOT / "snn_plasticity_gym" / folder).rglob("*.py"):
        assert not any(name.startswith("stable_baselines3") for name in imported_names(path)), path


def test_no_file_is_longer_than_a_reader_likes():
    for path in SOURCES:
        if "tests" not in path.parts:
            assert len(path.read_text().splitlines()) <= 400, path


def test_importing_the_package_is_cheap():
    heavy = ("torch", "numba", "wandb", "stable_baselines3", "matplotlib")
    code = f"import sys, snn_plasticity_gym; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_the_installed_one():
    assert importlib.metadata.version("snn-plasticity-gym") == snn_plasticity_gym.__version__
