"""Run the demo: start a real Triton server, send the sample posts, show the answers.

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
from rich.console import Console
from rich.markup import escape

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
    console.print(f"Starting Triton on {arguments.repository.name}/ (serving profile cpu) ...")
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
    for post, answer in zip(posts, answers, strict=True):
        _show(console, post, answer)
    console.print(f"\n{len(posts)} posts answered. Pictures: {output}/*.png")
    return 0


def _show(console: Console, post: dict[str, str], answer: Prediction) -> None:
    """Print the post's text, and under it one line an entity."""
    console.print(f"\n[bold]{post['id']}[/]: {escape(post['text'])}", soft_wrap=True)
    if not answer.entities:
        console.print("    no entity", style="dim")
    for e in answer.entities:
        where = "not in the image"
        if e.box:
            where = "box " + ", ".join(f"{v:.0f}" for v in e.box.to_list())
        console.print(
            f"    {escape(e.text):20} {e.type:5} characters {f'{e.start}-{e.end}':7} "
            f"score {e.score:.2f}  {where}",
            highlight=False,
            soft_wrap=True,
        )


if __name__ == "__main__":
    raise SystemExit(main())
