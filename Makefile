# Everything a fresh machine needs is set up by these targets themselves, in a private environment in .venv.
#   make demo    the main job, on embedded boards
#   make test    the tests
#   make check   lint, types, workflows
#   make fuzz    damaged logs for the judge of kernel consoles, for FUZZ_SECONDS (60)

.PHONY: demo test check fuzz env format clean
.DELETE_ON_ERROR:

# Where bytecode may not be kept, each of the many processes that the tests start compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin

demo: env
	@$(BIN)/python examples/demo.py

PYTEST := $(BIN)/python -m pytest -n logical --dist worksteal

# Virtual boards come last and by themselves: each of them wants two processors, and other tests mind a busy machine.
test: env
ifdef PYTEST_ARGS
	@$(PYTEST) $(PYTEST_ARGS)
else
	@$(PYTEST) tests/unit tests/fuzz tests/plugin tests/sim
	@$(PYTEST) tests/virtual
endif

check: env
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/actionlint
	@$(BIN)/zizmor --offline --quiet .github

FUZZ_SECONDS ?= 60

# What it has learnt stays in .fuzz/corpus for the next time; what it found, in .fuzz/found.
fuzz: env
	@$(BIN)/python -m tests.fuzz.target --seconds $(FUZZ_SECONDS)

format: env
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

env: $(VENV)/.complete

$(VENV)/.complete: pyproject.toml .ci/environment
	@sh .ci/environment $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) hil-evidence .mypy_cache .pytest_cache .ruff_cache .hypothesis .fuzz
