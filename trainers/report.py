"""Write the report on training runs: `python trainers/report.py RUN [RUN ...]`; `--help` lists the settings.

Writes one self-contained page, report.html, and its figures as PNGs. Runs that differ only in their seeds
share a curve with a band; runs of different settings are compared.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from snn_plasticity_gym.config.cli import parse_config
from snn_plasticity_gym.config.report import ReportConfig
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.trainers.sessions.program import run_program, split_positional


def report(argv: Sequence[str] | None = None) -> Path:
    """Write a report; print the page's path and return it."""
    first, rest = split_positional(argv)
    config = parse_config(ReportConfig, rest)
    config = dataclasses.replace(config, runs=(*first, *config.runs))
    if not config.runs:
        raise ConfigError("no run was given; give the folder of at least one, e.g. runs/SNNPlastic-Semi-v0/NAME")

    # Imported late: these take seconds, and a wrong flag is reported before.
    from snn_plasticity_gym.trainers.sessions.report_session import run_report

    return run_report(config)


def main() -> int:
    """Run the program."""
    return run_program(report)


if __name__ == "__main__":
    sys.exit(main())
