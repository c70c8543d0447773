"""The one packaging job that TOML does badly: two top-level folders installed as subpackages.

`trainers/` and `wrappers/` stand at the top of the repository, and are installed as
`snn_plasticity_gym.trainers` and `snn_plasticity_gym.wrappers`, so that no generic name lands in
anybody's site-packages. All other metadata is in pyproject.toml.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["snn_plasticity_gym", "snn_plasticity_gym.*"]),
        "snn_plasticity_gym.trainers",
        "snn_plasticity_gym.wrappers",
    ],
    package_dir={
        "snn_plasticity_gym": "snn_plasticity_gym",
        "snn_plasticity_gym.trainers": "trainers",
        "snn_plasticity_gym.wrappers": "wrappers",
    },
)
