"""The services that are here, and AWS's own descriptions of them, as botocore has those."""

import functools
import os
from typing import TYPE_CHECKING

import botocore.session

if TYPE_CHECKING:
    from botocore.model import ServiceModel

SERVICES = {
    "dynamodb": "dynamodb",
    "ec2": "ec2",
    "ecr": "ecr",
    "ecs": "ecs",
    "events": "events",
    "iam": "iam",
    "kms": "kms",
    "lambda": "lambda",
    "logs": "logs",
    "monitoring": "cloudwatch",
    "s3": "s3",
    "scheduler": "scheduler",
    "secretsmanager": "secretsmanager",
    "servicequotas": "service-quotas",
    "sns": "sns",
    "sqs": "sqs",
    "ssm": "ssm",
    "states": "stepfunctions",
    "sts": "sts",
}
"""The services that the program uses, and no others answer: what requests are signed for, and what
the SDK calls it."""


@functools.cache
def session() -> botocore.session.Session:
    """One for the process, which keeps what it read; it knows no settings of this machine."""
    return botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )


@functools.cache
def model(service: str) -> "ServiceModel":
    """The description of a service by what its requests are signed for."""
    return session().get_service_model(SERVICES[service])
