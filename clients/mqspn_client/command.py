"""The command line: `predict` for one post, `batch` for a file of them.

Exit codes: 0 done; 1 the call failed, or the job stopped; 2 wrong usage; 3 (`batch`) done, but
some rows carry errors; 130 interrupted; 141 (`batch`) nobody reads the output any more.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mqspn_client import __version__
from mqspn_client.batch import BatchInputError, BatchSettings, BatchStoppedError, run_batch
from mqspn_client.client import Client
from mqspn_client.draw import draw_prediction
from mqspn_client.errors import InvalidRequestError, MqspnError
from mqspn_client.lettering import type_colour
from mqspn_client.retry import RetrySettings
from mqspn_client.transport import SslSettings
from mqspn_client.types import Entity, Prediction

__all__ = ["app", "batch", "predict"]

_FAILED, _USAGE, _ROWS_FAILED, _INTERRUPTED = 1, 2, 3, 130
# What a shell says of a program that SIGPIPE ended, as it ends cat or grep.
_PIPE_CLOSED = 141

#: A job is patient: it outlasts about 10 seconds without a server.
_BATCH_RETRY = RetrySettings(attempts=9)

Url = Annotated[
    str, typer.Option(metavar="HOST:PORT", help="The server's gRPC port, as 127.0.0.1:8001.")
]
RootCertificates = Annotated[
    Path | None, typer.Option(help="PEM file of the authorities to trust; turns TLS on.")
]
PrivateKey = Annotated[Path | None, typer.Option(help="PEM file of the client's private key.")]
CertificateChain = Annotated[Path | None, typer.Option(help="PEM file of its certificate.")]


def predict(
    text: Annotated[str, typer.Option(help="The post's text.")],
    image: Annotated[Path | None, typer.Option(help="The post's image file.")] = None,
    regions: Annotated[
        str | None,
        typer.Option(help='Your own regions in pixels: "x1,y1,x2,y2;x1,y1,x2,y2".'),
    ] = None,
    url: Url = "127.0.0.1:8001",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
    draw: Annotated[Path | None, typer.Option(help="Write the annotated picture here.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 30.0,
    root_certificates: RootCertificates = None,
    private_key: PrivateKey = None,
    certificate_chain: CertificateChain = None,
) -> None:
    """Find the named entities of one post, and where its image shows them."""
    if timeout <= 0:
        _fail("--timeout must be greater than 0", _USAGE)
    rows = _parse_regions(regions)
    ssl = _ssl(root_certificates, private_key, certificate_chain)
    try:
        with _client(url, timeout, ssl) as client:
            prediction = client.predict(text, image, regions=rows)
    except MqspnError as error:
        _fail(str(error), _FAILED)
    except KeyboardInterrupt:
        _fail("interrupted", _INTERRUPTED)
    if as_json:
        _print_json(prediction)
    else:
        _print_table(prediction, has_image=image is not None)
    if draw is not None:  # at the end: where it fails, the answer is there
        try:
            draw_prediction(image, prediction, text=text).save(draw)
        except (MqspnError, OSError, ValueError) as error:
            _fail(f"cannot write {draw}: {error}", _FAILED)


def batch(
    source: Annotated[
        str, typer.Argument(metavar="INPUT.jsonl", help='Rows {"id", "text", "image"}; - is stdin.')
    ],
    target: Annotated[
        str, typer.Argument(metavar="OUTPUT.jsonl", help="Answers, row by row; - is stdout.")
    ],
    url: Url = "127.0.0.1:8001",
    concurrency: Annotated[int, typer.Option(min=1, help="Rows with the server at once.")] = 8,
    image_root: Annotated[
        Path | None, typer.Option(help="Where relative image paths start; else INPUT's folder.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds a row may take, retries included.")
    ] = 60.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what a stopped job has written.")
    ] = False,
    give_up_after: Annotated[
        int, typer.Option(min=1, help="Stop when the server fails so many rows in a row.")
    ] = 20,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    root_certificates: RootCertificates = None,
    private_key: PrivateKey = None,
    certificate_chain: CertificateChain = None,
) -> None:
    """Answer a file of posts. Every input row has its output row, in the same order.

    A row that cannot be answered carries {"error": {"code", "message"}} and never stops the job.
    Exit code 0: all answered; 3: some rows carry errors; 1: the server is gone (OUTPUT.jsonl.part
    keeps what was written; --resume goes on); 2: wrong usage.
    """
    if timeout <= 0:
        _fail("--timeout must be greater than 0", _USAGE)
    if resume and "-" in (source, target):
        _fail("--resume needs files, not stdin or stdout", _USAGE)
    settings = BatchSettings(
        concurrency=concurrency,
        give_up_after=give_up_after,
        image_root=image_root,
        resume=resume,
        progress=not quiet,
    )
    kept = "" if target == "-" else f"; {target}.part keeps the rows written, --resume goes on"
    ssl = _ssl(root_certificates, private_key, certificate_chain)
    try:
        with _client(url, timeout, ssl, _BATCH_RETRY) as client:
            counts = run_batch(client, source, target, settings)
    except BatchInputError as error:
        _fail(str(error), _USAGE)
    except BatchStoppedError as error:
        _fail(f"{error}; {error.counts}{kept}", _FAILED)
    except BrokenPipeError:
        # What is still in the buffer would break the pipe again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(_PIPE_CLOSED) from None
    except (MqspnError, OSError) as error:
        _fail(str(error), _FAILED)
    except KeyboardInterrupt:
        _fail(f"interrupted{kept}", _INTERRUPTED)
    typer.echo(str(counts), err=True)
    if counts.failed:
        raise typer.Exit(_ROWS_FAILED)


app = typer.Typer(
    help="Grounded multimodal named entity recognition: call a served MQSPN.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(predict)
app.command()(batch)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mqspn-client {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options of the program itself."""


