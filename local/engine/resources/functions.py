"""Functions, their permissions and their retries → AWS Lambda."""

import base64
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pulumi

from local.engine.monitor import Created, Properties, Registration
from local.engine.resources.context import Context, Creator, given, pascal


def function(context: Context, registration: Registration) -> Created:
    """A function with the code that the program points at, zipped from disk."""
    inputs = registration.inputs
    name = context.name(registration, limit=64)
    archive = zipped(inputs["code"], context.project.root)
    concurrency = inputs.get("reservedConcurrentExecutions")
    dead_letters: Properties | None = inputs.get("deadLetterConfig")
    environment: Properties | None = inputs.get("environment")
    tracing: Properties | None = inputs.get("tracingConfig")
    if tracing and tracing["mode"] == "Active":
        context.not_honoured("X-Ray traces nothing", registration)
    made = context.functions.create_function(
        FunctionName=name,
        Role=inputs["role"],
        Code={"ZipFile": archive},
        **given(
            Handler=inputs.get("handler"),
            Runtime=inputs.get("runtime"),
            Architectures=inputs.get("architectures"),
            Description=inputs.get("description"),
            MemorySize=inputs.get("memorySize"),
            Timeout=inputs.get("timeout"),
            Layers=inputs.get("layers"),
            Publish=inputs.get("publish"),
            Environment=environment and {"Variables": environment.get("variables") or {}},
            EphemeralStorage=pascal(inputs.get("ephemeralStorage")),
            LoggingConfig=pascal(inputs.get("loggingConfig")),
            TracingConfig=pascal(tracing),
            DeadLetterConfig=dead_letters and {"TargetArn": dead_letters["targetArn"]},
            Tags=context.tags(inputs) or None,
        ),
    )
    if concurrency is not None and concurrency >= 0:
        context.functions.put_function_concurrency(
            FunctionName=name, ReservedConcurrentExecutions=concurrency
        )
    arn = made["FunctionArn"]
    digest = base64.b64encode(hashlib.sha256(archive).digest()).decode()
    invoke = (
        f"arn:aws:apigateway:{context.region}:lambda:path/2015-03-31/functions/{arn}/invocations"
    )
    return Created(
        name,
        {
            "arn": arn,
            "name": name,
            "invokeArn": invoke,
            "version": made["Version"],
            "qualifiedArn": f"{arn}:{made['Version']}",
            "codeSha256": digest,
            "sourceCodeHash": digest,
            "sourceCodeSize": len(archive),
        },
    )


def zipped(code: object, root: Path) -> bytes:
    """A program's asset or archive as the bytes of a zip file; bytecode is left out.

    Raises:
        ValueError: the code is somewhere else than in files or in the program.
    """
    if isinstance(code, pulumi.FileArchive) and (root / code.path).is_file():
        return (root / code.path).read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(_files(code, root, "").items()):
            # A fixed date: the same code is the same zip file, and has the same hash.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def _files(code: object, root: Path, name: str) -> dict[str, bytes]:
    match code:
        case pulumi.StringAsset():
            return {name: code.text.encode()}
        case pulumi.FileAsset():
            return {name: (root / str(code.path)).read_bytes()}
        case pulumi.FileArchive():
            folder = root / code.path
            if not folder.is_dir():
                raise FileNotFoundError(f"the code is to be in {folder}, which is not a folder")
            prefix = f"{name}/" if name else ""
            return {
                f"{prefix}{path.relative_to(folder).as_posix()}": path.read_bytes()
                for path in folder.rglob("*")
                if path.is_file() and "__pycache__" not in path.parts
            }
        case pulumi.AssetArchive():
            assets: dict[str, Any] = code.assets
            files: dict[str, bytes] = {}
            for key, asset in assets.items():
                files |= _files(asset, root, f"{name}/{key}" if name else key)
            return files
        case _:
            raise ValueError(f"the code is a {type(code).__name__}: give files of the project")


def permission(context: Context, registration: Registration) -> Created:
    """Who may invoke a function."""
    inputs = registration.inputs
    statement = context.name(registration, limit=100, key="statementId")
    context.functions.add_permission(
        FunctionName=inputs["function"],
        StatementId=statement,
        Action=inputs["action"],
        Principal=inputs["principal"],
        **given(
            SourceArn=inputs.get("sourceArn"),
            SourceAccount=inputs.get("sourceAccount"),
            Qualifier=inputs.get("qualifier"),
        ),
    )
    return Created(statement, {"statementId": statement})


def event_invoke_config(context: Context, registration: Registration) -> Created:
    """How often, and for how long, an asynchronous invocation is tried again."""
    inputs = registration.inputs
    destinations: Properties | None = inputs.get("destinationConfig")
    context.functions.put_function_event_invoke_config(
        FunctionName=inputs["functionName"],
        **given(
            Qualifier=inputs.get("qualifier"),
            MaximumRetryAttempts=inputs.get("maximumRetryAttempts"),
            MaximumEventAgeInSeconds=inputs.get("maximumEventAgeInSeconds"),
            DestinationConfig=pascal(destinations),
        ),
    )
    return Created(inputs["functionName"], {})


CREATORS: dict[str, Creator] = {
    "aws:lambda/function:Function": function,
    "aws:lambda/permission:Permission": permission,
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": event_invoke_config,
}
