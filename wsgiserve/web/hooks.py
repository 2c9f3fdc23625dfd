"""The hooks around a view: before it, after it, and at the end of every request.

*Before* hooks run from the app inwards, *after* and *teardown* hooks from the innermost group outwards. If a
before hook replies, its reply is the answer: the view and later before hooks are not called. After hooks get
every response, also responses to errors. An exception of a hook is answered like an exception of a view, and
no further hook of that kind is called. An exception of a teardown hook is only logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from werkzeug.wrappers import Response

from wsgiserve.web.groups import Chain
from wsgiserve.web.head import Rendered
from wsgiserve.web.replies import close_items, make_response, to_response
from wsgiserve.web.requests import Request
from wsgiserve.web.views import View, describe, never_ran

logger = logging.getLogger("wsgiserve.app")


class Hooks(NamedTuple):
    """The hooks to call around a view, in this order."""

    before: tuple[View, ...]
    after: tuple[View, ...]
    teardown: tuple[View, ...]


def hooks_of(chain: Chain) -> Hooks | None:
    """Collect the hooks of a route's groups; None if there are none."""
    hooks = Hooks(
        tuple(hook for group in chain for hook in group.before),
        tuple(hook for group in reversed(chain) for hook in group.after),
        tuple(hook for group in reversed(chain) for hook in group.teardown),
    )
    return hooks if any(hooks) else None


def respond(
    hooks: Hooks,
    request: Request,
    call: Callable[[], object],
    view: View,
    answer: Callable[[Request, Exception], Rendered | Response],
) -> Response:
    """Call a view and its hooks; ``answer`` makes a response to an exception."""
    failed: Exception | None = None
    finish = partial(_tear_down, hooks.teardown, request)
    try:
        try:
            response = _ask(hooks.before, request) or make_response(call(), view)
        except Exception as error:  # noqa: BLE001 -- answer answers or raises it
            failed = error
            response = to_response(answer(request, error))
        try:
            response = _change(hooks.after, request, response)
        except Exception as error:  # noqa: BLE001
            response.close()
            failed = error
            response = to_response(answer(request, error))
    except BaseException:
        finish(failed)
        raise
    if response.is_streamed and not response.direct_passthrough:
        # The generator of the view still runs, and may need resources that a teardown hook frees.
        response.response = stream = _Watched(response.response, failed)
        response.call_on_close(lambda: finish(stream.failed))
    else:
        finish(failed)
    return response


class _Watched:
    """A stream that keeps the exception it raised."""

    def __init__(self, items: Iterable[Any], failed: Exception | None) -> None:
        self._items = items
        self.failed = failed

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._items
        except Exception as error:
            self.failed = error
            raise

    def close(self) -> None:
        close_items(self._items)


def _ask(hooks: tuple[View, ...], request: Request) -> Response | None:
    for hook in hooks:
        reply = hook(request)
        if reply is not None:
            return make_response(reply, hook)
    return None


def _change(hooks: tuple[View, ...], request: Request, response: Response) -> Response:
    for hook in hooks:
        changed = hook(request, response)
        if changed is not None and not isinstance(changed, Response):
            raise TypeError(
                f"after_request {describe(hook)} returned {type(changed).__name__}; "
                "return the response, another Response or None"
            )
        if changed is not None and changed.response is not response.response:
            changed.call_on_close(response.close)
        response = response if changed is None else changed
    return response


def _tear_down(hooks: tuple[View, ...], request: Request, failed: Exception | None) -> None:
    for hook in hooks:
        try:
            if never_ran(result := hook(request, failed)):
                raise TypeError(f"returned {type(result).__name__}, so its code did not run")
        except Exception as error:
            logger.error("teardown_request %s: %s", describe(hook), error, exc_info=error)
