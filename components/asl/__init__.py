"""State machine definitions, as plain data."""
