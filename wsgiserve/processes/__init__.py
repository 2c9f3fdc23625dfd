"""Worker processes and the supervisor above them. The server half knows nothing of this package."""
