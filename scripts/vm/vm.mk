# Targets that run dioStress in virtual machines; docs/vm.md explains them.

VMBIN := .cache/vm/bin
# make vm-run KERNEL=6.12 FS=ext3 ARGS='--runtime 30'
KERNEL ?= 6.1
FS ?= ext4
# Packages whose tests run inside a machine: not those that make machines.
VMTESTS = $(shell go list ./... | grep -v '/scripts/')
VMTESTKERNELS ?= 6.1 6.12

.PHONY: vm vm-run vm-smoke vm-soak vm-faults vm-kernel test-vm vm-packages vm-packages-boot

# `make test` runs one kernel (scripts/vm/smoke), so it needs what boots one.
test: vm-packages-boot

vm-packages-boot:
	scripts/vm/install-packages boot

vm-packages:
	scripts/vm/install-packages boot build

# dioStress with any arguments under one kernel; the exit status is its own.
vm-run: vm-packages-boot
	@go build -o $(VMBIN)/run ./scripts/vm/run
	$(VMBIN)/run --kernel $(KERNEL) --fs $(FS) -- $(ARGS)

# The matrix of kernels, file systems and engines.
vm: vm-packages-boot
	@go build -o $(VMBIN)/matrix ./scripts/vm/matrix
	$(VMBIN)/matrix

vm-smoke: vm-packages-boot
	go test -count=1 -v ./scripts/vm/smoke

# Ten runs of every healthy cell, with what tempts a judge into false alarms.
vm-soak: vm-packages-boot
	@go build -o $(VMBIN)/matrix ./scripts/vm/matrix
	$(VMBIN)/matrix --kernel 6.1,6.12 --fs ext4,ext4-1k,ext3,ext3-1k --runs 10 -- --dirty mmap=1,write=1,fsync=1,sync_file_range=1

# The test suite itself, in machines.
test-vm: vm-packages-boot
	@CGO_ENABLED=0 go build -o $(VMBIN)/exec ./scripts/vm/exec
	@failed=; for k in $(VMTESTKERNELS); do \
		echo "== kernel $$k"; \
		set -o pipefail; DIOSTRESS_VM_KERNEL=$$k CGO_ENABLED=0 go test -json -count=1 -p 2 -timeout 40m -exec "$(CURDIR)/$(VMBIN)/exec" $(VMTESTS) | go run ./scripts/testsum || failed="$$failed $$k"; \
	done; [ -z "$$failed" ] || { echo "failed on:$$failed"; exit 1; }

# Broken kernels; writes docs/track-record.md. The first time it builds a kernel: minutes.
vm-faults: vm-packages vm-kernel
	@go build -o $(VMBIN)/trackrecord ./scripts/vm/trackrecord
	$(VMBIN)/trackrecord --doc docs/track-record.md

# The kernel with the code of 2007 in it, for vm-faults. Minutes; then cached.
vm-kernel: vm-packages
	go run ./scripts/vm/kernel
