"""The server half: sockets, event loop, threads and the calling side of PEP 3333.

Read in this order: ``server`` (from outside), ``loop`` and ``leadership`` (who does what when),
``connection`` and ``custody`` (one socket, and who has it), ``exchange`` and ``reply`` (one call of the app,
and its response). The rest is beside them: see the table in ``docs/design.md``.
"""

from wsgiserve.server.errors import ClientDisconnected, ListenError
from wsgiserve.server.server import Server, serve

__all__ = ["ClientDisconnected", "ListenError", "Server", "serve"]
