"""Define the load scenarios for Locust: posts as users send them, a share of them bad.

With Locust's page:   locust -f loadtest/locustfile.py --host 127.0.0.1:8001
Without, as a check:  python loadtest/run.py --users 16 --run-time 60s --slo p99=2s,errors=0
As posts arrive:      python loadtest/run.py --rate 10 --run-time 60s --slo p99=200ms,errors=0

A bad image that is refused with the right code is a success; anything else is a failure.
"""

# Locust's decorators are untyped.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import json
import logging
import math
import random
import sys
import time
from pathlib import Path
from typing import Any

from grpc_user import GrpcUser, Measured  # isort: skip - before any channel

import gevent
import user_shape  # by its module: Locust would take a shape class of this file as the shape
from addresses import check_address
from arrival_user import ArrivalUser, MixUser, OpenLoop, expect_code
from arrivals import ARRIVALS, SHAPES
from figures import Record
from generator import GeneratorShare
from interrupt import end_on_interrupt, was_interrupted
from limits import check_load
from locust import between, events, task
from locust import log as locust_log
from machine import describe_machine
from mix import Mix, PostMix
from mqspn_client import Post, PostError
from posts import SAMPLE_POSTS, BadImage, LoadPost, bad_images, read_posts
from server_columns import columns, columns_table, default_metrics_url, read_server_times
from slo import Slo

_log = logging.getLogger("loadtest")
_MOST_POSTS_IN_A_REQUEST = 8


@events.init_command_line_parser.add_listener
def add_options(parser: Any) -> None:
    """Add our options to Locust's own."""
    group = parser.add_argument_group("Posts and objective")
    group.add_argument(
        "--data",
        default=str(SAMPLE_POSTS),
        env_var="LOADTEST_DATA",
        help="Folder in the Twitter-GMNER layout, or a .jsonl file (default: demo/posts.jsonl)",
    )
    group.add_argument("--split", default="test", help="Split of the folder (default: test)")
    group.add_argument("--mix", default="", help="Draw posts by a law: zipf=1,bad=0.05,12mp=0.02")
    group.add_argument("--seed", type=int, default=0, help="Of the mix and the arrivals")
    group.add_argument("--rate", type=float, default=0.0, help="Open loop: posts a second")
    group.add_argument("--arrivals", default="poisson", choices=ARRIVALS)
    group.add_argument("--max-in-flight", type=int, default=256, help="Open loop: calls at once")
    group.add_argument("--shape", default="steady", choices=tuple(SHAPES))
    group.add_argument("--warm-up", type=float, default=0.0, help="Seconds that do not count")
    group.add_argument("--slo", default="p99=2s,errors=0", help="Objective (p99=200ms,errors=0)")
    group.add_argument("--summary", default="", help="Write figures and machine to this JSON file")
    group.add_argument(
        "--metrics-url", default="", help="HOST:PORT (default: this machine's 8002 for its 8001)"
    )
    group.add_argument("--operator-key", default="", env_var="MQSPN_OPERATOR_KEY")
    group.add_argument(
        "--allow-remote", action="store_true", help="Allow another machine's address"
    )


class PostUser(GrpcUser):
    """Sends posts one after another, with a short pause between them."""

    wait_time = between(0.0, 0.2)
    posts: list[LoadPost]
    with_image: list[LoadPost]
    bad: tuple[BadImage, ...]

    @task(12)
    def text_and_image(self) -> None:
        post = random.choice(self.with_image)
        self.measure("text and image", lambda outcome: self._send(outcome, post.text, post.image))

    @task(4)
    def text_alone(self) -> None:
        post = random.choice(self.posts)
        self.measure("text alone", lambda outcome: self._send(outcome, post.text, None))

    @task(2)
    def several_posts(self) -> None:
        self.measure("several posts", lambda outcome: self._send_several(outcome, bad_at=None))

    @task(1)
    def several_posts_one_bad(self) -> None:
        name = "several posts, one bad"
        self.measure(name, lambda outcome: self._send_several(outcome, bad_at=1))

    @task(1)
    def bad_image(self) -> None:
        bad = random.choice(self.bad)
        self.measure(f"bad image, {bad.code}", lambda _: self._send_bad(bad))

    def _send(self, outcome: Measured, text: str, image: bytes | None) -> None:
        outcome.add(self.client.predict(text, image))

    def _send_bad(self, bad: BadImage) -> None:
        try:
            answer: object = self.client.predict("A post whose image cannot be read", bad.content)
        except PostError as error:
            answer = error
        expect_code(answer, bad.code)

    def _send_several(self, outcome: Measured, bad_at: int | None) -> None:
        count = random.randint(2, _MOST_POSTS_IN_A_REQUEST)
        posts = [Post(post.text, post.image) for post in random.choices(self.posts, k=count)]
        bad = random.choice(self.bad)
        if bad_at is not None:
            posts[bad_at] = Post(posts[bad_at].text, bad.content)
        for place, answer in enumerate(self.client.predict_many(posts)):
            if place == bad_at:
                expect_code(answer, bad.code)
            elif isinstance(answer, PostError):
                raise answer
            else:
                outcome.add(answer)


class _Test:
    """What is known of the test that runs: its objective, its figures, the server's times."""

    slo: Slo
    record = Record()
    generator = GeneratorShare()
    server_before: dict[str, Any] | OSError


