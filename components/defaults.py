"""What an argument is when it is not given: said here, for the components and the stack's settings.

A constant is named after the key of the Args, or after both. A test holds the docstrings to them.
"""

from typing import Final

ARCHITECTURE: Final = "X86_64"
ASSIGN_PUBLIC_IP: Final = True
BACKFILLS: Final = False
CHAT: Final = False
CIDR: Final = "10.0.0.0/16"
CONTAINER_INSIGHTS: Final = "enabled"
COUNT: Final = 1
CPU: Final = 512
ENABLED: Final = True
ESSENTIAL: Final = False
GRACE_SECONDS: Final = 900
HEALTHCHECK_INTERVAL: Final = 30
HEALTHCHECK_RETRIES: Final = 3
HEALTHCHECK_START_PERIOD: Final = 0
HEALTHCHECK_TIMEOUT: Final = 5
IAM_AUTHORIZATION: Final = True
INIT_PROCESS: Final = False
KEEP_EVENT: Final = True
LAUNCHES_PER_SECOND: Final = 20
LIFTED: Final = False
LOG_MODE: Final = "blocking"
LOG_RETENTION_DAYS: Final = 30
MAXIMUM_AGE_SECONDS: Final = 3600
MEMORY: Final = 1024
NAT: Final = False
NOTIFICATIONS: Final = "replace"
ON_FAILURE: Final = "stop"
ON_WARNING: Final = "continue"
OVERLAP: Final = "skip"
PAUSED: Final = False
PLATFORM_VERSION: Final = "1.4.0"
PROTECT: Final = True
READ_ONLY: Final = False
READONLY_ROOT_FILESYSTEM: Final = False
RETRIES: Final = 5
RETRY_EXIT_CODES: Final = (75,)
RUNBOOK: Final = "docs/operations.md"
SCHEDULE_RETRIES: Final = 185
SPOT: Final = False
SPOT_INTERRUPTIONS: Final = 2
STOP_TIMEOUT: Final = 30
TIMEOUT_SECONDS: Final = 3600
TIMEZONE: Final = "UTC"
TRANSIT_ENCRYPTION: Final = True
