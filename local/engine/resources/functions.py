"""Functions, their permissions and their retries → AWS Lambda."""

import base64
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pulumi

from local.engine.resources.context import Context, given, pascal
from local.engine.resources.handler import Handler, Name, put, retag
from local.engine.state import Created, Properties, Registration, State


def function(context: Context, registration: Registration) -> Created:
    """A function with the code that the program points at, zipped from disk."""
    inputs = registration.inputs
    name: str = inputs["name"]
    archive = zipped(inputs["code"], context.root)
    tracing: Properties | None = inputs.get("tracingConfig")
    if tracing and tracing["mode"] == "Active":
        context.not_honoured("X-Ray traces nothing", registration)
    made = context.functions.create_function(
        FunctionName=name,
        Code={"ZipFile": archive},
        **given(
            Architectures=inputs.get("architectures"),
            Publish=inputs.get("publish"),
            Tags=inputs["tags"] or None,
        ),
        **_configuration(inputs),
    )
    _reserve(context, name, inputs)
    arn = made["FunctionArn"]
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
            **_code(archive),
        },
    )


def _configuration(inputs: Properties) -> dict[str, Any]:
    dead_letters: Properties | None = inputs.get("deadLetterConfig")
    environment: Properties | None = inputs.get("environment")
    return given(
        Role=inputs["role"],
        Handler=inputs.get("handler"),
        Runtime=inputs.get("runtime"),
        Description=inputs.get("description"),
        MemorySize=inputs.get("memorySize"),
        Timeout=inputs.get("timeout"),
        Layers=inputs.get("layers"),
        Environment=environment and {"Variables": environment.get("variables") or {}},
        EphemeralStorage=pascal(inputs.get("ephemeralStorage")),
        LoggingConfig=pascal(inputs.get("loggingConfig")),
        TracingConfig=pascal(inputs.get("tracingConfig")),
        DeadLetterConfig=dead_letters and {"TargetArn": dead_letters["targetArn"]},
    )


def _reserve(context: Context, name: str, inputs: Properties) -> None:
    concurrency = inputs.get("reservedConcurrentExecutions")
    if concurrency is not None and concurrency >= 0:
        context.functions.put_function_concurrency(
            FunctionName=name, ReservedConcurrentExecutions=concurrency
        )


def _code(archive: bytes) -> Properties:
    digest = _digest(archive)
    return {"codeSha256": digest, "sourceCodeHash": digest, "sourceCodeSize": len(archive)}


def _digest(archive: bytes) -> str:
    return base64.b64encode(hashlib.sha256(archive).digest()).decode()


def _with_hash(context: Context, inputs: Properties) -> Properties:
    """The inputs with the hash of the code, by which a change of it shows."""
    # In a preview the code may be unknown, as what is in it is.
    if not isinstance(inputs.get("code"), pulumi.Asset | pulumi.Archive):
        return inputs
    return inputs | {"sourceCodeHash": _digest(zipped(inputs["code"], context.root))}


def _update_function(
    context: Context, registration: Registration, before: State
) -> Properties | None:
    inputs, functions, name = registration.inputs, context.functions, before.id
    emptied: dict[str, Any] = {"Environment": {"Variables": {}}, "Description": ""}
    functions.update_function_configuration(FunctionName=name, **emptied | _configuration(inputs))
    _reserve(context, name, inputs)
    if inputs.get("reservedConcurrentExecutions", -1) < 0:
        functions.delete_function_concurrency(FunctionName=name)
    retag(registration, before, functions, dict, Resource=before.outputs["arn"])
    keys = ("sourceCodeHash", "architectures")
    if all(inputs.get(key) == before.inputs.get(key) for key in keys):
        return None
    archive = zipped(inputs["code"], context.root)
    functions.update_function_code(
        FunctionName=name, ZipFile=archive, **given(Architectures=inputs.get("architectures"))
    )
    return _code(archive)


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
    statement: str = inputs["statementId"]
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


HANDLERS: dict[str, Handler] = {
    "aws:lambda/function:Function": Handler(
        function,
        lambda c, s: c.functions.delete_function(FunctionName=s.id),
        _update_function,
        frozenset({"name", "namePrefix", "packageType"}),
        lambda c, s: c.functions.get_function(FunctionName=s.id),
        name=Name(64),
        tagged=True,
        check=_with_hash,
    ),
    "aws:lambda/permission:Permission": Handler(
        permission,
        lambda c, s: c.functions.remove_permission(
            FunctionName=s.inputs["function"], StatementId=s.id
        ),
        exists=lambda c, s: c.functions.get_policy(FunctionName=s.inputs["function"]),
        name=Name(100, key="statementId"),
    ),
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": Handler(
        event_invoke_config,
        lambda c, s: c.functions.delete_function_event_invoke_config(
            FunctionName=s.inputs["functionName"], **given(Qualifier=s.inputs.get("qualifier"))
        ),
        put(event_invoke_config),
        frozenset({"functionName", "qualifier"}),
        lambda c, s: c.functions.get_function_event_invoke_config(
            FunctionName=s.inputs["functionName"], **given(Qualifier=s.inputs.get("qualifier"))
        ),
    ),
}
