"""Define the load scenarios for Locust: posts as users send them, a share of them bad.

With Locust's page:   locust -f loadtest/locustfile.py --host 127.0.0.1:8001
Without, as a check:  python loadtest/run.py --users 16 --run-time 60s --p99-ms 2000

A bad image that is refused with the right code is a success; anything else is a failure.
"""

# Locust's decorators are untyped.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import json
import logging
import random
from pathlib import Path
from typing import Any

from grpc_user import GrpcUser, Measured, WrongAnswerError  # isort: skip - before any channel

from addresses import check_address
from bounds import Bounds, broken_bounds, summary
from interrupt import end_on_interrupt, was_interrupted
from locust import between, events, task
from locust import log as locust_log
from machine import describe_machine
from mqspn_client import Post, PostError
from posts import SAMPLE_POSTS, BadImage, LoadPost, bad_images, read_posts

_log = logging.getLogger("loadtest")
_MOST_POSTS_IN_A_REQUEST = 8


@events.init_command_line_parser.add_listener
def add_options(parser: Any) -> None:
    """Add our options to Locust's own."""
    group = parser.add_argument_group("Posts and bounds")
    group.add_argument(
        "--data",
        default=str(SAMPLE_POSTS),
        env_var="LOADTEST_DATA",
        help="Folder in the Twitter-GMNER layout, or a .jsonl file (default: demo/posts.jsonl)",
    )
    group.add_argument("--split", default="test", help="Split of the folder (default: test)")
    group.add_argument("--p99-ms", type=float, default=2000.0, help="p99 bound in ms, of all")
    group.add_argument("--failure-rate", type=float, default=0.0, help="Share that may fail, 0-1")
    group.add_argument("--summary", default="", help="Write figures and machine to this JSON file")
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
            self.client.predict("A post whose image cannot be read", bad.content)
        except PostError as error:
            _expect_code(error, bad)
        else:
            raise WrongAnswerError("a bad image was answered")

    def _send_several(self, outcome: Measured, bad_at: int | None) -> None:
        count = random.randint(2, _MOST_POSTS_IN_A_REQUEST)
        posts = [Post(post.text, post.image) for post in random.choices(self.posts, k=count)]
        bad = random.choice(self.bad)
        if bad_at is not None:
            posts[bad_at] = Post(posts[bad_at].text, bad.content)
        for place, answer in enumerate(self.client.predict_many(posts)):
            if place == bad_at:
                _expect_code(answer, bad)
            elif isinstance(answer, PostError):
                raise answer
            else:
                outcome.add(answer)


def _expect_code(answer: object, bad: BadImage) -> None:
    if not isinstance(answer, PostError):
        raise WrongAnswerError("a bad image was answered")
    if answer.code != bad.code:
        raise WrongAnswerError(f"a bad image was refused with {answer.code}, not {bad.code}")


@events.init.add_listener
def prepare(environment: Any, web_ui: Any = None, **_: Any) -> None:
    """Read the posts before the first user comes, and make Ctrl-C harmless."""
    options = environment.parsed_options
    end_on_interrupt(environment, web_ui)
    try:
        check_address(environment.host or PostUser.host, allow_remote=options.allow_remote)
        posts = read_posts(Path(options.data), split=options.split)
    except (OSError, ValueError) as error:
        raise SystemExit(f"loadtest: {error}") from error
    PostUser.posts = posts
    PostUser.with_image = [post for post in posts if post.image] or posts
    PostUser.bad = bad_images()
    _log.info("%d posts, %d with an image", len(posts), sum(bool(post.image) for post in posts))


@events.quitting.add_listener
def judge(environment: Any, **_: Any) -> None:
    """Hold the figures against the bounds: a broken one makes the exit code 1.

    After Ctrl-C too: what was measured until then is judged.
    """
    options = environment.parsed_options
    environment.runner.stop()  # SIGTERM comes here with calls in flight
    bounds = Bounds(p99_ms=options.p99_ms, failure_rate=options.failure_rate)
    broken = broken_bounds(environment.stats, bounds)
    for line in broken:
        _log.error("bound broken: %s", line)
    if not broken:
        _log.info("all bounds kept")
    if broken:
        environment.process_exit_code = 1
    elif not locust_log.unhandled_greenlet_exception:  # else Locust's own code says so
        environment.process_exit_code = 0
    if options.summary:
        report = {
            "machine": describe_machine(),
            "url": environment.host or PostUser.host,
            "users": options.num_users,
            "run_time_s": options.run_time,
            "interrupted": was_interrupted(environment),
            "bounds": {"p99_ms": bounds.p99_ms, "failure_rate": bounds.failure_rate},
            "broken": broken,
            **summary(environment.stats),
        }
        Path(options.summary).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
