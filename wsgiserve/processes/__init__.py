"""Worker processes and the supervisor above them. The server half does not import this package."""
