"""A store on a local disk: it never leaves its folder, and never shows half a file."""
