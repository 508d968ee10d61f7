"""Pulumi's Python language host, as far as the tests need it: programs and policy packs run here.

The engine starts it with its address, reads the port from standard output and calls it by gRPC. The
real one is made of Go and comes with Pulumi's command line only; what it does is taken from
https://github.com/pulumi/pulumi/tree/master/sdk/python/cmd.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

SHOWN = 32
"""The exit status of a program that has told the user why it ended."""


class Host(language_pb2_grpc.LanguageRuntimeServicer):
    """Runs what it is asked to in a process of this Python each."""

    def __init__(self, engine: str) -> None:
        self._engine = engine

    def Handshake(  # noqa: N802 -- gRPC's name
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        del context
        self._engine = request.engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(  # noqa: N802 -- gRPC's name
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        del request, context
        return plugin_pb2.PluginInfo(version="3.0.0")

    def GetRequiredPackages(  # noqa: N802 -- gRPC's name
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        del request, context
        return language_pb2.GetRequiredPackagesResponse()

    def InstallDependencies(  # noqa: N802 -- gRPC's name
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        del request, context
        return iter(())

    def Run(  # noqa: N802 -- gRPC's name
        self, request: language_pb2.RunRequest, context: grpc.ServicerContext
    ) -> language_pb2.RunResponse:
        del context
        run: dict[str, Any] = {
            "project": request.project,
            "stack": request.stack,
            "organization": request.organization,
            "parallel": request.parallel,
            "preview": request.dryRun,
            "monitor": request.monitor_address,
            "engine": self._engine,
            "config": dict(request.config),
            "secrets": list(request.configSecretKeys),
            "program": os.path.join(request.info.program_directory, request.info.entry_point),  # noqa: PTH118 -- "." stays
        }
        status = subprocess.run(
            [sys.executable, "-u", __file__, "--run"],
            input=json.dumps(run),
            text=True,
            cwd=request.pwd,
            check=False,
        ).returncode
        if status in {0, SHOWN}:
            return language_pb2.RunResponse(bail=status == SHOWN)
        return language_pb2.RunResponse(error=f"program exited with non-zero exit code: {status}")

    def RunPlugin(  # noqa: N802 -- gRPC's name
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        env = dict(pair.split("=", 1) for pair in request.env)
        with subprocess.Popen(
            [sys.executable, "-u", request.info.program_directory, *request.args],
            cwd=request.pwd,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
        ) as process:
            context.add_callback(process.terminate)
            assert process.stdout is not None
            for line in process.stdout:
                yield language_pb2.RunPluginResponse(stdout=line)
        yield language_pb2.RunPluginResponse(exitcode=process.returncode)


def run(asked: dict[str, Any]) -> int:
    """Run a program as Pulumi's executor for Python does; its exit status."""
    import asyncio
    import logging
    import runpy
    import traceback

    import pulumi
    from pulumi.runtime.settings import reset_options

    pulumi.runtime.set_all_config(asked["config"], asked["secrets"])
    reset_options(
        project=asked["project"],
        stack=asked["stack"],
        organization=asked["organization"],
        parallel=asked["parallel"],
        preview=asked["preview"],
        monitor_address=asked["monitor"],
        engine_address=asked["engine"],
    )
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    threads = max(asked["parallel"], 1) * 4
    loop.set_default_executor(futures.ThreadPoolExecutor(max_workers=threads))

    def program() -> None:
        runpy.run_path(asked["program"], run_name="__main__")

    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(program))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    except Exception:  # noqa: BLE001 -- a program may raise anything
        pulumi.log.error(f"Program failed with an unhandled exception:\n{traceback.format_exc()}")
        return 1
    finally:
        loop.close()
    return 0


def serve(engine: str) -> None:
    """Serve until the engine ends this process."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(Host(engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    # The engine ends it as it would a Ctrl-C.
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["--run"]:
        sys.exit(run(json.load(sys.stdin)))
    serve(sys.argv[-1])
