# SPDX-License-Identifier: GPL-2.0-only
"""What of 'make proof' is quick: each prover proves something, and can fail."""

import re
from pathlib import Path

import pytest

from proof import cbmc, herd, relacy, spin
from proof.mutants import CHECKED, UNORDERED, Mutant

PROOFS = ['prove_want_data', 'prove_publish', 'prove_release', 'prove_bind',
          'prove_control', 'prove_place', 'prove_look', 'prove_join_leave',
          'prove_link_end', 'prove_link_check', 'prove_parse_hello']
SEARCHES = ['one crash, both come up', 'two crashes, both come up',
            'three peers, one crash', 'three choose slots']
# One for each header, and of each kind.
VALUES = ['prod-jumps', 'session-before-index', 'placed-outside', 'name-unprintable',
          'peer-unseen', 'hello-any-queues']
ORDERS = ['withdraw-without-barrier', 'announce-relaxed', 'ack-relaxed', 'epoch-relaxed']
PATHS = ['session-before-index', 'no-check-before-batch', 'ack-of-another',
         'slots-no-second-look']


def named(found: list, names: list[str]) -> list:
    """Those called @names, each of which is there."""
    by_name = {item.name: item for item in found}
    return [pytest.param(by_name[name], id=name) for name in names]


@pytest.mark.attack("A11", "A12", "A14", "A21")
@pytest.mark.parametrize('name', PROOFS)
def test_a_proof_by_cbmc_holds(name: str):
    verdict = cbmc.prove(name)
    assert verdict.holds, verdict.failures()
    assert verdict.properties > 0


@pytest.mark.parametrize('mutant', named(CHECKED, VALUES))
def test_cbmc_finds_a_mistake(tmp_path: Path, mutant: Mutant):
    verdict = cbmc.prove(mutant.found_by, mutant.make(tmp_path))
    assert not verdict.holds
    assert verdict.failures()


@pytest.mark.attack("A05", "A10")
@pytest.mark.parametrize('search', named(spin.SEARCHES, SEARCHES))
def test_a_search_by_spin_finds_nothing(tmp_path: Path, search: spin.Search):
    verdict = spin.run(search, tmp_path)
    assert verdict.holds, verdict.output[-3000:]


@pytest.mark.parametrize('search', named(spin.MISTAKES, PATHS))
def test_spin_finds_a_mistake(tmp_path: Path, search: spin.Search):
    verdict = spin.run(search, tmp_path)
    assert not verdict.holds
    # Or a run that comes to rest where it may not
    assert re.search('assertion violated|invalid end state', verdict.output)


@pytest.mark.attack("A19")
def test_relacy_finds_no_wrong_order_of_the_link(tmp_path: Path):
    verdict = relacy.run('link_relacy', tmp_path)
    assert verdict.holds, verdict.output


@pytest.mark.parametrize('mutant', named(UNORDERED, ORDERS))
def test_relacy_finds_a_mistake(tmp_path: Path, mutant: Mutant):
    verdict = relacy.run(mutant.found_by, tmp_path, mutant.make(tmp_path))
    assert not verdict.holds, verdict.output


@pytest.mark.attack("A19")
@pytest.mark.parametrize('test', [pytest.param(test, id=test.stem)
                                  for test in herd.tests()])
def test_the_memory_model_says_what_the_litmus_test_does(test: Path):
    assert herd.run(test) == herd.expected(test)


def test_each_litmus_test_can_fail():
    names = {test.stem: herd.expected(test) for test in herd.tests()}
    strong = {name for name, result in names.items() if result == 'Never'}
    assert {name for name, result in names.items() if result == 'Sometimes'} == {
        f'{name}-weak' for name in strong}
    assert len(strong) >= 10


def test_every_mistake_is_put_to_a_prover_that_exists():
    assert {mutant.found_by for mutant in CHECKED} <= set(cbmc.proofs())
    assert {mutant.found_by for mutant in UNORDERED} <= set(relacy.programs())
    names = [mutant.name for mutant in CHECKED + UNORDERED]
    assert len(names) == len(set(names))
