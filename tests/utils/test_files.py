"""Folders for results, made or refused before the work."""

import pytest

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.utils.files import make_output, make_unique_folder


def test_an_output_folder_is_made_with_those_above_it_and_left_empty(tmp_path, monkeypatch):
    assert list(make_output(tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "a" / "b" / "notes.txt").write_text("kept")
    assert make_output(tmp_path / "a" / "b", ("results.*",)) == tmp_path / "a" / "b"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert make_output("~/c") == tmp_path / "c"


def test_what_cannot_be_a_folder_or_holds_results_is_refused_in_one_line(tmp_path):
    (tmp_path / "afile").write_text("")
    for path, reason in ((tmp_path / "afile", "File exists"), (tmp_path / "afile" / "in", "Not a directory")):
        with pytest.raises(ConfigError) as error:
            make_output(path)
        assert str(error.value) == f"out must be a folder that can be written to, got {path}: {reason}"
    with pytest.raises(ConfigError, match="out must be a folder that can be written to, got /proc/none"):
        make_output("/proc/none")  # where nobody can write
    with pytest.raises(ConfigError, match=r"afile is there already; choose another folder for out, or remove it$"):
        make_output(tmp_path, ("other", "af*"))


def test_folders_of_one_name_are_numbered(tmp_path):
    folders = [make_unique_folder(tmp_path / "deep" / "run") for _ in range(3)]
    assert [folder.name for folder in folders] == ["run", "run-2", "run-3"]
