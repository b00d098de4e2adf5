PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST := -m pytest -n 2 --dist worksteal

.PHONY: demo test lowest newest audit faults soak lint docs tables clean

demo: $(VENV)/installed
	$(BIN)/python experiments/cifar.py --preset demo --data glyphs \
		--pool-subsets 3 6 8 --eval-subsets 1 2

test: $(VENV)/installed-test
	$(BIN)/python $(PYTEST)

lowest: RELEASES := lowest-direct
newest: RELEASES := highest
lowest newest: $(VENV)/bin/python
	$(PIP) install uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/$@
	$(BIN)/uv pip install --quiet --python $(VENV)/$@/bin/python --resolution $(RELEASES) \
		--editable '.[experiments,report,text,test]'
	$(VENV)/$@/bin/python $(PYTEST)

audit: $(VENV)/bin/python
	$(PIP) install uv
	$(BIN)/uv tool run --quiet pip-audit --strict --disable-pip --no-deps \
		--requirement .ci/constraints.txt

faults: $(VENV)/installed-test
	$(BIN)/python -m tests.faults.campaign --seconds 600
	$(BIN)/python -m tests.faults.kills --times 20
	$(BIN)/python -m tests.faults.disks --times 20

soak: $(VENV)/installed-test
	$(BIN)/python -m tests.faults.campaign --seconds 1000000000

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

tables: $(VENV)/installed
	$(BIN)/python experiments/tables.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; old = sys.version_info < (3, 11); sys.exit(old and \
		"Python 3.11 or newer is needed, $(PYTHON) is " + sys.version.split()[0] + \
		"; choose another by make PYTHON=...")'
	$(PYTHON) -m venv $(VENV) || (rm -rf $(VENV); exit 1)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	$(PIP) install --editable '.[experiments,report]'
	touch $@

$(VENV)/installed-test: $(VENV)/bin/python pyproject.toml
	$(PIP) install --editable '.[experiments,report,text,test]'
	touch $@

$(VENV)/installed-dev: $(VENV)/bin/python pyproject.toml
	$(PIP) install --editable '.[experiments,report,text,test,dev]'
	touch $@

clean:
	rm -rf $(VENV) runs build dist site story *.egg-info .jax_cache .hypothesis .import_linter_cache
	rm -rf .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
