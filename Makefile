# make train   install into .venv and learn a rule: A2C on SNNPlastic-Unsup1-v0, preset first-rule
# make test    install into .venv, lint, check types and run the tests
# make docs    install into .venv and build the manual, build/docs/index.html; warnings are errors
# make bench   measure (quick; ARGS=--no-quick for full sizes) and write the table and picture of docs/performance.md
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# What a process has imported is kept for the next ones, also where the environment asks for the opposite.
export PYTHONDONTWRITEBYTECODE =

.PHONY: train test types suite slow docs bench format clean

# Python compiles modules when they are first imported, and not thousands that never are.
.venv/installed: pyproject.toml setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --upgrade --quiet pip
	$(BIN)/pip install --quiet --no-compile --editable '.[dev]'
	touch $@

train: .venv/installed
	$(BIN)/python trainers/train_a2c.py --preset first-rule $(ARGS)

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) --no-print-directory --jobs 2 types suite

# Side by side: while one core checks types, the other compiles loops.
types: .venv/installed
	$(BIN)/mypy

suite: .venv/installed
	$(BIN)/pytest -n 2 --dist worksteal $(ARGS)

slow: .venv/installed
	$(BIN)/pytest -m slow $(ARGS)

docs: .venv/installed
	SDL_VIDEODRIVER=dummy $(BIN)/sphinx-build --fail-on-warning --keep-going --write-all --quiet -b html docs build/docs
	@echo build/docs/index.html

bench: .venv/installed
	$(BIN)/python benchmarks/report.py $(ARGS)

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build docs/generated *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
