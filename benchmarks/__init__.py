"""What `make bench` measures: each module's `run()` gives rows of a label and a value."""
