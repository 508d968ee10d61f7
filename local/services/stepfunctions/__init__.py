"""Step Functions: the interpreter of state machines."""
