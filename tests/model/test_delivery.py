"""Delivery holds in every order of its steps; and each guard is there for something: without it, the model finds what
it prevents.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.model.delivery import GUARDS, Model, Violation, explore
from tests.model.scenarios import CAUGHT_BY, SCENARIOS

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def no_garbage_collection() -> Iterator[None]:
    """Do not look for cycles among a million tuples that have none: it would take a third of the time."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.parametrize("name", SCENARIOS)
def test_delivery_holds_in_every_order_of_its_steps(name):
    memory, begin = SCENARIOS[name]

    assert explore(Model(memory=memory), begin) > 10_000


def test_each_guard_has_a_scenario():
    assert CAUGHT_BY.keys() == GUARDS.keys()


@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_taken_out_is_found(guard):
    memory, begin = SCENARIOS[CAUGHT_BY[guard]]

    with pytest.raises(Violation):
        explore(Model(without=frozenset([guard]), memory=memory), begin)


def test_a_guard_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="No such guard: belief"):
        Model(without=frozenset(["belief"]))
