# `make` lists the targets. What they make stands in .venv and .cache; `make clean` removes both.
.DEFAULT_GOAL := help
.PHONY: help lab test check faults browser notebooks results bench site pins clean

# The Python that .venv is made from: make lab PYTHON=python3.12
PYTHON ?= python3
# More options for JupyterLab: make lab ARGS="--port 9000"
ARGS ?=

BIN := .venv/bin
STAMP := .venv/.stamp

# Jupyter, IPython, matplotlib and Hugging Face write below HOME. Where that is missing or read-only, they write here.
OWN_HOME := $(CURDIR)/.cache/home
ifneq ($(shell test -n "$$HOME" && test -d "$$HOME" && test -w "$$HOME" && echo writable),writable)
export HOME := $(OWN_HOME)
endif

# "python3" in a notebook means the kernel of .venv, whatever kernels the user has installed under that name.
export JUPYTER_PATH := $(CURDIR)/.venv/share/jupyter$(if $(JUPYTER_PATH),:$(JUPYTER_PATH))
export JUPYTER_PREFER_ENV_PATH := 1
# .venv is the whole environment: no packages from elsewhere, and no `pip --user`.
unexport PYTHONPATH PYTHONHOME
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list the targets
	@echo "make TARGET, with TARGET one of"
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | awk -F '\t' '{ printf "  %-10s %s\n", $$1, $$2 }'

$(STAMP): pyproject.toml constraints.txt
	@mkdir -p "$$HOME"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	    echo "No $(PYTHON) here. Install Python 3.10 to 3.13, or name one: make PYTHON=/path/to/python3.12 lab" >&2; exit 1; }; \
	  "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "ftlab needs Python 3.10 or newer; $(PYTHON) is `"$(PYTHON)" --version 2>&1`. Name another: make PYTHON=python3.12 lab" >&2; exit 1; }; \
	  "$(PYTHON)" -m venv --clear .venv || { \
	    echo "$(PYTHON) cannot make a virtual environment. On Debian or Ubuntu: sudo apt install python3-venv" >&2; exit 1; }; }
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[lab,test]'
	@# JupyterLab's first question, whether to fetch news, would lie over the first picture.
	@$(BIN)/python -m jupyter labextension disable --level=sys_prefix @jupyterlab/apputils-extension:announcements
	@touch $@

# Loopback with a token. Without a display JupyterLab prints its address instead of opening a browser.
DISPLAYED := $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname))
lab: $(STAMP) ## open JupyterLab at 00_start_here (no display: serve and print the address)
	$(BIN)/python -m jupyterlab --ip=127.0.0.1 --ServerApp.root_dir=notebooks \
	  --LabApp.default_url=/lab/tree/00_start_here.ipynb $(if $(DISPLAYED),,--no-browser) \
	  $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

# Offline, and apart from the user's own settings. As many processes as cores, each on one thread, since the models are
# tiny; a file's tests stay in one process, since they share what takes long to make. Files go out in the folders' order:
# by number of tests the longest, single tests of minutes, would come last, when one process works and the others wait.
IN_TEST := HOME="$(OWN_HOME)" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
PYTEST := $(BIN)/python -m pytest
SHARED_OUT := --numprocesses auto --dist loadfile --no-loadscope-reorder
# Every cell runs on the tiny preset, in a kernel of this environment.
NOTEBOOK_CELLS := --nbval-lax --nbval-current-env --nbval-cell-timeout=300
IN_BROWSER = HOME="$(OWN_HOME)" HF_HUB_OFFLINE=1 $(PYTEST) tests/browser $(ARGS)

# What a change must pass, in about five minutes on two cores: every module, and three notebooks for the kernel.
test: $(STAMP) ## test every module and the notebooks 00, 01 and 07, offline, in about five minutes
	@mkdir -p "$(OWN_HOME)"
	$(IN_TEST) $(PYTEST) $(SHARED_OUT)
	$(IN_TEST) FTLAB_PRESET=tiny $(PYTEST) $(SHARED_OUT) $(NOTEBOOK_CELLS) $(wildcard notebooks/0[017]_*.ipynb)

