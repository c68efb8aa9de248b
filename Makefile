# SPDX-License-Identifier: GPL-2.0-only
#
# The commands of the project. 'make help' lists them. User space is built by
# meson, the kernel modules by Kbuild; everything lands below build/.

PREFIX ?= /usr/local
KDIR ?= /lib/modules/$(shell uname -r)/build
PYTHON := /usr/bin/python3

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' \
		$(MAKEFILE_LIST)

.PHONY: setup
setup: ## install missing Debian packages, fetch the guest kernel
	@scripts/setup
	@scripts/fetch-kernel >/dev/null

.PHONY: userspace
userspace: ## build the library, the server and the tools (build/meson)
	@scripts/build-userspace

.PHONY: modules
modules: ## build the kernel modules for the kernel in KDIR (default: this one)
	@scripts/build-modules $(KDIR)

# For the lab's guests.
.PHONY: guest-modules
guest-modules:
	@scripts/build-modules "$$($(PYTHON) -m lab kernel --headers)"

.PHONY: clean
clean: ## remove what was built; fetched kernels and packages stay
	rm -rf build/meson build/modules build/test build/demo build/lab/vm
