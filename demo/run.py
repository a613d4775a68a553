"""The demo: starts a real Triton server, sends the sample posts, shows and draws the answers.

`make demo` runs it. Sample posts are `demo/posts.jsonl`; pictures go to --output.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from mqspn.serving import ServerError, ServerSettings, TritonServer
from mqspn.serving.ports import free_ports
from mqspn_client import Client, MqspnError, Prediction, draw_prediction
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

HERE = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    parser.add_argument("--repository", type=Path, default=HERE.parent / "model_repository")
    arguments = parser.parse_args()
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    console = Console()
    posts = [
        json.loads(line) for line in (HERE / "posts.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    grpc_port, http_port, metrics_port = free_ports(3)
    settings = ServerSettings(
        repository=arguments.repository,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        log_file=output / "server.log",
    )
    console.print(f"Starting Triton on {arguments.repository.name}/ (CPU profile) ...")
    began = time.monotonic()
    try:
        with TritonServer(settings) as server, Client(server.url) as client:
            console.print(f"Ready at {server.url} after {time.monotonic() - began:.1f} s.")
            answers: list[Prediction] = []
            for post in posts:
                image = HERE / post["image"] if post["image"] else None
                prediction = client.predict(post["text"], image)
                answers.append(prediction)
                picture = draw_prediction(image, prediction, text=post["text"])
                picture.save(output / f"{post['id']}.png")
    except (ServerError, MqspnError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    console.print("Server stopped.")
    console.print(_table(posts, answers))
    console.print(f"{len(posts)} posts answered. Pictures: {output}/*.png")
    return 0


def _table(posts: list[dict[str, str]], answers: list[Prediction]) -> Table:
    """One row an entity; a post's text stands above its entities."""
    table = Table(show_header=True, box=box.SIMPLE_HEAD)
    for column in ("entity", "characters", "type", "score", "box in the image (pixels)"):
        table.add_column(column, no_wrap=column != "entity")
    for post, answer in zip(posts, answers, strict=True):
        table.add_row(f"[bold]{post['id']}[/]: {escape(post['text'])}")
        for e in answer.entities:
            where = ", ".join(f"{v:.0f}" for v in e.box.to_list()) if e.box else "not in the image"
            row = (escape(e.text), f"{e.start}-{e.end}", e.type, f"{e.score:.2f}", where)
            table.add_row("  " + row[0], *row[1:])
        if not answer.entities:
            table.add_row("  [dim]no entity[/]")
        table.add_section()
    return table


if __name__ == "__main__":
    raise SystemExit(main())
