# `make demo` and `make test` set up everything they need in .venv; nothing else has to be installed.
VENV ?= .venv
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
# The name of this file says for which requirements the environment was made: a checkout that only touches files
# makes no new one.
REQUIREMENTS := sed -n '/^dependencies = \[/,/^\]/p; /^\[project.optional-dependencies\]/,/^\[/p' pyproject.toml
READY := $(VENV)/.ready-$(firstword $(shell { $(REQUIREMENTS); cat $(CONSTRAINTS); } | cksum))

.PHONY: demo test test-oldest lint docs clean

demo: $(READY)
	$(BIN)/python examples/demo.py --output demo_output

test: $(READY)
	$(BIN)/python -m pytest -n 2

# The same tests with the oldest supported versions.
test-oldest:
	$(MAKE) test VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/numpydoc lint $$(git ls-files 'sksurv_mmf/*.py')
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

$(READY):
	@echo "Setting up $(VENV) (a few minutes on the first run)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e ".[docs,test]"
	@rm -f $(VENV)/.ready*
	@touch $@

clean:
	rm -rf $(VENV) .venv-oldest build dist *.egg-info demo_output docs/_build docs/generated docs/gallery
