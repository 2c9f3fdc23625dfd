"""Development mode, ``wsgiserve --dev``: saved code is served at once, and broken code is shown.

``parent`` holds the listeners, and ``watch`` tells it when files change. It never imports the app. Each
version of the code has a process of its own, ``child``: after a change the parent starts the next child, and
ends the one before only when the new one has imported the app. ``page`` is the child's middleware around the
app. Only ``--dev`` imports this package.
"""
