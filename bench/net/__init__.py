# SPDX-License-Identifier: GPL-2.0-only
"""Benchmark of the network card between virtual machines."""
