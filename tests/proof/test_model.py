# SPDX-License-Identifier: GPL-2.0-only
"""The model of the link and the code that was written after it say the same."""

import re

from lab.paths import ROOT
from proof import spin

DOCUMENT = ROOT / 'Documentation/wire-format.rst'
RING = ROOT / 'include/ivshmem/ring.h'


def test_model_and_code_name_the_same_states():
    assert spin.states_of_model() == spin.states_of_code()
    assert len(spin.states_of_code()) == 4


def test_each_step_in_the_code_has_its_line_in_the_model():
    assert spin.marks(spin.LINK) == spin.marks(spin.MODEL)
    assert spin.marks(spin.PEERS) <= spin.marks(spin.MODEL)
    assert len(spin.marks(spin.LINK)) >= 10


def test_the_document_names_the_same_steps():
    assert set(spin.MARK.findall(DOCUMENT.read_text())) == spin.marks(spin.MODEL)


def test_the_model_names_functions_of_the_code():
    text = spin.MODEL.read_text()
    names = set(re.findall(r'\b(iv(?:link|ring)_\w+)\(\)', text))
    code = spin.LINK.read_text() + RING.read_text()
    assert len(names) >= 8
    assert not {name for name in names if f'{name}(' not in code}


def test_every_mistake_that_the_model_can_have_is_searched():
    for model in (spin.MODEL, spin.SLOTS):
        possible = set(re.findall(r'^#ifn?def ([A-Z_]+)$', model.read_text(), re.M)) - {
            'EVENTS', 'RECORDS', 'ROLLBACK', 'ROLLBACK_ONLY', 'STOPS', 'CLAIMANTS'}
        searched = {option for search in spin.MISTAKES for option in search.options
                    if option in possible and search.model == model}
        assert searched == possible
