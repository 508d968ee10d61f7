"""IAM: every call is authorised with the role that makes it."""
