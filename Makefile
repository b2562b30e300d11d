# Everything runs in .venv; `make help` lists what there is.
PYTHON ?= python3
BIN := .venv/bin
RUN := NO_ALBUMENTATIONS_UPDATE=1
# One thread a process: the tests run in two, and waiting threads of both would fight for the cores.
TEST := $(RUN) WANDB_MODE=offline OMP_NUM_THREADS=1

.DEFAULT_GOAL := help
FUZZ ?= 1000
GUIDED ?= 20
.PHONY: help setup demo test test-all test-faults test-slurm fuzz lint format bench gpu docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.installed ## build .venv with tested versions (quick when done)

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11: give make PYTHON=python3.12"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing skinlab with torch and the extras lite, sweep, tensorboard, export, shards and dev into .venv (3 to 4 minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lite,sweep,tensorboard,export,shards,dev]'
	@touch $@

demo: setup ## train on the phantom, open its test and show where the run lies (about 3 minutes)
	$(RUN) $(BIN)/python -m skinlab.train experiment=demo test=true

test: setup .venv/.docs ## the tests of a few minutes
	$(TEST) $(BIN)/python -m pytest -n 2 -m "not slow and not gpu and not faults"

test-all: setup .venv/.docs ## the slow ones, too
	$(TEST) $(BIN)/python -m pytest -n 2 -m "not faults"

test-faults: setup ## kills, full disks and other faults at random moments, with a count of results lost (about 20 minutes)
	$(TEST) $(BIN)/python -m pytest -n 2 tests/faults $(if $(SEED),--faults-seed=$(SEED)) $(if $(MOMENTS),--faults-moments=$(MOMENTS))

test-slurm: setup ## those on a SLURM cluster that they start here: needs root and apt-get install slurmctld slurmd slurm-client munge
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sweep]'
	$(TEST) $(BIN)/python -m pytest -m slurm tests/slurm

fuzz: setup ## read FUZZ=1000 damaged files of each kind, then GUIDED=20 s of each that coverage can guide
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(TEST) $(BIN)/python -m tests.security.fuzz $(FUZZ)
	$(TEST) $(BIN)/python -m tests.security.guided $(GUIDED)

lint: setup ## ruff and mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup ## let ruff format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## print speed ratios against bare loops and other packages, and write BENCHMARKS.md
	$(RUN) $(BIN)/python -m tests.bench --record

gpu: setup ## pack into .gpu/ what a CUDA machine without a network lacks; tests/gpu/run.sh runs there
	$(RUN) $(BIN)/python -m tests.gpu.pack

.venv/.docs: .venv/.installed
	@echo "installing the documentation's packages, which the tests need, too (about a minute)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

# The notebooks are executed again where they have changed.
build/notebooks/%.ipynb: notebooks/%.ipynb | .venv/.docs
	rm -rf build/notebooks/$*
	$(RUN) WANDB_MODE=offline SKINLAB_NOTEBOOK_DIR=$(CURDIR)/build/notebooks/$* $(BIN)/python -m nbconvert \
		--log-level=WARN --execute --to notebook --output-dir build/notebooks $<

docs: setup .venv/.docs $(patsubst %,build/%,$(wildcard notebooks/*.ipynb)) ## build/docs/index.html, with the notebooks executed (about 6 minutes; later 1)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

clean: ## remove what tests and builds leave behind (not .venv, not runs)
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
