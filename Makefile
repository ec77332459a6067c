# Every target sets up its own .venv from nothing; it is made anew only when the dependencies change.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# One thread a worker: the tests run in two processes; where a test asks for two, they do not wait in a loop
SINGLE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE

.PHONY: test lint docs-check demo tutorial site fuzz lowest clean

test: lint
	@$(SINGLE_THREAD) $(BIN)/python -m pytest -n 2

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# Every page of docs/ that a script makes from the repository alone is what the script makes, the demo's text too
docs-check: $(INSTALLED)
	@$(SINGLE_THREAD) $(BIN)/python -m tools.docs_check --demo

# The pages as a site in out/site, which fetches nothing; a broken link ends it
site: $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints-dev.txt --editable '.[dev,docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

demo: $(INSTALLED)
	@PHYDA=$(CURDIR)/$(BIN)/phyda bash examples/demo.sh

# Own data, statistics and weights, with numbers that end in minutes; the simulation needs an extra of its own
tutorial: $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints-dev.txt --editable '.[dev,simulate]'
	@PHYDA=$(CURDIR)/$(BIN)/phyda bash examples/tutorial.sh

# Random faults in full: 10 000 tables, 1 000 damaged files, 400 kills, 300 signals; about 15 minutes
fuzz: $(INSTALLED)
	@PHYDA_FUZZ=full $(SINGLE_THREAD) $(BIN)/python -m pytest tests/test_fuzz.py tests/test_killed.py -n 2

# The lowest versions that pyproject.toml admits, in a venv of their own
lowest:
	@PYTHON=$(PYTHON) bash tools/lowest.sh

$(INSTALLED): pyproject.toml constraints-dev.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints-dev.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-lowest out .mypy_cache .pytest_cache .ruff_cache .hypothesis
