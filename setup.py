"""The two packaging jobs that TOML does badly: two top-level folders installed as subpackages, and the description.

`trainers/` and `wrappers/` stand at the top of the repository, and are installed as
`snn_plasticity_gym.trainers` and `snn_plasticity_gym.wrappers`, so that no generic name lands in
anybody's site-packages. All other metadata is in pyproject.toml.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup


def description() -> str:
    """Return the README as it reads where the project's files do not lie beside it, e.g. on a package index.

    The project has no public address that its pictures and links could point to: a picture becomes a line with its
    name and text, a link to a file or a heading becomes its words.
    """
    text = (Path(__file__).resolve().parent / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[([^\]]*)\]\((?!https?:)([^)]*)\)", r"*Picture \2 of the sources: \1.*", text)
    return re.sub(r"(?<!!)\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text)


setup(
    long_description=description(),
    long_description_content_type="text/markdown",
    packages=[
        *find_packages(include=["snn_plasticity_gym", "snn_plasticity_gym.*"]),
        "snn_plasticity_gym.trainers",
        "snn_plasticity_gym.trainers.sessions",
        "snn_plasticity_gym.wrappers",
    ],
    package_dir={
        "snn_plasticity_gym": "snn_plasticity_gym",
        "snn_plasticity_gym.trainers": "trainers",
        "snn_plasticity_gym.wrappers": "wrappers",
    },
)
