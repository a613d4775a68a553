"""Time what `preprocess` does to an image, stage by stage, from a thumbnail to 12 megapixels.

    python loadtest/images.py --side 640

Prints milliseconds of a processor, not of the clock: medians over rounds in which every size has
its turn. `decode`: to pixels as stored; `resize`: to the model's square; `planes`: a plane for each
colour; `all`: `read_image`, header and limits included.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import numpy as np
import typer
from machine import describe_machine
from mqspn_backend.image import _decode, _planes, _to_rgb_square, read_image
from PIL import Image
from rich.console import Console
from rich.table import Table

__all__ = ["SIZES", "app", "make_photo", "measure"]

#: Width and height: 0.3 megapixels, a post's usual image, 1 and 12 megapixels.
SIZES = ((640, 480), (1200, 675), (1280, 800), (4000, 3000))
_LIMITS = {"max_bytes": 2**26, "max_pixels": 50_000_000}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def make_photo(width: int, height: int, *, seed: int = 0, quality: int = 85) -> bytes:
    """Encode a JPEG of soft shapes with a camera's noise: about 2 bits a pixel."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3)).astype(np.uint8)
    soft = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noisy = np.asarray(soft) + rng.normal(0, 6, (height, width, 3))
    stream = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def measure(
    sizes: tuple[tuple[int, int], ...], *, side: int, rounds: int
) -> dict[tuple[int, int], dict[str, float]]:
    """Measure each stage's milliseconds by image size, for the model's ``side``."""
    photos = {size: make_photo(*size) for size in sizes}
    found: dict[tuple[int, int], dict[str, list[float]]] = {size: {} for size in sizes}

    def timed(times: dict[str, list[float]], name: str, call: Callable[[], Any]) -> Any:
        start = time.thread_time()
        made = call()
        times.setdefault(name, []).append(1000 * (time.thread_time() - start))
        return made

    for _ in range(rounds):
        for size, data in photos.items():
            times = found[size]
            decode = partial(_decode, data, "JPEG", side, _LIMITS["max_pixels"])
            image, _, _ = timed(times, "decode", decode)
            square = timed(times, "resize", partial(_to_rgb_square, image, side))
            timed(times, "planes", partial(_planes, square))
            timed(times, "all", partial(read_image, data, side, **_LIMITS))
    return {
        size: {name: round(float(np.median(values)), 2) for name, values in times.items()}
        for size, times in found.items()
    }


@app.command()
def images(
    side: Annotated[int, typer.Option(min=1, help="The model's; the demo's is 224.")] = 640,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each image is read.")] = 15,
) -> None:
    """Print the table."""
    machine = describe_machine()
    table = Table(
        *("image", "megapixels", "decode", "resize", "planes", "all"),
        title=f"ms on one thread of {machine['processor']}, side {side}",
    )
    for (width, height), times in measure(SIZES, side=side, rounds=rounds).items():
        stages = (f"{times[name]:.1f}" for name in ("decode", "resize", "planes", "all"))
        table.add_row(f"{width} x {height}", f"{width * height / 1e6:.1f}", *stages)
    Console().print(table)


if __name__ == "__main__":
    app()
