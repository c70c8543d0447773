"""Sessions of the programs: a training, an evaluation or a report from start to end."""
