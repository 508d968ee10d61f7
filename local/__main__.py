"""`python -m local`: the command line of the laptop's cloud."""

import contextlib
import fcntl
import os
import signal
import sys

# What this command line and Python itself read. All else stays with whoever started it: a task,
# which runs as the same user, can read the environment that a process began with.
_KEPT = {
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "XDG_RUNTIME_DIR", "VIRTUAL_ENV"),
    *("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"),
    *("LANG", "LANGUAGE", "TZ", "LOG_LEVEL", "SYSTEMROOT"),
    *("PYTHON_COLORS", "PYTHON_CPU_COUNT", "PYTHON_GIL", "PYTHON_JIT"),
    *("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COVERAGE_RCFILE", "COVERAGE_FILE"),
}
# Of these, and one word: PYTHON_TOKEN is none of Python's own.
_KEPT_PREFIXES = ("LC_", "PYTHON")
# What pip reads when it installs what an image requires, and a container engine's command line:
# handed over where a task cannot read it.
_HANDED = {
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "REGISTRY_AUTH_FILE"),
}
_HANDED_PREFIXES = ("PIP_", "DOCKER_", "BUILDX_", "BUILDAH_", "CONTAINER_", "CONTAINERS_")
_DONE = "_FARGATE_BATCH_ENVIRONMENT"
_PIPE_BYTES = 1 << 20
_ENDS = {signal.SIGINT, signal.SIGTERM}


def _begin_with_little() -> None:
    """Become the same command with nothing of the environment but what it needs."""
    if handed := os.environ.pop(_DONE, None):
        # The environment that a process began with is what others can read of it, not this one.
        with os.fdopen(int(handed), "rb") as pipe:
            pairs = [pair.partition(b"=") for pair in pipe.read().split(b"\0") if pair]
        os.environ.update({os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs})
        return
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT
        or (name.startswith(_KEPT_PREFIXES) and "_" not in name.removeprefix("LC_"))
    }
    if kept != dict(os.environ):
        reading, writing = os.pipe()
        # Nobody reads until all is written.
        with contextlib.suppress(AttributeError, OSError):
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_inheritable(reading, True)  # noqa: FBT003 - the parameter has no name
        with os.fdopen(writing, "wb") as pipe:
            for name, value in os.environ.items():
                if name.upper() in _HANDED or name.startswith(_HANDED_PREFIXES):
                    pipe.write(os.fsencode(f"{name}={value}\0"))
        # Ctrl-C waits for the handlers of below: Python's own would show a traceback.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, {**kept, _DONE: str(reading)})  # noqa: S606 - the same


def _leave(number: int, _frame: object) -> None:
    """End at once: until a command has opened something, there is nothing to close."""
    os._exit(128 + number)


if __name__ == "__main__":
    # First of all, so that Ctrl-C while the rest is imported leaves no traceback.
    signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGTERM, _leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
    _begin_with_little()

    from local.commands import main

    status = main(sys.argv[1:])
    # The interpreter gives signals back their default as it ends: one more would end it as a crash.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(status)
