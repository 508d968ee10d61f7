"""A stack → an ASGI application: HTML from the server, which the page asks for again by itself."""

import argparse
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, urlencode

import jinja2
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from .. import backfills, cost, letters, runs
from ..errors import NOT_ALLOWED, OperateError, check
from ..failures import explained
from ..guarded import harmless
from ..options import count_of, month_of, time_of
from ..output import duration, money
from ..runs import STATUSES
from ..stack import Stack
from .views import Views

_FOLDER = Path(__file__).parent
_STATIC = _FOLDER / "static"
# What is asked for by what it contains never changes.
_FOR_EVER = "private, max-age=31536000, immutable"
_ROWS = 50
_MOST_ROWS = 1000
_LONGEST_FORM = 1_000_000
T = TypeVar("T")
Context = Mapping[str, Any]


class Page:
    """The page of a stack.

    Args:
        stack: the stack.
        write: whether it has buttons that change something.
        seconds: how often it looks for news.
    """

    def __init__(self, stack: Stack, *, write: bool, seconds: float) -> None:
        self._stack, self._write, self._seconds = stack, write, seconds
        self._views = Views(stack, seconds * 0.8)
        self._static = f"/static/{_digest()}"
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            # Keys and log lines may reorder what is shown, too.
            finalize=lambda value: harmless(value) if type(value) is str else value,
        )
        self._templates.filters |= {"at": _time, "took": duration, "usd": money, "part": _part}
        self.app = Starlette(
            routes=[
                Route("/", self._shown("overview", self._overview, live=True)),
                Route("/runs", self._shown("runs", self._runs, live=True)),
                Route("/runs/{run:path}", self._shown("run", self._run, live=True)),
                Route("/letters", self._shown("letters", self._letters)),
                Route("/letters", self._sent, methods=["POST"]),
                Route("/schedules", self._shown("schedules", self._schedules, live=True)),
                Route("/backfills", self._shown("backfills", self._backfills, live=True)),
                Route("/backfills", self._changed, methods=["POST"]),
                Route("/cost", self._shown("cost", self._cost)),
                Mount(self._static, _Static(directory=_STATIC)),
            ],
            middleware=[Middleware(GZipMiddleware, minimum_size=1000)],
        )

    def warm(self) -> None:
        """Have at hand what the first page shows."""
        self._views.warm()

    def _shown(
        self, name: str, view: Callable[[Request], Context], *, live: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await run_in_threadpool(self._answer, request, name, view, live=live)

        return answer

    def _answer(
        self, request: Request, name: str, view: Callable[[Request], Context], *, live: bool = False
    ) -> Response:
        """A page; if it asks itself for news, its main part alone, or nothing if it is the same."""
        status = 200
        try:
            context = view(request)
        except OperateError as error:
            name, context, status = "error", {"error": str(error)}, _STATUSES[error.status]
        except (BotoCoreError, ClientError, HTTPClientError) as error:
            told = explained(error)
            name, context, status = "error", {"error": str(told)}, _STATUSES[told.status]
        shared = {"stack": self._stack, "write": self._write, "path": request.url.path}
        shared["static"] = self._static
        content = self._templates.get_template(f"{name}.html").render(**shared, **context)
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        asked = [pair for pair in request.query_params.multi_items() if pair[0] != "seen"]
        poll = None
        if live and not context.get("over"):
            again = urlencode([*asked, ("seen", digest)])
            poll = f"{quote(request.url.path)}?{again}"
        main = {"content": Markup(content), "poll": poll, "seconds": self._seconds}  # noqa: S704 -- what Jinja has escaped
        if "hx-request" not in request.headers:
            page = self._templates.get_template("page.html").render(
                **shared, **main, title=context.get("title", name)
            )
            return HTMLResponse(page, status)
        if request.query_params.get("seen") == digest:
            return Response(status_code=204)
        return HTMLResponse(self._templates.get_template("main.html").render(**main), status)

    def _overview(self, _request: Request) -> Context:
        return {
            "wrong": self._views.wrong(),
            "runs": self._views.runs(runs.Filter(), 10),
            "title": self._stack.name,
        }

    def _runs(self, request: Request) -> Context:
        asked = request.query_params
        for kind, among in (
            ("job", self._stack.jobs),
            ("pipeline", self._stack.pipelines),
            ("schedule", self._stack.schedules),
        ):
            check(kind, asked.get(kind) or None, among)
        want = runs.Filter(
            job=asked.get("job") or None,
            pipeline=asked.get("pipeline") or None,
            upload=asked.get("upload") or None,
            schedule=asked.get("schedule") or None,
            backfill=asked.get("backfill") or None,
            statuses=tuple(one for one in asked.getlist("status") if one in STATUSES),
        )
        since = asked.get("since")
        last = asked.get("last", "")
        count = min(int(last), _MOST_ROWS) if last.isdecimal() and int(last) else _ROWS
        found = self._views.runs(want, count, _given(time_of, since) if since else None)
        more = len(found) == count < _MOST_ROWS
        query = [pair for pair in asked.multi_items() if pair[0] not in {"seen", "last"}]
        return {
            "runs": found,
            "want": want,
            "since": since or "",
            "statuses": STATUSES,
            "more": urlencode([*query, ("last", str(count * 4))]) if more else None,
        }

    def _run(self, request: Request) -> Context:
        wanted = request.path_params["run"]
        told = self._views.run(wanted)
        if told is None:
            raise OperateError(f"no such run: {wanted}")
        return {
            "told": told,
            "run": told.timeline.run,
            "over": told.over,
            "title": f"{told.timeline.run.name} {told.timeline.run.status}",
        }

    def _letters(self, request: Request) -> Context:
        asked = request.query_params
        trigger = asked.get("trigger") or None
        check("trigger", trigger, self._stack.triggers)
        want = letters.Filter(
            trigger=trigger, key=asked.get("key") or None, error=asked.get("error") or None
        )
        return {"letters": self._views.letters(want), "want": want}

    async def _sent(self, request: Request) -> Response:
        form = await _form(request)
        if form is None:
            return PlainTextResponse("too many letters at once\n", 413)

        def view(_request: Request) -> Context:
            action = (form.get("action") or [""])[0]
            if action not in {"send", "drop"} or not form.get("id"):
                raise OperateError("choose letters, then send or drop them")
            return self._act(action, tuple(form["id"]), sure=form.get("sure") == ["yes"])

        return await run_in_threadpool(self._answer, request, "sent", view)

    def _act(self, action: str, ids: tuple[str, ...], *, sure: bool) -> Context:
        """Send or drop letters; unless that is sure, only say what would be done."""
        done: list[tuple[letters.Letter, str, bool]] = []
        want = letters.Filter(ids=ids)
        with (
            self._views.letters_lock,
            letters.taken(self._stack, want, letters.SEND_SECONDS) as found,
        ):
            for letter in found:
                try:
                    done.append((letter, self._done(letter, action, sure=sure), True))
                except OperateError as error:
                    done.append((letter, str(error), False))
        if sure:
            self._views.forget()
        return {"done": done, "action": action, "sure": sure, "gone": len(ids) - len(done)}

    def _done(self, letter: letters.Letter, action: str, *, sure: bool) -> str:
        if action == "drop":
            if sure:
                letters.drop(self._stack, letter)
            return "dropped" if sure else "would be dropped"
        if not sure:
            return f"would {letters.start_of(self._stack, letter)}"
        made = letters.send(self._stack, letter)
        return f"{'started' if made.new else 'was started before'}: {made.arn}"

    def _schedules(self, _request: Request) -> Context:
        return {"schedules": self._views.schedules()}

    def _backfills(self, _request: Request) -> Context:
        return {"backfills": self._views.backfills()}

    async def _changed(self, request: Request) -> Response:
        form = await _form(request)
        if form is None:
            return PlainTextResponse("too long\n", 413)
        given = {name: values[0] for name, values in form.items()}

        def view(_request: Request) -> Context:
            action, sure = given.pop("action", ""), given.pop("sure", "") == "yes"
            if "backfill" not in given:
                raise OperateError("which backfill?")
            found = backfills.find(self._stack, given["backfill"])
            text = self._change(found, action, given, sure=sure)
            if sure:
                self._views.forget()
            shown = {"backfill": found, "text": text, "action": action}
            return {**shown, "given": given, "sure": sure, "title": "backfills"}

        return await run_in_threadpool(self._answer, request, "changed", view)

    def _change(
        self, found: backfills.Backfill, action: str, given: Mapping[str, str], *, sure: bool
    ) -> str:
        """Change a backfill; unless that is sure, only say what would be done."""
        if action == "rate":
            at_once = _given(count_of, given.get("at_once", ""))
            if sure:
                backfills.change_rate(self._stack, found, at_once)
            return f"{at_once} at once instead of {found.max_concurrency}"
        if action == "stop":
            if not given.get("reason"):
                raise OperateError("say why: it is kept")
            if sure:
                backfills.stop(self._stack, found, given["reason"])
            return "stopped" if sure else f"would be stopped with {found.running} runs"
        if action == "continue":
            chosen = backfills.plan(self._stack, found)
            if sure:
                backfills.go_on(self._stack, chosen)
            return str(chosen) if sure else f"would {chosen}"
        raise OperateError("change its rate, stop it or continue it")

    def _cost(self, request: Request) -> Context:
        asked = request.query_params
        by = "day" if asked.get("by") == "day" else "job"
        since, until = datetime.now(UTC) - timedelta(days=30), None
        month = asked.get("month")
        if month:
            since, until = _given(month_of, month)
        found = self._views.cost(by, since, until)
        return {
            "costs": found,
            "by": by,
            "month": month or "",
            "total": sum(one.dollars for one in found),
            "most": max((one.dollars for one in found), default=0),
            "since": since,
            "idle": cost.idle(self._stack),
        }


class _Static(StaticFiles):
    """Files that a browser asks for once."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:  # noqa: ANN401 -- Starlette's
        """The file, to be kept."""
        answer = super().file_response(*arguments, **named)
        answer.headers["cache-control"] = _FOR_EVER
        return answer


def _digest() -> str:
    """What changes as soon as one of the static files does."""
    found = hashlib.sha256()
    for file in sorted(_STATIC.iterdir()):
        found.update(file.name.encode() + b"\0" + file.read_bytes())
    return found.hexdigest()[:16]


_STATUSES = {1: 502, 2: 404, NOT_ALLOWED: 502}


async def _form(request: Request) -> dict[str, list[str]] | None:
    """What a form has; None if it is too long."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST_FORM:
            return None
    return parse_qs(body.decode("utf-8", "replace"))


def _given(read: Callable[[str], T], text: str) -> T:
    """What an option of the command line would be."""
    try:
        return read(text)
    except argparse.ArgumentTypeError as error:
        raise OperateError(str(error)) from None


def _time(moment: datetime | None, *, precise: bool = False) -> Markup:
    """A time of this machine's zone, and for programs in RFC 3339."""
    if moment is None:
        return Markup()
    local = moment.astimezone()
    shown = local.strftime("%m-%d %H:%M:%S") + (f".{local:%f}"[:4] if precise else "")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        moment.astimezone(UTC).isoformat(timespec="milliseconds"),
        local.strftime("%Y-%m-%d %H:%M:%S %Z"),
        shown,
    )


def _part(text: str) -> str:
    """A text as a part of a path."""
    return quote(text, safe="")
