# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns: three virtual machines under load for a long time, while things die."""
