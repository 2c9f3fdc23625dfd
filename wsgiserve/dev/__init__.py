"""Development mode, ``wsgiserve --dev``: the code on the disk is what answers, and says so while it cannot.

``parent`` holds the sockets and watches files (``watch``). It never imports the app; that is what a process
of its own is for, ``child``, one for each version of the code. When files change the parent starts the next
child, and only once that has imported the app does it end the one before. ``page`` is what a child puts
around the app. Imported for ``--dev`` only; the server half knows nothing of it.
"""

VARIABLE = "WSGISERVE_DEV_CHILD"  # in the environment of a child: what its parent tells it
