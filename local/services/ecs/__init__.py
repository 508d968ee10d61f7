"""ECS: a task is a process."""
