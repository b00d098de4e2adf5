PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint tables clean

demo: $(VENV)/installed
	$(BIN)/python experiments/cifar.py --preset demo --data glyphs \
		--pool-subsets 3 6 8 --eval-subsets 1 2

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

tables: $(VENV)/installed
	$(BIN)/python experiments/tables.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/pip install --quiet --editable '.[text,test]'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed-test
	$(BIN)/pip install --quiet --editable '.[text,test,dev]'
	touch $@

clean:
	rm -rf $(VENV) runs .jax_cache .pytest_cache .ruff_cache
