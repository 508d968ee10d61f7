"""Lambda: functions that run in processes."""
