# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Each makes a virtual environment of its own; PYTHON=... names the interpreter to make it with.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow bench lint unit serving docs lock clean

# A usable interpreter: 3.10 to 3.12, able to make virtual environments, and with the shared library
# that Triton's Python backend links.
PROBE := import ctypes, ensurepip, os, sys, sysconfig; \
  version = sys.version_info[:2]; \
  assert (3, 10) <= version <= (3, 12); \
  name = "libpython%d.%d.so.1.0" % version; \
  path = os.path.join(sysconfig.get_config_var("LIBDIR"), name); \
  ctypes.CDLL(path if os.path.exists(path) else name)
PYTHON ?= $(shell for p in python3.11 python3.12 python3.10 python3; do \
  $$p -c '$(PROBE)' >/dev/null 2>&1 && echo $$p && exit; done)
PYTHON_VERSION := $(if $(PYTHON),$(shell $(PYTHON) -V 2>/dev/null | tr -d ' '))

comma := ,
TEST := .venv
TEST_EXTRAS := server$(comma)build$(comma)loadtest$(comma)bench$(comma)dev
TEST_STAMP := $(TEST)/.installed-$(PYTHON_VERSION)
DEMO := .venv-demo
DEMO_STAMP := $(DEMO)/.installed-$(PYTHON_VERSION)
DOCS := .venv-docs
DOCS_STAMP := $(DOCS)/.installed-$(PYTHON_VERSION)
SOURCES := pyproject.toml constraints.txt

# An environment whose interpreter is gone, or that belongs to a moved clone, is made again.
IS_OURS := import mqspn, sys; sys.exit(not mqspn.__file__.startswith("$(CURDIR)/"))
$(foreach venv,$(TEST) $(DEMO) $(DOCS),$(shell cd / && "$(CURDIR)/$(venv)/bin/python" -c '$(IS_OURS)' \
  >/dev/null 2>&1 || rm -f "$(CURDIR)/$(venv)"/.installed-*))

help:
	@echo "make demo     serve the committed model on a real Triton server, answer sample posts (no GPU, no torch)"
	@echo "make test     ruff, mypy, unit tests, and the tests on the real server: minutes"
	@echo "make lint | unit | serving    the parts of make test"
	@echo "make test-slow    what make test leaves out: runs killed and resumed, the paper's sizes, the images"
	@echo "make bench    the server's speed beside FastAPI and the bare ONNX Runtime chain: two minutes, after the installation"
	@echo "make docs     the documentation as a site, in site/; any warning fails"
	@echo "make lock     resolve constraints.txt again"
	@echo "make clean    remove the virtual environments, the demo's output and what builds left"

define install # virtual environment, extras, stamp, how long
	@if [ "$$(uname -sm)" != "Linux x86_64" ]; then \
	  echo "The Triton server in the wheel is for Linux on x86-64, not $$(uname -sm). Use such a machine, or a container of one." >&2; exit 1; fi
	@if ! "$(or $(PYTHON),false)" -c '$(PROBE)' >/dev/null 2>&1; then \
	  echo "$(or $(PYTHON),No Python found here) will not do: it takes Python 3.10, 3.11 or 3.12 with its venv module and its shared library (libpython3.x.so)." >&2; \
	  echo "Debian, Ubuntu: apt-get install python3-venv libpython3-dev; where python3 is newer: uv python install 3.12, then make $(MAKECMDGOALS) PYTHON=\$$(uv python find 3.12)" >&2; exit 1; fi
	@echo "==> $(1): virtual environment with $$($(PYTHON) -V), packages of [$(2)]; $(4)"
	@$(PYTHON) -m venv --clear $(1)
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar on --no-compile -c constraints.txt -e '.[$(2)]' \
	  || { echo "The packages could not be installed: see pip's message above (network, proxy, disk space; glibc 2.35 or later is needed), then run make $(MAKECMDGOALS) again." >&2; exit 1; }
	@touch $(3)
endef

$(DEMO_STAMP): $(SOURCES)
	$(call install,$(DEMO),server,$(DEMO_STAMP),about 150 MB; a minute)

$(TEST_STAMP): $(SOURCES)
	$(call install,$(TEST),$(TEST_EXTRAS),$(TEST_STAMP),with PyTorch: 400 MB from its CPU index$(comma) gigabytes otherwise)

$(DOCS_STAMP): $(SOURCES)
	$(call install,$(DOCS),docs,$(DOCS_STAMP),the client and MkDocs; half a minute)

demo: $(DEMO_STAMP)
	@$(DEMO)/bin/python demo/run.py --output demo-output

lint: $(TEST_STAMP)
	@echo "==> ruff, mypy, import-linter"
	@$(TEST)/bin/ruff check .
	@$(TEST)/bin/ruff format --check .
	@$(TEST)/bin/mypy
	@$(TEST)/bin/lint-imports

# The slowest tests are named at the end. Tests start some hundred Python processes: whatever the
# caller's environment says, what they import is compiled once, to a folder of this environment.
PYTEST := $(TEST)/bin/python -m pytest --durations=15
unit serving test-slow: export PYTHONDONTWRITEBYTECODE :=
unit serving test-slow: export PYTHONPYCACHEPREFIX := $(CURDIR)/$(TEST)/pycache
# Files side by side, each on one core, so that two do not fight for them.
SIDE_BY_SIDE := --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# At the end what wants quiet.
unit: $(TEST_STAMP)
	@echo "==> unit tests"
	@OMP_NUM_THREADS=1 $(PYTEST) -m "not slow and not alone" $(SIDE_BY_SIDE) tests/unit
	@$(PYTEST) -m "not slow and alone" tests/unit

serving: $(TEST_STAMP)
	@echo "==> tests on the real Triton server"
	@$(PYTEST) -m "not slow" tests/serving

test: lint unit serving

test-slow: $(TEST_STAMP)
	@echo "==> slow tests"
	@OMP_NUM_THREADS=1 $(PYTEST) -m slow $(SIDE_BY_SIDE) tests/deploy tests/serving tests/unit

# What it prints ends in tables; the long form is described in docs/how-to/compare-speed.md.
bench: $(TEST_STAMP)
	@$(TEST)/bin/python loadtest/compare.py --quick

# The variable silences the theme's banner about its own end of life, and nothing else.
docs: $(DOCS_STAMP)
	@echo "==> documentation"
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict --clean

lock:
	@echo "==> constraints.txt"
	@$(PYTHON) -m venv --clear .venv-lock && .venv-lock/bin/python -m pip install --quiet uv
	@echo "torch==2.13.0" > .venv-lock/pins.txt
	@.venv-lock/bin/uv pip compile pyproject.toml --universal --python-version 3.10 --quiet \
	  --extra server --extra build --extra loadtest --extra bench --extra docs --extra dev --constraints .venv-lock/pins.txt \
	  --no-annotate --custom-compile-command "make lock" --output-file constraints.txt --upgrade

clean:
	rm -rf $(TEST) $(DEMO) $(DOCS) .venv-lock demo-output site
	rm -rf .setuptools clients/build build/lib build/bdist.* *.egg-info clients/*.egg-info dist
