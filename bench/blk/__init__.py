# SPDX-License-Identifier: GPL-2.0-only
"""Benchmark of the disk of a virtual machine."""
