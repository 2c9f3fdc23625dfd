"""The server half: sockets, event loop, threads and the calling side of PEP 3333.

One process serves in here; ``wsgiserve.processes`` is above. ``docs/design.md`` lists the modules, and
``docs/reading-guide.md`` leads through them.
"""

from wsgiserve.server.errors import ClientDisconnected, ListenError
from wsgiserve.server.server import Server, serve

__all__ = ["ClientDisconnected", "ListenError", "Server", "serve"]
