# Commands for developers. On a bare machine, ops/quickstart and ops/test first install missing packages.
.PHONY: check test bench demo torture faults differential fuzz format clean
N ?= 100
SEEDS ?= 1000
MINUTES ?= 5

# Builds with warnings shown, and holds the sources to .swift-format.
check:
	swift build
	@if swift format --version >/dev/null 2>&1; then \
	  swift format lint --strict --recursive --parallel Sources Tests Package.swift; \
	else \
	  echo "swift format is not in this toolchain: sources are not linted" >&2; \
	fi

test:
	ops/test

bench:
	ops/bench

demo:
	ops/quickstart --once

# make torture N=1000
torture:
	ops/torture $(N)

# make faults SEEDS=10000
faults:
	ops/faults $(SEEDS)

# make differential SEEDS=10000, of each suite that compares with a model
differential:
	ops/differential $(SEEDS)

# make fuzz MINUTES=10, of each fuzzer
fuzz:
	ops/fuzz $(MINUTES)

format:
	swift format --in-place --recursive --parallel Sources Tests Package.swift

clean:
	rm -rf .build .venv
