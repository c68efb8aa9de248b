# SPDX-License-Identifier: GPL-2.0-only
"""Defects that are put into the product, and whether its tests notice them."""
