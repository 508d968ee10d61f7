"""The only folder that names MiniStack."""
