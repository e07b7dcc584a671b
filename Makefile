# Two commands do all set-up: `make sweep` runs the main job on drawn images, `make test` checks everything:
# the tests two files at a time, the faults one by one, for those measure how soon a sweep stops.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: sweep test test-slow clean

sweep: .venv/installed
	$(BIN)/python -m dermtune.sweep sweeps/focal_ls.py

test: .venv/installed .venv/skypilot/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --ignore=tests/faults -n 2 --dist loadfile
	$(BIN)/pytest tests/faults --durations 20

test-slow: .venv/installed .venv/skypilot/installed
	$(BIN)/pytest -m "slow or not slow"

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dermtune needs Python 3.11 or later; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# SkyPilot, which checks its own files in infra/skypilot: its packages and dermtune's cannot be in one environment.
.venv/skypilot/installed: infra/skypilot/requirements.txt | .venv/installed
	$(BIN)/python -m venv .venv/skypilot
	.venv/skypilot/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info
