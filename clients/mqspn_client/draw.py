"""An answer drawn on its picture: boxes with labels, and below them what the picture lacks."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw, ImageOps

from mqspn_client.caption import draw_caption
from mqspn_client.errors import PostError
from mqspn_client.lettering import Pen, type_colour
from mqspn_client.posts import encode_image
from mqspn_client.types import Box, Entity, ImageSource, Prediction

__all__ = ["draw_prediction"]

# Pictures are brought to a width between these, so that letters stay readable.
_LEAST_WIDTH, _MOST_WIDTH = 640, 1280
# A picture of one column of pixels must not be enlarged without end.
_MOST_HEIGHT = 8192
_LABEL_HEIGHT, _LABEL_MARGIN = 26, 8

Rectangle = tuple[float, float, float, float]


def draw_prediction(
    image: ImageSource | None, prediction: Prediction, *, text: str | None = None
) -> Image.Image:
    """Draw ``prediction`` on a copy of ``image``.

    Each grounded entity gets a box in its type's colour and a label (name, type, score). Below the
    picture stand the text, with its entities marked, and the entities that are not in the image.

    Args:
        image: The post's image, as `Client.predict` takes it. None: a card of the texts alone.
        prediction: The answer to draw.
        text: The post's text, to be shown below the picture. None: it is left out.

    Returns:
        An RGB picture, upright. A small one is enlarged and a wide one reduced, so that its pixels
        are not the given image's.

    Raises:
        PostError: Pillow cannot read the image (``IMAGE_UNREADABLE``).

    Examples:
        >>> draw_prediction("post.jpg", prediction, text=text).save("answer.png")
    """
    pen = Pen.for_letters(" ".join([text or "", *(e.text for e in prediction.entities)]))
    if image is None:
        return draw_caption(prediction, width=_LEAST_WIDTH, pen=pen, text=text, has_image=False)
    picture = _upright(image)
    scale = min(max(_LEAST_WIDTH, picture.width), _MOST_WIDTH) / picture.width
    scale = min(scale, _MOST_HEIGHT / picture.height)
    if scale != 1.0:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    _draw_boxes(picture, prediction.entities, scale, pen)
    width = max(_LEAST_WIDTH, picture.width)
    caption = draw_caption(prediction, width=width, pen=pen, text=text, has_image=True)
    canvas = Image.new("RGB", (width, picture.height + caption.height), "white")
    canvas.paste(picture, (0, 0))
    canvas.paste(caption, (0, picture.height))
    return canvas


def _upright(image: ImageSource) -> Image.Image:
    try:
        source = (
            image
            if isinstance(image, Image.Image)
            else Image.open(io.BytesIO(encode_image(image)), formats=["JPEG", "PNG", "WEBP", "GIF"])
        )
        upright = ImageOps.exif_transpose(source)
        if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
            paper = Image.new("RGBA", upright.size, (255, 255, 255, 255))
            paper.alpha_composite(upright.convert("RGBA"))
            upright = paper
        return upright.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PostError("IMAGE_UNREADABLE", f"Pillow cannot read the image: {error}") from error


def _draw_boxes(picture: Image.Image, entities: Sequence[Entity], scale: float, pen: Pen) -> None:
    """Boxes first, largest first, then the labels, so that no box crosses a label."""
    draw = ImageDraw.Draw(picture)
    grounded = [(entity, _scaled(entity.box, scale)) for entity in entities if entity.box]
    grounded.sort(key=lambda pair: _area(pair[1]), reverse=True)
    for entity, frame in grounded:
        x1, y1, x2, y2 = frame
        draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=(255, 255, 255), width=5)
        draw.rectangle(frame, outline=type_colour(entity.type), width=3)
    taken: list[Rectangle] = []
    for entity, frame in grounded:
        note = f"{entity.type} {entity.score:.2f}"
        note_width = pen.small.getlength(note)
        room = picture.width - note_width - 3 * _LABEL_MARGIN
        name = pen.fit(entity.text, room)
        name_width = pen.body.getlength(name)
        width = name_width + note_width + 3 * _LABEL_MARGIN
        label = _free_place(frame, width, picture.size, taken)
        taken.append(label)
        draw.rounded_rectangle(label, radius=5, fill=type_colour(entity.type), outline="white")
        middle = (label[1] + label[3]) / 2
        x = label[0] + _LABEL_MARGIN
        draw.text((x, middle), name, font=pen.body, fill="white", anchor="lm")
        x += name_width + _LABEL_MARGIN
        draw.text((x, middle + 1), note, font=pen.small, fill="white", anchor="lm")


def _free_place(
    frame: Rectangle, width: float, size: tuple[int, int], taken: Sequence[Rectangle]
) -> Rectangle:
    """Where a label of ``width`` pixels goes: the first place that no other label has."""
    places = list(_places(frame, width, size))
    return next((p for p in places if not any(_overlap(p, t) for t in taken)), places[0])


def _places(frame: Rectangle, width: float, size: tuple[int, int]) -> Iterator[Rectangle]:
    """Above the box, below it, inside at its top; then ever further below and above."""
    _, y1, _, y2 = frame
    x = min(max(frame[0] - 1, 0.0), max(size[0] - width, 0.0))
    step = _LABEL_HEIGHT + 1
    tops = [y1 - step, y2 + 1, y1 + 3]
    tops += [top for n in range(1, 12) for top in (y1 + 3 + n * step, y1 - (n + 1) * step)]
    inside = [top for top in tops if 0 <= top <= size[1] - _LABEL_HEIGHT]
    for top in inside or [0.0]:
        yield (x, top, x + width, top + _LABEL_HEIGHT)


def _scaled(box: Box, scale: float) -> Rectangle:
    x1, x2 = sorted((box.x1 * scale, box.x2 * scale))
    y1, y2 = sorted((box.y1 * scale, box.y2 * scale))
    return (x1, y1, x2, y2)


def _area(frame: Rectangle) -> float:
    return (frame[2] - frame[0]) * (frame[3] - frame[1])


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
