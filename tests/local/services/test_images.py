"""Dockerfiles as companies write them → what a process runs in place of the container."""

import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from unittest.mock import Mock

import pytest

from local.services.ecs import python_environment
from local.services.ecs.build import Image, ImageError, build
from local.services.ecs.build_context import files
from local.services.ecs.images import Images, UnknownImage
from local.services.ecs.processes import Line, OnThisMachine, Process

MAIN = "import sys; print('main', *sys.argv[1:])\n"

Run = Callable[[Image, Mapping[str, str]], list[str]]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """The files most of the Dockerfiles below copy."""
    folder = tmp_path / "context"
    (folder / "app").mkdir(parents=True)
    (folder / "main.py").write_text(MAIN)
    (folder / "run.sh").write_text('echo "run $@"; exec python main.py "$@"\n')
    (folder / "app" / "__init__.py").write_text("")
    (folder / "app" / "__main__.py").write_text("import sys; print('app', *sys.argv[1:])\n")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def lines(image: Image, environment: Mapping[str, str]) -> list[str]:
        found: list[Line] = []
        variables = {"PATH": f"{image.programs}:/usr/bin:/bin", **image.environment, **environment}
        command = [*image.entry_point, *image.command]
        container = OnThisMachine(image, command, variables, tmp_path)
        process = Process(container, Mock(), found.extend, lambda _: None)
        assert process.join(240)
        assert process.exit_code == 0, found
        return [line.message for line in found]

    return lines


def built(context: Path, dockerfile: str) -> Image:
    (context / "Dockerfile").write_text(dedent(dockerfile))
    root = context.parent / "built"
    return build(context, root)


def found(images: Images, uri: str) -> Image:
    image = images.find(uri)
    assert isinstance(image, Image)
    return image


