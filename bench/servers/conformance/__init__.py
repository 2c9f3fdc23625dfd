"""The byte tables of the tests, sent to several servers: `python -m bench.servers.conformance`."""
