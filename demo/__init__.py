# SPDX-License-Identifier: GPL-2.0-only
"""The demonstration: two virtual machines and the host share memory."""