SHAPES = {
    "shell form": (
        """\
        FROM python:3.13-slim
        WORKDIR /app
        COPY . .
        CMD python main.py shell $WHO
        """,
        ["main shell reader"],
    ),
    "exec form": (
        """\
        FROM python:3.13-slim
        WORKDIR /app
        COPY main.py ./
        ENTRYPOINT ["python", "main.py"]
        CMD ["one", "two words"]
        """,
        ["main one two words"],
    ),
    "a script": (
        """\
        FROM python:3.13
        WORKDIR /srv
        COPY . /srv/
        RUN chmod +x run.sh
        ENTRYPOINT ["sh", "run.sh"]
        CMD ["x"]
        """,
        ["run x", "main x"],
    ),
    "an absolute path": (
        """\
        FROM public.ecr.aws/docker/library/python:3.13
        COPY main.py /opt/job/
        USER 1000:1000
        CMD ["python3", "/opt/job/main.py"]
        """,
        ["main"],
    ),
    "a module of a copied package": (
        """\
        FROM python:3.13-slim AS base
        ENV PYTHONPATH=/code APP=app
        COPY app /code/app
        CMD python -m ${APP} -v
        """,
        ["app -v"],
    ),
    "several stages": (
        """\
        ARG VERSION=3.13
        FROM python:${VERSION}-slim AS build
        WORKDIR /build
        COPY . .
        RUN mkdir -p dist

        FROM python:${VERSION}-slim
        WORKDIR /app
        COPY --from=build --chown=1000:1000 /build/main.py /build/app ./lib/
        ENTRYPOINT ["python", "lib/main.py"]
        """,
        ["main"],
    ),
    "a stage of a stage": (
        """\
        FROM python:3.13 AS base
        WORKDIR /app
        ENV NAME=value
        FROM base
        COPY main.py .
        CMD python main.py $NAME
        """,
        ["main value"],
    ),
    "a here-document": (
        """\
        FROM python:3.13-slim
        COPY <<EOF /app/hello.py
        print("hello", "$WHO")
        EOF
        COPY <<'EOF' /app/raw.txt
        $NOT_REPLACED
        EOF
        WORKDIR /app
        RUN <<EOF
        apt-get update
        mkdir -p /app/data
        EOF
        CMD ["sh", "-c", "python hello.py; cat raw.txt; ls -d data"]
        """,
        ["hello ", "$NOT_REPLACED", "data"],
    ),
    "continued lines and comments": (
        """\
        # syntax=docker/dockerfile:1
        FROM python:3.13-slim
        ENV ONE=1 \\
            # a comment between
            TWO="2 2"
        ENV THREE 3 3
        WORKDIR /a/b
        WORKDIR ../c
        COPY . .
        CMD ["sh", "-c", "echo $ONE $TWO $THREE; basename $PWD"]
        """,
        ["1 2 2 3 3", "c"],
    ),
    "a virtual environment of the image": (
        """\
        FROM python:3.13-slim
        RUN python -m venv /opt/venv
        ENV PATH="/opt/venv/bin:$PATH"
        RUN /opt/venv/bin/pip install --no-cache-dir --upgrade pip && \\
            /opt/venv/bin/pip install 'packaging>=20'
        WORKDIR /app
        COPY . .
        CMD ["/opt/venv/bin/python", "main.py"]
        """,
        ["main"],
    ),
    "an entry point that execs its arguments": (
        """\
        FROM python:3.13-slim
        WORKDIR /app
        COPY --chmod=755 <<'EOF' /entrypoint.sh
        #!/bin/sh
        set -e
        echo prepared
        exec "$@"
        EOF
        RUN chmod +x /entrypoint.sh
        COPY . .
        ENTRYPOINT ["/entrypoint.sh"]
        CMD ["python", "main.py", "a"]
        """,
        ["prepared", "main a"],
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_usual_dockerfile_runs(shape: str, context: Path, run: Run) -> None:
    dockerfile, expected = SHAPES[shape]
    image = built(context, dockerfile)
    assert run(image, {"WHO": "reader"}) == expected
    assert image.notes == ()


@pytest.mark.slow
def test_requirements_go_into_an_environment_of_the_images_own_once(
    context: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel = tmp_path / "wheels" / "only_in_the_image-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("only_in_the_image.py", "print('from the image')\n")
        information = "only_in_the_image-1.0.dist-info"
        archive.writestr(
            f"{information}/METADATA",
            "Metadata-Version: 2.1\nName: only-in-the-image\nVersion: 1.0\n",
        )
        archive.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{information}/RECORD", "")
    (context / "requirements.txt").write_text("only-in-the-image==1.0\n")
    (context / "main.py").write_text("import only_in_the_image\n")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    calls: list[list[str]] = []
    really = subprocess.run

    def counted(command: list[str], **options: object) -> object:
        calls.append(command)
        return really(command, **options)  # pyright: ignore[reportCallIssue, reportArgumentType]

    monkeypatch.setattr(python_environment.subprocess, "run", counted)
    dockerfile = f"""\
        FROM python:3.13-slim
        WORKDIR /app
        COPY requirements.txt .
        RUN --mount=type=cache,target=/var/cache/pip \\
            pip install --no-cache-dir --no-index --find-links {wheel.parent} -r requirements.txt
        COPY . .
        CMD python main.py
        """
    (context / "Dockerfile").write_text(dedent(dockerfile))
    first = build(context, tmp_path / "one")
    made = len(calls)
    second = build(context, tmp_path / "two")
    assert run(first, {}) == ["from the image"]
    assert (first.programs, made, len(calls)) == (second.programs, 2, 2)
    (context / "requirements.txt").write_text("only-in-the-image==2.0\n")
    with pytest.raises(ImageError, match=r"pip install .* failed: ERROR: No matching distribution"):
        build(context, tmp_path / "three")


def test_what_this_project_requires_itself_is_not_installed_again(tmp_path: Path) -> None:
    image = build(Path(__file__).parents[3] / "batch", tmp_path / "built")
    assert image.programs == python_environment.own_programs()
    assert image.notes == ()


def test_what_no_process_can_do_is_noted(context: Path) -> None:
    image = built(
        context,
        """\
        FROM golang:1.26 AS tool
        COPY . .
        RUN go build -o /out/tool .
        FROM node:22-slim
        RUN apt-get update && apt-get install -y --no-install-recommends libpq-dev \\
            && rm -rf /var/lib/apt/lists/*
        ADD https://example.com/data.csv /data.csv
        COPY --from=tool /out/tool /usr/local/bin/tool
        COPY --from=docker.io/library/busybox:1 /bin/busybox /bin/busybox
        CMD ["tool"]
        """,
    )
    assert image.notes == (
        "FROM node:22-slim: programs of this machine run in place of the image's",
        "RUN apt-get install -y --no-install-recommends libpq-dev is not carried out",
        "ADD https://example.com/data.csv /data.csv: not downloaded",
        "FROM golang:1.26: programs of this machine run in place of the image's",
        "RUN go build -o /out/tool . is not carried out",
        "COPY /out/tool /usr/local/bin/tool: not there, as its RUN is not carried out",
        "COPY /bin/busybox /bin/busybox: another image's files are not here",
    )


def test_no_run_of_a_dockerfile_touches_this_machine(context: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.touch()
    built(context, f"FROM python:3.13\nRUN rm -rf {kept} && sh -c 'rm {kept}'\nCMD true\n")
    assert kept.exists()


def test_a_container_writes_to_a_copy_of_its_own(context: Path, run: Run) -> None:
    image = built(
        context,
        """\
        FROM python:3.13
        WORKDIR /app
        COPY main.py .
        CMD ["sh", "-c", "ls; echo x > written; echo y >> main.py"]
        """,
    )
    assert run(image, {}) == ["main.py"]
    assert run(image, {}) == ["main.py"]
    assert (context / "main.py").read_text() == MAIN


def test_an_image_is_built_again_when_a_file_of_its_context_changed(
    context: Path, tmp_path: Path
) -> None:
    images = Images()
    images.build_in(tmp_path / "images")
    (context / "Dockerfile").write_text("FROM python:3.13\nCOPY main.py /\nCMD python main.py\n")
    images.add("job:1", context)
    first = images.find("job:1")
    assert images.find("job:1") is first
    (context / "main.py").write_text("print('changed')\n")
    again = found(images, "job:1")
    assert again.root is not None
    assert (again.root / "main.py").read_text() == "print('changed')\n"


def test_another_dockerfile_of_a_context_can_be_named(context: Path, tmp_path: Path) -> None:
    images = Images()
    images.build_in(tmp_path / "images")
    (context / "Dockerfile.job").write_text("FROM python:3.13\nCMD python -V\n")
    images.add("job:1", context, "Dockerfile.job")
    assert found(images, "job:1").command == ("/bin/sh", "-c", "python -V")


def test_an_image_can_be_mapped_to_a_command_of_this_machine(tmp_path: Path, run: Run) -> None:
    (tmp_path / "here.py").write_text("print('here')\n")
    images = Images({"registry.example/team/etl": ("python", "here.py")}, tmp_path)
    assert run(found(images, "registry.example/team/etl:1.4"), {}) == ["here"]
    with pytest.raises(UnknownImage, match=r"registry\.example/team/other:1: not found"):
        images.find("registry.example/team/other:1")


def test_what_is_ignored_is_not_in_the_image(tmp_path: Path) -> None:
    for name in ("a.py", "b.txt", "sub/c.txt", "sub/deep/d.log", "node_modules/x/y.js", "keep.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".dockerignore").write_text("# no\n*.txt\nnode_modules\n**/*.log\n!keep.log\n")
    assert [path.as_posix() for path in files(tmp_path)] == [
        ".dockerignore",
        "a.py",
        "keep.log",
        "sub/c.txt",
    ]


@pytest.mark.parametrize(
    ("dockerfile", "reason"),
    [
        ("FROM python:3.13\n", "has neither ENTRYPOINT nor CMD"),
        ("FROM python:3.13\nCOPY missing.py /\nCMD true\n", "missing.py /: no such file"),
    ],
)
def test_an_image_that_cannot_be_built_says_why(
    dockerfile: str, reason: str, context: Path
) -> None:
    with pytest.raises(ImageError, match=reason):
        built(context, dockerfile)


def test_one_context_makes_several_images_by_dockerfiles_of_elsewhere(
    context: Path, tmp_path: Path, run: Run
) -> None:
    images = Images()
    images.build_in(tmp_path / "builds")
    for name in ("etl", "load"):
        file = tmp_path / f"{name}.Dockerfile"
        file.write_text(
            f'FROM python:3.13-slim\nCOPY main.py .\nCMD ["python", "main.py", "{name}"]\n'
        )
        images.add(name, context, str(file))
    assert [run(found(images, name), {}) for name in ("etl", "load")] == [
        ["main etl"],
        ["main load"],
    ]

    file = tmp_path / "etl.Dockerfile"
    file.write_text('FROM python:3.13-slim\nCOPY main.py .\nCMD ["python", "main.py", "changed"]\n')
    assert run(found(images, "etl"), {}) == ["main changed"]
