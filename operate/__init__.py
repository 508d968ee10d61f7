"""What an operator does to a stack, on AWS and on a laptop's cloud alike, over AWS's API alone."""
