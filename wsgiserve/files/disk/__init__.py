"""Files on a local disk: every check of a path, and publishing whole files only."""
