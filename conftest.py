"""``pytest`` runs the quick tests, ``pytest --slow`` all of them."""

from __future__ import annotations

import gc

import pytest

# Collecting makes thousands of objects that stay; looking at them for garbage costs a fifth of the time.
gc.disable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that are marked slow too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.get_closest_marker("slow")]


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
