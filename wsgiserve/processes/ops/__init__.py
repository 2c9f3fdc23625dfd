"""The ops endpoint (``--ops-bind``): a few pages about the server, which the supervisor serves itself."""
