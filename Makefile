# SPDX-License-Identifier: GPL-2.0-only
#
# The commands of the project; 'make help' lists them. User space is built by
# meson, the kernel modules by Kbuild, and everything lands below build/.

PREFIX ?= /usr/local
DESTDIR ?=
KDIR ?= /lib/modules/$(shell uname -r)/build
PYTHON := /usr/bin/python3

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: ## two virtual machines and the host talk through shared memory
	@scripts/setup build lab
	@scripts/build-userspace
	@scripts/build-modules "$$($(PYTHON) -m lab kernel --headers)"
	@$(PYTHON) -m demo

.PHONY: test
test: ## run all tests; ends with "N passed, N failed"
	@scripts/setup
	@scripts/setup package
	@scripts/build-userspace
	@scripts/build-modules "$$($(PYTHON) -m lab kernel --headers)"
	@scripts/test

.PHONY: test-hostile
test-hostile: ## attack guests and programs; with HOURS=8, at random for so long
	@scripts/setup
	@scripts/build-userspace
	@scripts/build-modules "$$($(PYTHON) -m lab kernel --headers)"
	@HOURS="$(or $(HOURS),0)" scripts/test tests/hostile

.PHONY: fuzz
fuzz: ## make random calls of the driver for HOURS=1 (KERNEL=debug: guided by coverage)
	@scripts/setup build lab test $(if $(KERNEL),debug)
	@scripts/build-userspace
	@KERNEL="$(KERNEL)" HOURS="$(or $(HOURS),1)" scripts/test -n 0 -s -k hours tests/uapi_fuzz

.PHONY: test-debug
test-debug: ## run tests in guests on kernels that check themselves (KERNEL=, TESTS=, RESUME=1)
	@scripts/setup
	@scripts/setup debug
	@scripts/build-userspace
	@scripts/test-debug $(if $(KERNEL),--kernel=$(KERNEL)) $(if $(RESUME),--resume) $(TESTS)

.PHONY: test-matrix
test-matrix: ## the modules on every kernel that is supported (KERNEL=, TESTS=; build/matrix.json)
	@scripts/setup
	@scripts/build-userspace
	@scripts/test-matrix $(if $(KERNEL),--kernel=$(KERNEL)) $(TESTS)

.PHONY: bench
bench: ## measure doorbells beside a driver in user space (build/bench/doorbell.json)
	@scripts/setup build lab
	@scripts/build-userspace
	@scripts/build-modules "$$($(PYTHON) -m lab kernel --headers)"
	@$(PYTHON) -m bench.doorbell

.PHONY: bench-ring
bench-ring: ## measure the ring beside pipes, sockets, queues (build/bench/ring.json)
	@scripts/setup build
	@scripts/build-userspace
	@$(PYTHON) -m bench.ring

.PHONY: bench-channel
bench-channel: ## measure channels between guests beside TCP (build/bench/channel.json)
	@scripts/setup build lab test
	@scripts/build-userspace
	@scripts/build-modules "$$($(PYTHON) -m lab kernel --headers)"
	@$(PYTHON) -m bench.channel

.PHONY: bench-char
bench-char: ## measure the driver beside VFIO and polling (build/bench/char.json)
	@scripts/setup build lab test
	@scripts/build-userspace
	@scripts/build-modules "$$($(PYTHON) -m lab kernel --headers)"
	@$(PYTHON) -m bench.char

.PHONY: bench-net
bench-net: ## measure the network card beside virtio-net, e1000e (build/bench/net.json)
	@scripts/setup build lab test
	@scripts/build-userspace
	@scripts/build-modules "$$($(PYTHON) -m lab kernel --headers)"
	@$(PYTHON) -m bench.net

.PHONY: bench-blk
bench-blk: ## measure the disk beside virtio-blk, NVMe (build/bench/blk.json)
	@scripts/setup build lab
	@scripts/build-userspace
	@scripts/build-modules "$$($(PYTHON) -m lab kernel --headers)"
	@$(PYTHON) -m bench.blk

ROUNDS ?= 200

.PHONY: crash
crash: ## kill everything, ROUNDS=200 times, under load (SEED=N; build/campaign/crash.json)
	@scripts/setup build lab test
	@scripts/build-userspace
	@scripts/build-modules "$$($(PYTHON) -m lab kernel --headers)"
	@$(PYTHON) -m tests.campaign crash --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED))