@events.init.add_listener
def prepare(environment: Any, web_ui: Any = None, **_: Any) -> None:
    """Read the posts before the first user comes, and make Ctrl-C harmless."""
    options = environment.parsed_options
    end_on_interrupt(environment, web_ui)
    try:
        check_address(_url(environment), allow_remote=options.allow_remote)
        _Test.slo = Slo.parse(options.slo)
        _Test.record = Record(options.warm_up)
        mix = Mix.parse(options.mix)
        posts = read_posts(Path(options.data), split=options.split)
        _choose_users(environment, mix, posts)
    except (OSError, ValueError) as error:
        print(f"loadtest: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    _log.info("%d posts, %d with an image", len(posts), sum(bool(post.image) for post in posts))
    # gevent's clock stood still meanwhile: the run time would seem to be over.
    gevent.get_hub().loop.update_now()


def _choose_users(environment: Any, mix: Mix, posts: list[LoadPost]) -> None:
    """Pick who sends: users of a closed loop, or the one that sends posts as they arrive."""
    options = environment.parsed_options
    run_time_s = None if options.run_time is None else float(options.run_time)
    check_load(rate=options.rate or None, run_time_s=run_time_s, warm_up_s=options.warm_up)
    seconds = math.inf if run_time_s is None else run_time_s
    PostUser.posts = posts
    PostUser.with_image = [post for post in posts if post.image] or posts
    PostUser.bad = bad_images()
    if options.master or options.worker:
        raise ValueError("figures are of one process: leave --master, --worker, --processes out")
    if options.max_in_flight < 1:
        raise ValueError("--max-in-flight is at least 1")
    if options.shape != "steady" and math.isinf(seconds):
        raise ValueError(f"--shape {options.shape} needs --run-time")
    if options.rate or options.mix:
        MixUser.mix = PostMix(mix, posts, PostUser.bad, seed=options.seed)
    if options.rate:
        ArrivalUser.loop = OpenLoop(
            rate=options.rate,
            seconds=seconds,
            shape=options.shape,
            arrivals=options.arrivals,
            max_in_flight=options.max_in_flight,
            seed=options.seed,
        )
        options.num_users = options.spawn_rate = 1
        options.run_time = None  # the last post that is due ends the test, not a clock beside it
        _log.info("%g posts a second, for %g s", options.rate, seconds)
        environment.user_classes[:] = [ArrivalUser]
        return
    environment.user_classes[:] = [MixUser if options.mix else PostUser]
    if options.shape != "steady":
        environment.shape_class = user_shape.UserShape(
            options.shape, users=options.num_users or 1, seconds=seconds
        )


@events.test_start.add_listener
def begin(environment: Any, **_: Any) -> None:
    """Start the record, and read the server's times."""
    _Test.server_before = _server_times(environment)
    _Test.record.start(time.time())
    _Test.generator.start()


@events.request.add_listener
def keep(
    name: str,
    response_time: float | None,
    exception: BaseException | None,
    start_time: float,
    context: dict[str, Any],
    **_: Any,
) -> None:
    """Record a request."""
    _Test.record.add(name, response_time, due_at=start_time, exception=exception, **context)


@events.test_stop.add_listener
def end(**_: Any) -> None:
    """Stop the generator's clock: what follows is no load."""
    _Test.generator.stop()


@events.quitting.add_listener
def judge(environment: Any, **_: Any) -> None:
    """Hold the figures against the objective: a broken one makes the exit code 1.

    After Ctrl-C too: what was measured until then is judged.
    """
    options = environment.parsed_options
    environment.runner.stop()  # SIGTERM comes here with calls in flight
    record = _Test.record
    broken = _Test.slo.broken(record.all)
    for line in broken:
        _log.error("objective broken: %s", line)
    if not broken:
        _log.info("objective kept: %s", _Test.slo)
    if broken:
        environment.process_exit_code = 1
    elif not locust_log.unhandled_greenlet_exception:  # else Locust's own code says so
        environment.process_exit_code = 0
    generator = _Test.generator.to_dict()
    if generator["busy"]:
        _log.warning(
            "this program used %.2f of a core: it may be the limit, not the server",
            generator["cores"],
        )
    found = _columns(environment)
    print(columns_table(found) if "models" in found else f"no server columns: {found['missing']}")
    if options.summary:
        report = {
            "machine": describe_machine(),
            "url": _url(environment),
            "users": None if options.rate else options.num_users,
            "open_loop": _open_loop(record) if options.rate else None,
            "mix": options.mix or None,
            "shape": options.shape,
            "run_time_s": _run_time_s(options),
            "interrupted": was_interrupted(environment),
            "slo": str(_Test.slo),
            "broken": broken,
            "generator": generator,
            **record.summary(),
            "columns": found,
        }
        Path(options.summary).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _open_loop(record: Record) -> dict[str, Any]:
    loop = ArrivalUser.loop
    return {
        "rate": loop.rate,
        "arrivals": loop.arrivals,
        "max_in_flight": loop.max_in_flight,
        "not_sent": record.all.not_sent,
    }


def _run_time_s(options: Any) -> float | None:
    seconds = ArrivalUser.loop.seconds if options.rate else options.run_time
    return None if seconds is None or math.isinf(seconds) else float(seconds)


def _columns(environment: Any) -> dict[str, Any]:
    before = getattr(_Test, "server_before", OSError("no test was begun"))
    after = _server_times(environment)
    try:
        for times in (before, after):
            if isinstance(times, OSError):
                raise times
        return columns(_Test.record, before, after)  # type: ignore[arg-type]
    except (OSError, ValueError) as error:
        return {"missing": str(error)}


def _server_times(environment: Any) -> dict[str, Any] | OSError:
    options, url = environment.parsed_options, _url(environment)
    metrics_url = options.metrics_url or default_metrics_url(url)
    try:
        if metrics_url is not None:
            check_address(metrics_url, allow_remote=options.allow_remote)
        return dict(
            read_server_times(url, metrics_url=metrics_url, operator_key=options.operator_key)
        )
    except (OSError, ValueError) as error:
        return OSError(str(error))


def _url(environment: Any) -> str:
    return str(environment.host or PostUser.host)
