"""What others get: the archive of the sources, the wheel, the description on a package index, types for a checker."""

import configparser
import email
import re
import shutil
import site
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import snn_plasticity_gym

ROOT = Path(__file__).parents[1]
MADE = {"build", "dist", "runs", "wandb"}  # by programs, at the top; no part of the sources


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(what, source, folder):
    """Build without the network, by the tools that are there, and return the file."""
    program = f"from setuptools import build_meta; print(build_meta.build_{what}({str(folder)!r}))"
    return folder / run(sys.executable, "-c", program, cwd=source).split()[-1]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the project, in which builds may leave what they like."""
    copy = tmp_path_factory.mktemp("copy") / "project"
    never = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "generated")
    shutil.copytree(ROOT, copy, ignore=lambda here, names: never(here, names) | (MADE if Path(here) == ROOT else set()))
    return copy


@pytest.fixture(scope="module")
def sdist(source, tmp_path_factory):
    """The archive of the sources, unpacked."""
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", source, folder)) as archive:
        archive.extractall(folder, filter="data")
    unpacked = next(path for path in folder.iterdir() if path.is_dir())
    return unpacked, wanted


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """The wheel that an installer makes of the archive."""
    return build("wheel", sdist[0], tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def bare(tmp_path):
    """A new virtual environment, which has the packages that we need, and not this one."""
    folder = tmp_path / "venv"
    venv.create(folder)
    own = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (own / "needed.pth").write_text("\n".join(site.getsitepackages() + sys.path[1:]) + "\n", encoding="utf-8")
    return folder / "bin" / "python"


def install(python, *what):
    """Install into a virtual environment that has no pip of its own, without the network and what is needed."""
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-build-isolation", *what)


def test_the_archive_of_the_sources_has_all_files(sdist):
    unpacked, wanted = sdist
    assert len(wanted) > 400
    assert {str(path) for path in wanted if not (unpacked / path).is_file()} == set()
    assert not list(unpacked.rglob("*.pyc"))


def test_the_wheel_has_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"snn_plasticity_gym", next(top for top in tops if top.endswith(".dist-info"))}
    for name in ("py.typed", "report/page.html", "trainers/presets/unsup1.yaml", "trainers/sweeps/unsup1.yaml"):
        assert f"snn_plasticity_gym/{name}" in names
    modules = {f"snn_plasticity_gym/{path.relative_to(ROOT)}" for path in ROOT.glob("trainers/*.py")}
    modules |= {str(path.relative_to(ROOT)) for path in ROOT.glob("snn_plasticity_gym/**/*.py")}
    assert modules <= set(names)


def test_the_description_needs_no_files_beside_it(wheel):
    """A package index shows it alone: relative pictures are broken there, and so are relative links."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        message = email.message_from_bytes(archive.read(metadata))
    text = message.get_payload(decode=True).decode()
    assert message["Description-Content-Type"] == "text/markdown"
    assert text.startswith("# SNN Plasticity Gym\n") and text.rstrip().endswith("MIT licence.")
    assert [target for target in re.findall(r"\]\(([^)]*)\)", text) if not target.startswith("https:")] == []
    assert "<img" not in text
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert pictures and all(f"*Picture {picture} of the sources: " in text for picture in pictures)


def scripts():
    """Return what runs each console script, module:function by name."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.scripts]\n")[2].partition("\n[")[0]
    return dict(re.findall(r'^([\w-]+) = "(.*)"$', text, re.M))


@pytest.mark.parametrize("script", scripts())
def test_help_waits_for_no_large_library(script, tmp_path):
    """What is imported decides how long a newcomer waits; seconds differ from machine to machine."""
    module, _, function = scripts()[script].partition(":")
    program = f"import sys; sys.argv = [{script!r}, '--help']; from {module} import {function}; {function}()"
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert told.returncode == 0 and told.stdout.startswith("usage:"), told.stderr[-500:]
    imported = set(re.findall(r"\|\s+([\w.]+)$", told.stderr, re.M))
    assert "numpy" in imported  # the pattern finds names
    assert imported.isdisjoint(
        {"torch", "numba", "scipy", "matplotlib", "pandas", "stable_baselines3", "wandb", "sklearn"}
    )


def test_all_files_agree_on_the_version():
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)[1]
    assert snn_plasticity_gym.__version__ == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {version} (" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_console_scripts_of_the_wheel_explain_themselves(wheel, bare, tmp_path):
    install(bare, wheel)
    scripts = configparser.ConfigParser()
    with zipfile.ZipFile(wheel) as archive:
        scripts.read_string(archive.read(f"{wheel.name.split('-py3')[0]}.dist-info/entry_points.txt").decode())
    assert {"snn-train-a2c", "snn-evaluate", "snn-sweep"} <= set(scripts["console_scripts"])
    for script in scripts["console_scripts"]:
        told = run(bare.parent / script, "--help", cwd=tmp_path)
        assert told.startswith("usage:"), (script, told)
    where = run(bare, "-c", "import snn_plasticity_gym.trainers as t; print(t.__file__)", cwd=tmp_path)
    assert where.startswith(str(bare.parents[1]))


USERS_FILE = """
import snn_plasticity_gym
from snn_plasticity_gym import EventA2C, make_sb3_env
from snn_plasticity_gym.wrappers.sb3 import PlasticityVecEnv

env: int = make_sb3_env("SNNPlastic-Unsup1-v0")
version: str = snn_plasticity_gym.__version__
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["wheel", "editable"])
def test_mypy_sees_the_types(how, source, wheel, bare, tmp_path):
    """Of an editable install it sees only folders of files, not import hooks: the manual names the mode."""
    pytest.importorskip("mypy")
    flags = ("--config-settings", "editable_mode=strict")
    assert f"pip install -e . {' '.join(flags)}" in (ROOT / "docs" / "start_here.md").read_text(encoding="utf-8")
    install(bare, *(flags if how == "editable" else ()), *(["-e", source] if how == "editable" else [wheel]))
    (tmp_path / "users.py").write_text(USERS_FILE, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--python-executable", bare, "--cache-dir", tmp_path / "cache", "users.py"]
    told = subprocess.run([*map(str, command)], cwd=tmp_path, capture_output=True, text=True, timeout=300).stdout
    assert "users.py:6: error: Incompatible types in assignment" in told
    assert "Found 1 error in 1 file" in told, told
    run(bare, "-c", "import snn_plasticity_gym.trainers.train_a2c", cwd=tmp_path)
