"""The house has floors: a folder imports from the floors under its own, and from its own floor, but never upwards."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "snn_plasticity_gym"
FLOORS = [  # from the ground up; folders of one floor do not import each other, unless they stand in `NEIGHBOURS`
    {"config"},
    {"utils", "kernels"},
    {"networks", "runs"},
    {"plasticity"},
    {"rewards", "rules"},
    {"tasks"},
    {"envs"},
    {"policies"},
    {"learners"},
    {"evaluation"},
    {"report"},
    {"wrappers"},
    {"trainers"},
]
LEVEL = {folder: level for level, floor in enumerate(FLOORS) for folder in sorted(floor)}


def folder_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == PACKAGE and len(parts) > 1 and parts[1] in LEVEL else None


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports, those that only a type checker sees included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def arrows() -> list[tuple[str, str, str]]:
    """Return (file, its folder, folder that it imports from) of all imports between folders."""
    found = []
    for folder in LEVEL:
        place = ROOT / folder if folder in ("trainers", "wrappers") else ROOT / PACKAGE / folder
        for path in sorted(place.rglob("*.py")):
            targets = {folder_of(module) for module in imports(path)} - {None, folder}
            found += [(str(path.relative_to(ROOT)), folder, target) for target in sorted(targets)]
    return found


def test_every_folder_stands_on_a_floor():
    folders = {path.parent.name for path in (ROOT / PACKAGE).glob("*/__init__.py")}
    assert folders | {"trainers", "wrappers"} == set(LEVEL)


@pytest.mark.parametrize(("file", "folder", "target"), arrows())
def test_no_import_goes_up_or_sideways(file, folder, target):
    assert LEVEL[target] < LEVEL[folder], f"{file} imports from {target}/, which does not stand under {folder}/"


def test_what_programs_are_made_of_imports_no_program():
    programs = {f"{PACKAGE}.trainers.{path.stem}" for path in (ROOT / "trainers").glob("*.py")}
    for path in sorted((ROOT / "trainers" / "sessions").glob("*.py")):
        assert not imports(path) & programs, path