# What `make test` leaves out. The modules run once more, since their coverage is counted, and with them what is slow,
# needs a database, or kills and soaks for long. Then every notebook and solution, and a real browser, one page at a
# time, where there is one.
check: $(STAMP) ## run what `make test` leaves out: faults, databases, coverage of 90 %, all notebooks, the browser
	@mkdir -p "$(OWN_HOME)"
	$(IN_TEST) $(THOROUGHLY) $(PYTEST) $(SHARED_OUT) -m "" --cov=ftlab --cov-report=term --cov-fail-under=90
	$(IN_TEST) FTLAB_PRESET=tiny $(PYTEST) $(SHARED_OUT) $(NOTEBOOK_CELLS) notebooks
	$(IN_BROWSER)

THOROUGHLY := FTLAB_KILLS=$${FTLAB_KILLS:-50} FTLAB_SOAK=$${FTLAB_SOAK:-300}
faults: $(STAMP) ## kill runs and workers 50 times, fit and sweep panels for five minutes, and print the table of faults
	@mkdir -p "$(OWN_HOME)"
	$(IN_TEST) $(THOROUGHLY) $(PYTEST) -m fault tests $(ARGS)

browser: $(STAMP) ## test JupyterLab in a real Chromium; installs none, says what is missing
	@mkdir -p "$(OWN_HOME)"
	$(IN_BROWSER)

notebooks: $(STAMP) ## run the notebooks for real and store their cleaned outputs
	$(BIN)/python tools/execute.py

# Each study goes on where it stopped; what its file in data/results holds already is not trained again. Start the same
# command on other machines with STORAGE=postgresql://... to share the work.
STORAGE ?= sqlite:///.cache/study.db
STUDY = $(BIN)/python -m ftlab study --storage "$(STORAGE)" --name $(1) --out data/results/$(1).jsonl --head auto
results: $(STAMP) ## train what the first design's studies lack, for hours, and print their tables
	@mkdir -p .cache
	$(call STUDY,techniques) --recipes techniques --folds 5 --seeds 3 --test_looks
	$(call STUDY,pairs) --recipes baseline pairs --folds 5 --seeds 1
	$(call STUDY,few_samples) --recipes few_samples --folds 1 --seeds 10 --n_train 50 100 200
	$(BIN)/python -m ftlab results $(foreach name,techniques pairs few_samples,data/results/$(name).jsonl)
	[ -z "$$FTLAB_DATA" ] || { $(call STUDY,clear) --recipes baseline all --data clear --n_train 432 --max_length 128 \
	  --folds 2 --seeds 3 && $(BIN)/python -m ftlab results data/results/clear.jsonl; }

bench: $(STAMP) ## measure the speed beside what people would use instead, for an hour; ARGS="--rows NAME" for some rows
	$(BIN)/python -m tests.benchmarks $(ARGS)

site: $(STAMP) ## build the static site in _site
	$(BIN)/python tools/site/build_site.py _site

pins: ## resolve constraints.txt again for Python 3.10 and later (needs uv); UPGRADE=package moves a pin
	UV_PYTHON_DOWNLOADS=never uv pip compile pyproject.toml --all-extras --universal --python-version 3.10 \
	  --fork-strategy requires-python --no-build --no-annotate --custom-compile-command 'make pins' --quiet \
	  $(addprefix --upgrade-package ,$(UPGRADE)) --output-file constraints.txt
	grep -vE '^(cuda|nvidia|triton)' constraints.txt > constraints.new && mv constraints.new constraints.txt

clean: ## remove the environment and everything generated
	rm -rf .venv .cache .coverage .coverage.* .hypothesis .pytest_cache .ruff_cache build dist _site *.egg-info
	find ftlab tests notebooks \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
