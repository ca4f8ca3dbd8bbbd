# Each target works alone on a machine with nothing but Python and pip.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup train test docs-check bench reproduce lint wheel clean

setup: .venv/ready

# The stamp is touched last: an installation that broke off is done again.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[offline,wandb,bayes,slurm,ray,dev]'
	touch $@

train: .venv/ready
	$(BIN)/python train.py head=mean

test: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Every command of README and docs on small data; the tests only read them.
docs-check: .venv/ready
	$(BIN)/python tests/docs/check_pages.py

bench: .venv/ready
	$(BIN)/python benchmarks/bench.py

# make reproduce EXPERIMENT=glue_heads SAMPLE=3: with HEAD2HEAD_DATA set, or from the hub
SAMPLE ?= 3
reproduce: .venv/ready
	$(BIN)/head2head reproduce --experiment "$(EXPERIMENT)" --sample $(SAMPLE)

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: .venv/ready
	$(BIN)/python -m build

clean:
	rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache
