# SPDX-License-Identifier: GPL-2.0-only
"""Benchmark of channels between virtual machines."""
