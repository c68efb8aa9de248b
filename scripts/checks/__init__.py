# SPDX-License-Identifier: GPL-2.0-only
"""The static checks of this repository: what scripts/check runs.

A check is a function that looks at a tree and returns its findings; it is
entered in the table CHECKS by the decorator check(), in the order of import.
"""

from . import text, layers, languages, documents, release, attacks, userspace, kernel
from .base import CHECKS, CannotRun, Check, Finding, Outcome
from .tree import Tree

MODULES = (text, layers, languages, documents, release, attacks, userspace, kernel)

__all__ = ["CHECKS", "MODULES", "CannotRun", "Check", "Finding", "Outcome", "Tree"]
