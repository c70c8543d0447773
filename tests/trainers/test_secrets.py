"""Keys and tokens of the person who trains get into no file of a run."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from snn_plasticity_gym.trainers import train_a2c

SECRETS = {
    "WANDB_API_KEY": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c",
    "HF_TOKEN": "hf_aVerySecretTokenOfTheHub",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCYsecret",
}
REMOTE_SECRET = "ghp_tokenWithinTheAddress"
TINY = ["--dataset=digits", "--n_exc=4", "--num_steps=6", "--history_length=6", "--num_envs=2", "--episodes=4"]
TINY += ["--eval_episodes=2", "--head_sizes=8", "--checkpoint_every=2", "--tensorboard", "--run_name=secrets"]


def contents(folder: Path) -> dict[str, bytes]:
    """All that is written in a folder, members of zip files unpacked, by name."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
        if path.suffix in (".zip", ".pt"):
            with zipfile.ZipFile(path) as archive:
                found |= {f"{path.name}/{name}": archive.read(name) for name in archive.namelist()}
    return found


@pytest.mark.slow
def test_no_file_of_a_run_holds_a_secret(tmp_path):
    for command in (["init", "-q"], ["remote", "add", "origin", f"https://someone:{REMOTE_SECRET}@example.com/x.git"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {
        "NETRC": str(tmp_path / "netrc"),
        "WANDB_CONFIG_DIR": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    } | SECRETS
    subprocess.run(
        [sys.executable, train_a2c.__file__, *TINY, "--wandb=offline", f"--run_dir={tmp_path / 'runs'}"],
        env=environment,
        cwd=tmp_path,
        check=True,
    )
    files = contents(tmp_path / "runs")
    names = " ".join(files)
    for name in ("manifest.json", "config.yaml", "metrics.csv", "final.zip/", "events.out", "report.html", ".wandb"):
        assert name in names
    for secret in (*SECRETS.values(), REMOTE_SECRET):
        assert [name for name, content in files.items() if secret.encode() in content] == []
