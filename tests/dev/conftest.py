"""Projects that are developed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dev.project import Project
from tests.server.client import SECONDS


@pytest.fixture
def develop(tmp_path: Path) -> Iterator[Callable[..., Project]]:
    projects = []

    def develop(*arguments: str, **options: object) -> Project:
        project = Project(tmp_path, *arguments, **options)
        projects.append(project)
        return project

    yield develop
    for project in projects:
        project.program.process.terminate()
        try:
            project.program.process.wait(SECONDS)
        finally:
            project.program.process.kill()
            project.reader.join(SECONDS)
            project.program.process.stdout.close()
            project.program.process.stderr.close()
