# The one place that sets the linker flag giouring needs (docs/decisions/001-giouring.md).
# No other -ldflags: an explicit one would replace it.
export GOFLAGS := -ldflags=-checklinkname=0

# The static binary; as root or not.
BINARY := dioStress
# make run ARGS='--fs ext3 --runtime 60'
ARGS ?=
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# The race detector needs a C compiler.
RACE := $(shell command -v gcc >/dev/null 2>&1 && echo -race)

.PHONY: run build test check bench clean

run: build
	scripts/install-packages run
	$(SUDO) ./$(BINARY) $(ARGS)

build:
	CGO_ENABLED=0 go build -o $(BINARY) ./cmd/dioStress

test: packages check build
	set -o pipefail; go test -json $(RACE) -timeout 20m ./... | go run ./scripts/testsum

# Formatting, vet, and that everything builds.
check:
	@bad=$$(gofmt -l .); [ -z "$$bad" ] || { echo "gofmt: $$bad"; exit 1; }
	go vet ./...

bench: build
	scripts/install-packages test
	$(SUDO) env PATH="$$PATH" GOFLAGS="$(GOFLAGS)" go run ./scripts/bench

clean:
	rm -rf $(BINARY) .cache

.PHONY: packages
packages:
	scripts/install-packages test

SHELL := /bin/bash

include scripts/vm/vm.mk
