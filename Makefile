# `make demo` and `make test` do all the set-up on a machine with Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(sort $(wildcard plugins/vlcli-*))
STAMP := $(VENV)/.installed
THREADS ?= 2

export VLCLI_HOME ?= $(CURDIR)/.vlcli
export HF_HUB_OFFLINE = 1
export TOKENIZERS_PARALLELISM = false
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: install demo test lint docs dist claims bench torture clean

install: $(STAMP)

# torch and torchvision first: they decide the build of everything that stands on them.
$(STAMP): constraints.txt pyproject.toml $(addsuffix /pyproject.toml,$(PLUGINS))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "vlcli needs Python >= 3.11: make PYTHON=python3.12 …"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch torchvision
	$(BIN)/pip install -q -c constraints.txt torchaudio
	$(BIN)/pip install -q -c constraints.txt hatchling editables
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation -e '.[ann,lance,lora,ray]' $(addprefix -e ,$(PLUGINS)) -r requirements-dev.txt
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/vlcli run demo
	$(BIN)/vlcli run quickstart
	@echo "Open the two search.html pages named above."

test: lint $(STAMP)
	$(BIN)/python -m pytest -m "not slow" -n $(THREADS) --dist loadfile
	$(BIN)/python -m mkdocs build --strict -q -d .site

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# Every claim on fresh seeds; the long tests.
claims: $(STAMP)
	for method in contrastive mod-x align albef selformer text-chem-t5 ulip jm3d jm3d-llm lamp lamp-bandai lamp-generation; do $(BIN)/vlcli reproduce $$method || echo "$$method: not reproduced"; done
	$(BIN)/python -m pytest -m slow

# The table of docs/benchmarks.md, beside the peers; writes docs/evidence/bench.json.
bench: $(STAMP)
	$(BIN)/pip install -q -c constraints.txt -r requirements-bench.txt
	$(BIN)/python benchmarks/run.py

# Kills, power cuts, full disks, hostile and damaged files; writes docs/evidence/torture.json.
torture: $(STAMP)
	$(BIN)/python tests/torture/run.py

docs: $(STAMP)
	$(BIN)/python docs/build_reference.py
	$(BIN)/python -m mkdocs build --strict -d .site

dist: $(STAMP)
	rm -rf dist
	for package in . $(PLUGINS); do $(BIN)/python -m build -q --wheel --no-isolation --outdir dist $$package || exit 1; done
	ls -1 dist

clean:
	rm -rf $(VENV) .site dist .vlcli runs