.PHONY: soak
soak: ## everything at once for HOURS=1, and whether anything grows (build/soak/soak.svg)
	@scripts/setup build lab test
	@scripts/build-userspace
	@scripts/build-modules "$$($(PYTHON) -m lab kernel --headers)"
	@$(PYTHON) -m tests.campaign soak --hours $(or $(HOURS),1) $(if $(SEED),--seed $(SEED))

.PHONY: assurance
assurance: ## what the last whole runs have found, in one (build/assurance.json)
	@$(PYTHON) scripts/assurance

.PHONY: proof
proof: ## prove the shared format, for all that a hostile peer can do
	@scripts/setup build test
	@$(PYTHON) -m proof

.PHONY: mutants
mutants: ## put defects into the sources, and see that the tests notice (ONLY=, RESUME=1)
	@scripts/setup
	@$(PYTHON) -m tests.mutants $(if $(ONLY),--only $(ONLY)) $(if $(RESUME),--resume)

.PHONY: place
place: ## the drivers into the sources of a kernel, TREE=~/linux
	@$(PYTHON) -m upstream place "$(TREE)"

.PHONY: upstream
upstream: ## a series of patches for the kernel, checked and run (build/upstream/series)
	@scripts/setup
	@scripts/setup debug upstream
	@scripts/build-userspace
	@$(PYTHON) -m upstream check
	@UPSTREAM=1 scripts/test tests/upstream

.PHONY: check
check: ## look for mistakes in the sources without running them
	@scripts/setup build lab check docs
	@scripts/check

.PHONY: docs
docs: ## render the documents and manual pages as HTML (build/docs)
	@scripts/setup docs
	@scripts/build-docs

.PHONY: shell
shell: ## two virtual machines to type into, with the driver loaded
	@scripts/setup build lab
	@scripts/build-userspace
	@scripts/build-modules "$$($(PYTHON) -m lab kernel --headers)"
	@$(PYTHON) -m lab shell $(VM)

.PHONY: userspace
userspace: ## build the library, the server and the tools (build/meson)
	@scripts/build-userspace --prefix=$(PREFIX)

.PHONY: modules
modules: ## build the kernel modules for KDIR (default: the running kernel)
	@scripts/build-modules "$(KDIR)"

.PHONY: install
install: install-userspace install-modules ## both of the following

.PHONY: install-userspace
install-userspace: userspace ## library, server and tools, below DESTDIR and PREFIX
	@DESTDIR="$(DESTDIR)" meson install -C build/meson --no-rebuild
	@[ "$(DESTDIR)" ] || ldconfig

.PHONY: install-modules
install-modules: ## modules for KDIR, rules of udev
	@scripts/install-modules "$(KDIR)" "$(DESTDIR)" "$(PREFIX)"

.PHONY: install-dkms
install-dkms: ## sources of the modules, which dkms builds for each kernel
	@scripts/install-dkms "$(DESTDIR)" "$(PREFIX)"

.PHONY: uninstall
uninstall: userspace ## remove what these have installed below DESTDIR and PREFIX
	@scripts/uninstall "$(DESTDIR)" "$(PREFIX)"

.PHONY: packages
packages: ## build Debian packages of the last commit (build/packages)
	@scripts/setup build package
	@scripts/build-packages

.PHONY: test-packages
test-packages: ## packages, the quick start, and tracing, as users have them (as root; half an hour)
	@[ "$$(id -u)" = 0 ] || { echo "make test-packages: needs root, who can make files \
		of other users" >&2; exit 1; }
	@scripts/setup
	@scripts/setup package machine
	@scripts/build-userspace
	@scripts/build-modules "$$($(PYTHON) -m lab kernel --headers)"
	@scripts/test -n 0 tests/packages/machine.py tests/packages/secure_boot.py \
		tests/packages/clean.py tests/documents/tracing.py

.PHONY: dist
dist: ## the tarball of a release, of what is committed (build/dist)
	@scripts/dist

.PHONY: setup
setup: ## install missing Debian packages, fetch the guest kernel
	@scripts/setup
	@scripts/fetch-kernel

.PHONY: clean
clean: ## remove what was built; kernels, and what was fetched, stay
	rm -rf build/meson build/modules build/test build/demo build/campaign build/soak \
		build/docs build/doctrees build/dist build/mutants build/meson-arm64 \
		build/packages build/lab/vm
