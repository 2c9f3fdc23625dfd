"""OpenAPI documents of small apps, checked by a public validator."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator

from wsgiserve import App


def document(app: App) -> dict[str, Any]:
    """Return the document of an app, after the public validator has accepted it."""
    made = app.openapi(title="Notes", version="1.0")
    OpenAPIV31SpecValidator(json.loads(json.dumps(made))).validate()
    return made


def responses_of(view: Callable[..., object]) -> dict[str, Any]:
    """Return the responses of a view, and the components."""
    app = App()
    app.get("/")(view)
    made = document(app)
    return made["paths"]["/"]["get"]["responses"] | made.get("components", {}).get("schemas", {})


@dataclass
class Note:
    """A thing to remember."""

    id: int
    text: str
    parent: Note | None = None
    tags: list[str] = field(default_factory=list)
