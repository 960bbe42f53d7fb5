# Everything a newcomer types. Each target first makes sure that what it needs is there (packaging/install/prepare);
# the second time that costs a few milliseconds.
.POSIX:
.SUFFIXES:

PYTHON = python3
DEMO_SECONDS = 40
RECORDING =
RECORDINGS = .
ARGUMENTS =
WORKERS = 3

venv = .venv/bin
typed = agent algorithms device_catalog hardware tests/typing

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: ## catalog, two brokers, three meters, an estimated grid, an update for 40 s, then a fault (DEMO_SECONDS=0 runs on; RECORDING=file.cfg)
	@PYTHON=$(PYTHON) packaging/install/prepare demo
	@exec $(venv)/python packaging/demo/demo.py --seconds "$(DEMO_SECONDS)" --recording "$(RECORDING)" $(ARGUMENTS)

install: ## .venv with the commands tresma, tresma-agent and tresma-catalog, and a broker
	@PYTHON=$(PYTHON) packaging/install/prepare demo
	@echo "now: . .venv/bin/activate"

# Tests wait more than they compute, so three at once serve two cores; files stay whole, for what their tests share.
test: ## the whole test suite, with real brokers (ARGUMENTS="tests/unit -k phasor" for a part, WORKERS=0 one by one)
	@PYTHON=$(PYTHON) packaging/install/prepare test
	@$(venv)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGUMENTS)

manuals: ## manual pages of tresma and tresma-catalog, where man finds them once .venv is active
	@PYTHON=$(PYTHON) packaging/install/prepare manuals
	@packaging/install/manuals

package: ## the Debian package of the agent, into ./dist (root)
	@packaging/install/package dist

image: ## a card's image for Raspberry Pi 3, 4 and 5, into ./dist (root; minutes, the second time one)
	@PYTHON=$(PYTHON) packaging/install/prepare image
	@packaging/image/build dist

test-image: ## the image in an emulated arm64 machine, with a catalog and brokers: start, slots, growth, writes (root, minutes)
	@PYTHON=$(PYTHON) packaging/install/prepare image
	@$(venv)/python -m pytest --override-ini="addopts=-q --import-mode=importlib" tests/field/test_image.py $(ARGUMENTS)

test-power-cuts: ## power cuts of the image at random moments, CUTS=6 of them (root; minutes for each)
	@PYTHON=$(PYTHON) packaging/install/prepare image
	@CUTS=$(or $(CUTS),6) $(venv)/python -m pytest --override-ini="addopts=-q -s --import-mode=importlib" tests/field/test_image_update.py tests/field/test_power_cuts.py $(ARGUMENTS)

test-package: ## the package on a booted Debian: install, watchdog, upgrade, purge (root, minutes)
	@PYTHON=$(PYTHON) packaging/install/prepare package
	@packaging/install/bootable
	@$(venv)/python -m pytest --override-ini="addopts=-q --import-mode=importlib" tests/field/test_package.py $(ARGUMENTS)

test-brokers: ## a plant on RabbitMQ with MQTT 3.1.1 (a minute)
	@PYTHON=$(PYTHON) packaging/install/prepare field
	@$(venv)/python -m pytest --override-ini="addopts=-q --import-mode=importlib" tests/field/test_rabbitmq.py $(ARGUMENTS)

test-proxy: ## nginx in front of the catalog, by the recipe in packaging/nginx (seconds)
	@PYTHON=$(PYTHON) packaging/install/prepare field
	@$(venv)/python -m pytest --override-ini="addopts=-q --import-mode=importlib" tests/field/test_nginx.py $(ARGUMENTS)

test-manifests: ## Kubernetes manifests, compose file and units judged by public tools (seconds; installs 110 MB of schemas)
	@PYTHON=$(PYTHON) packaging/install/prepare manifests
	@$(venv)/python -m pytest --override-ini="addopts=-q --import-mode=importlib" tests/field/test_manifests.py $(ARGUMENTS)

lint: ## ruff: rules and format
	@PYTHON=$(PYTHON) packaging/install/prepare lint
	@$(venv)/ruff check .
	@$(venv)/ruff format --check .

types: ## mypy, strict
	@PYTHON=$(PYTHON) packaging/install/prepare lint
	@$(venv)/mypy $(typed)

layers: ## imports point down only
	@PYTHON=$(PYTHON) packaging/install/prepare lint
	@$(venv)/lint-imports --config setup.cfg

bench: ## every benchmark, one after the other (ARGUMENTS=--quick within 50 s each)
	@PYTHON=$(PYTHON) packaging/install/prepare test
	@for script in tests/benchmarks/*.py; do \
		[ "$$script" = tests/benchmarks/report.py ] || $(venv)/python "$$script" $(ARGUMENTS) || exit 1; \
	done

pages: ## a page for each recording in a folder (RECORDINGS=folder), into ./pages
	@PYTHON=$(PYTHON) packaging/install/prepare test
	@mkdir -p pages
	@find "$(RECORDINGS)" -iname '*.cfg' -o -iname '*.cff' | while read -r file; do \
		name=$$(basename "$$file"); \
		$(venv)/tresma-agent replay "$$file" --page "pages/$${name%.*}.html" || exit 1; \
	done

clean: ## what the other targets made, .venv included
	rm -rf .venv .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info build dist

.PHONY: help demo install test manuals package image test-image test-power-cuts test-package test-brokers test-proxy test-manifests lint types layers bench pages clean
