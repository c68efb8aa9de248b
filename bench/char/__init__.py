# SPDX-License-Identifier: GPL-2.0-only
"""Benchmark of the ways in which a program of a guest uses the device."""
