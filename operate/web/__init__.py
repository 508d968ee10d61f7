"""The page: what the commands tell, in a browser of this machine."""
