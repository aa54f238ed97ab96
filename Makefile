# make quickstart   a translator from nothing: environment, corpus, training, export, a first translation
# make test         every check and every test, as continuous integration does them

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUN := artifacts/quickstart
SENTENCES := "Turn on the light in the kitchen." "The password is wrong."

.DEFAULT_GOAL := help
.PHONY: help quickstart environment test notebooks lint format clean

help:
	@echo "make quickstart   a translator from nothing: environment, corpus, training, export, a first translation"
	@echo "make test         every check and every test"
	@echo "make notebooks    run the notebooks and save what they show (a quarter of an hour)"
	@echo "make lint         style and types only"
	@echo "make format       let ruff lay out the code"
	@echo "make clean        remove the environment and the caches (runs in artifacts/ stay)"
	@echo "PYTHON=python3.12 make clean environment   another Python for the environment (3.11 to 3.13)"

quickstart: environment
	@$(BIN)/python -m pipeline.run configs/quickstart.yaml
	@echo
	@echo "For example:"
	@printf '  %s\n' $(SENTENCES)
	@printf '%s\n' $(SENTENCES) | $(BIN)/python -m pipeline.translate --run $(RUN)

environment: $(READY)

# Made again when the dependencies have changed, and only then.
$(READY): pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; found = sys.version_info[:2]; sys.exit(None if (3, 11) <= found <= (3, 13) else \
		"This is Python %d.%d; 3.11, 3.12 or 3.13 is needed: PYTHON=python3.12 make ..." % found)'
	@echo "Making the environment in $(VENV) (some minutes; TensorFlow is large) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c .ci/constraints.txt -e '.[dev]'
	@touch $@

test: lint
	@$(BIN)/python -m pytest -q -m "" -n auto --dist worksteal

notebooks: environment
	@$(BIN)/python notebooks/execute.py

lint: environment
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary

format: environment
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache *.egg-info
	find pipeline tests -name __pycache__ -type d -prune -exec rm -rf {} +