def _fail(message: str, code: int) -> NoReturn:
    program = "mqspn-client" if Path(sys.argv[0]).name == "mqspn-client" else "mqspn"
    typer.echo(f"{program}: {' '.join(message.split())}", err=True)
    raise typer.Exit(code)


def _client(
    url: str, timeout: float, ssl: SslSettings | None, retry: RetrySettings | None = None
) -> Client:
    try:
        return Client(url, timeout_s=timeout, ssl=ssl, retry=retry or RetrySettings())
    except InvalidRequestError as error:  # an address or a certificate that will not do
        _fail(str(error), _USAGE)


def _ssl(root: Path | None, key: Path | None, chain: Path | None) -> SslSettings | None:
    if root is None and key is None and chain is None:
        return None
    return SslSettings(root_certificates=root, private_key=key, certificate_chain=chain)


def _parse_regions(text: str | None) -> list[list[float]] | None:
    if text is None:
        return None
    try:
        rows = [[float(v) for v in row.split(",")] for row in text.split(";") if row.strip()]
    except ValueError:
        rows = [[]]
    if any(len(row) != 4 for row in rows):
        _fail(f'--regions must be "x1,y1,x2,y2;x1,y1,x2,y2", not {text!r}', _USAGE)
    return rows


def _print_json(prediction: Prediction) -> None:
    """JSON for programs: what the output's encoding lacks is escaped, and nothing is lost."""
    line = json.dumps(prediction.to_dict(), ensure_ascii=False, indent=2)
    try:
        line.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        line = json.dumps(prediction.to_dict(), indent=2)
    typer.echo(line)


def _print_table(prediction: Prediction, *, has_image: bool) -> None:
    """A table for people: what the output's encoding lacks becomes a question mark."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console()
    if not prediction.entities:
        console.print("no entities")
    else:
        table = Table("text", "chars", "type", "score", "box (x1, y1, x2, y2)")
        for entity in prediction.entities:
            red, green, blue = type_colour(entity.type)
            table.add_row(
                Text(entity.text),
                f"{entity.start}-{entity.end}",
                Text(entity.type, style=f"bold rgb({red},{green},{blue})"),
                f"{entity.score:.2f}",
                _box(entity) if has_image else "no image",
            )
        console.print(table)
    if prediction.truncated:
        console.print("The text is longer than the model reads; its end was left out.")


def _box(entity: Entity) -> str:
    if entity.box is None:
        return "not in the image"
    return ", ".join(f"{value:.0f}" for value in entity.box.to_list())


if __name__ == "__main__":
    app()
