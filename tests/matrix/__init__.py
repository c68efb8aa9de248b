# SPDX-License-Identifier: GPL-2.0-only
"""Every kernel that is supported: the modules build for it, and work on it."""
