# SPDX-License-Identifier: GPL-2.0-only
"""The drivers as a part of a kernel tree, and as a series of patches for it.

python3 -m upstream has the commands; Documentation/upstream.rst tells about them.
"""
