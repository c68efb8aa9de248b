# SPDX-License-Identifier: GPL-2.0-only
"""The network card in virtual machines: real programs, hostile peers, crashes."""
