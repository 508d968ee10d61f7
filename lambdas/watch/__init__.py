"""What was not delivered, did not happen or goes on for too long becomes a message, once."""
