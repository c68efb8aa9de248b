# SPDX-License-Identifier: GPL-2.0-only
"""What the documents say: commands, screens, options."""
