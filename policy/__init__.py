"""A Pulumi policy pack; `rules` are its rules."""
