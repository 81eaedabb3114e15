# One way in. Every target makes .venv and installs into it on first use.
# Another interpreter: make PYTHON=/path/to/python3.12 test

VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

# Boards whose interpreter has type stubs; the device package is checked against each.
STUB_BOARDS := $(patsubst boards/%/stubs.txt,%,$(wildcard boards/*/stubs.txt))
STUBS := $(STUB_BOARDS:%=$(VENV)/stubs/%/.installed)

.PHONY: help demo test hil lint bench bench-board clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo         a day of an emulated street; the report is out/demo/report.html'
	@echo 'make test         the tests, then the board suite on the emulated boards'
	@echo 'make hil          all of the board suite on the emulated boards; out/hil/report.html'
	@echo 'make lint         ruff, and mypy on the host and on the device package'
	@echo 'make bench        figures of the host'
	@echo 'make bench-board  figures of the firmware on the emulated boards'
	@echo 'make clean        remove everything that make has made'

demo: $(INSTALLED)
	$(VENV)/bin/hushmeter demo --out out/demo

test: $(INSTALLED)
	$(PY) -m pytest tests -n auto --dist worksteal
	$(PY) -m pytest hil --board unix
	$(PY) -m pytest hil --board pico -n auto

# What takes hours besides: pytest hil --board pico --power-cuts all
hil: $(INSTALLED)
	$(PY) -m pytest hil --board unix --nightly
	$(PY) -m pytest hil --board pico --nightly --power-cuts sample -n auto
	$(VENV)/bin/hushmeter hil report

lint: $(INSTALLED) $(STUBS)
	$(PY) -m ruff check --output-format concise .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(foreach board,$(STUB_BOARDS),MYPYPATH=$(VENV)/stubs/$(board) $(PY) -m mypy \
		--config-file firmware/mypy.ini --cache-dir .mypy_cache/$(board) \
		--custom-typeshed-dir $(VENV)/stubs/$(board) &&) true

bench: $(INSTALLED)
	$(PY) -m tools.bench

bench-board: $(INSTALLED)
	$(PY) -m tools.bench_board

clean:
	rm -rf $(VENV) out dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find firmware host hil tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml
	@tools/venv.sh

$(VENV)/stubs/%/.installed: boards/%/stubs.txt | $(INSTALLED)
	@$(PY) -m pip install --quiet --upgrade --target $(@D) -r $<
	@touch $@
