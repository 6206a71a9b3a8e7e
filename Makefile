# make setup | demo | test | experiments
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: setup demo test test-slow experiments

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

# RAF files -> dataset -> about three minutes of training -> a table next to LibRaw's demosaicers
demo: $(READY)
	$(RUN) scripts/utils/demo.py

test: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m pytest

# the tests that take more than a few seconds
test-slow: $(READY)
	$(RUN) -m pytest -n 0 -m slow

# docs/EXPERIMENTS.md and the README's results, from docs/experiments/
experiments: $(READY)
	$(RUN) scripts/utils/experiments.py
