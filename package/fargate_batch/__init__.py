"""The folders of fargate-batch under one name that is its own.

In a clone they are links to the folders at its root, in a wheel the folders themselves.
"""
