# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Both make a virtual environment of their own; PYTHON=... names the interpreter to make it with.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint unit serving lock clean

# The first of these that runs, is 3.10 to 3.12 and has the shared library that Triton's Python
# backend needs; else the first that runs, so that the error comes from `mqspn` and says what to do.
PYTHON ?= $(shell \
  for p in python3.11 python3.12 python3.10 python3; do \
    $$p -c 'import sys, sysconfig; sys.exit(not ((3, 10) <= sys.version_info[:2] <= (3, 12) and sysconfig.get_config_var("Py_ENABLE_SHARED")))' \
      >/dev/null 2>&1 && echo $$p && exit; \
  done; \
  for p in python3.11 python3.12 python3.10 python3; do \
    $$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
      >/dev/null 2>&1 && echo $$p && exit; \
  done)

TEST := .venv
DEMO := .venv-demo
comma := ,
TEST_EXTRAS := server$(comma)build$(comma)loadtest$(comma)dev
SOURCES := pyproject.toml constraints.txt

help:
	@echo "make demo     serve the committed model on a real Triton server, answer sample posts (no GPU, no torch)"
	@echo "make test     ruff, mypy, unit tests, and the tests on the real server"
	@echo "make lint | unit | serving    the parts of make test"
	@echo "make lock     resolve constraints.txt again"
	@echo "make clean    remove the virtual environments and the demo's output"

define install # venv, extras
	@if [ -z "$(PYTHON)" ]; then \
	  echo "No Python 3.10, 3.11 or 3.12 found. Install one (Debian: apt-get install python3 python3-venv), or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; fi
	@echo "==> $(1): virtual environment with $$($(PYTHON) --version), packages [$(2)]; takes a minute or more"
	@$(PYTHON) -m venv $(1) || { echo "Could not make a virtual environment with $(PYTHON) (Debian: apt-get install python3-venv)." >&2; exit 1; }
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(2)]' \
	  || { echo "The packages could not be installed: see pip's message above (network, proxy or disk space), then run make $(MAKECMDGOALS) again." >&2; exit 1; }
	@touch $(1)/.installed
endef

$(DEMO)/.installed: $(SOURCES)
	$(call install,$(DEMO),server)

$(TEST)/.installed: $(SOURCES)
	$(call install,$(TEST),$(TEST_EXTRAS))

demo: $(DEMO)/.installed
	@$(DEMO)/bin/python demo/run.py --output demo-output

lint: $(TEST)/.installed
	@echo "==> ruff, mypy"
	@$(TEST)/bin/ruff check .
	@$(TEST)/bin/ruff format --check .
	@$(TEST)/bin/mypy

unit: $(TEST)/.installed
	@echo "==> unit tests"
	@$(TEST)/bin/python -m pytest tests/unit

serving: $(TEST)/.installed
	@echo "==> tests on the real Triton server"
	@$(TEST)/bin/python -m pytest tests/serving

test: lint
	@echo "==> unit tests, then the real Triton server"
	@$(TEST)/bin/python -m pytest tests/unit tests/serving

lock:
	@echo "==> constraints.txt"
	@$(PYTHON) -m venv .venv-lock && .venv-lock/bin/python -m pip install --quiet uv
	@echo "torch==2.13.0" > .venv-lock/pins.txt
	@.venv-lock/bin/uv pip compile pyproject.toml --universal --python-version 3.10 --quiet \
	  --extra server --extra build --extra loadtest --extra dev --constraints .venv-lock/pins.txt \
	  --no-annotate --custom-compile-command "make lock" --output-file constraints.txt --upgrade

clean:
	rm -rf $(TEST) $(DEMO) .venv-lock demo-output
