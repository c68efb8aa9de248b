# SPDX-License-Identifier: GPL-2.0-only
"""The driver in virtual machines: what it promises, and what it survives."""
