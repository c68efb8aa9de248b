# SPDX-License-Identifier: GPL-2.0-only
"""Tests of releases, and of what happens where old and new ones meet."""
