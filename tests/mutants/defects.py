# SPDX-License-Identifier: GPL-2.0-only
"""All of them."""

from . import headers, kernel, userspace

DEFECTS = [*headers.DEFECTS, *userspace.DEFECTS, *kernel.DEFECTS]
