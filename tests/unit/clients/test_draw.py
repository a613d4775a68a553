import io

import pytest
from mqspn_client import Box, Entity, PostError, Prediction, draw_prediction
from mqspn_client.caption import marked_pieces
from mqspn_client.lettering import TYPE_COLOURS, Pen, type_colour
from PIL import Image, ImageChops


def entity(text, start, box=None, kind="PER", score=0.9):
    return Entity(text, start, start + len(text), kind, score, box, 0.8)


def prediction(*entities, truncated=False):
    return Prediction(tuple(entities), "test", truncated)


def picture(width=320, height=200, colour=(120, 120, 120)):
    return Image.new("RGB", (width, height), colour)


def count(image, colour):
    return sum(n for n, c in image.getcolors(maxcolors=1 << 24) if c == colour)


def test_the_box_is_drawn_where_it_is():
    drawn = draw_prediction(picture(), prediction(entity("Jordan", 0, Box(100, 80, 200, 160))))
    scale = drawn.width / 320
    red = TYPE_COLOURS["PER"]
    for x, y in ((100, 120), (200, 120), (150, 160)):
        assert drawn.getpixel((round(x * scale), round(y * scale))) == red
    assert drawn.getpixel((round(150 * scale), round(120 * scale))) == (120, 120, 120)


def test_the_given_image_is_not_touched():
    image = picture()
    draw_prediction(image, prediction(entity("Jordan", 0, Box(10, 10, 50, 50))))
    assert image.getcolors() == [(320 * 200, (120, 120, 120))]


def test_types_have_colours_of_their_own():
    assert len(set(TYPE_COLOURS.values())) == 4
    assert type_colour("EVENT") == type_colour("EVENT")
    assert type_colour("EVENT") not in TYPE_COLOURS.values()
    for kind, colour in TYPE_COLOURS.items():
        drawn = draw_prediction(picture(), prediction(entity("A", 0, Box(9, 50, 99, 99), kind)))
        assert count(drawn, colour) > 1000


@pytest.mark.parametrize(
    ("size", "width"),
    [((20, 10), 640), ((640, 480), 640), ((900, 30), 900), ((4000, 3000), 1280), ((1, 1), 640)],
)
def test_a_small_picture_is_enlarged_and_a_large_one_reduced(size, width):
    drawn = draw_prediction(picture(*size), prediction(entity("A", 0, Box(0, 0, *size))))
    assert drawn.width == width


def test_a_grounded_answer_without_text_needs_no_caption():
    drawn = draw_prediction(picture(640, 400), prediction(entity("A", 0, Box(9, 50, 99, 99))))
    assert drawn.size == (640, 400)


def test_what_is_not_in_the_image_is_listed_below_it():
    grounded = entity("A", 0, Box(9, 50, 99, 99), "ORG")
    drawn = draw_prediction(picture(640, 400), prediction(grounded, entity("Paris", 2, kind="LOC")))
    caption = drawn.crop((0, 400, *drawn.size))
    assert drawn.height > 430
    assert count(caption, TYPE_COLOURS["LOC"]) > 100
    assert count(caption, TYPE_COLOURS["ORG"]) == 0


def test_the_text_marks_its_entities():
    answer = prediction(entity("Ann", 0, Box(9, 50, 99, 99)), entity("Paris", 7, kind="LOC"))
    drawn = draw_prediction(picture(640, 400), answer, text="Ann in Paris")
    caption = drawn.crop((0, 400, *drawn.size))
    assert count(caption, TYPE_COLOURS["PER"]) > count(caption, TYPE_COLOURS["LOC"]) > 100


@pytest.mark.parametrize(
    "answer", [prediction(), prediction(entity("Ann", 0)), prediction(truncated=True)]
)
def test_no_image_is_a_card(answer):
    card = draw_prediction(None, answer, text="Ann sings " * 20)
    assert card.width == 640
    assert 60 < card.height < 400


def test_truncation_adds_a_line():
    short, long = (draw_prediction(None, prediction(truncated=t)) for t in (False, True))
    assert long.height > short.height


def test_the_picture_is_turned_upright():
    image = picture(300, 200)
    exif = image.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    drawn = draw_prediction(buffer.getvalue(), prediction(entity("A", 0, Box(0, 0, 200, 300))))
    assert drawn.size == (640, 960)


def test_transparency_stands_on_white():
    clear = Image.new("RGBA", (640, 100), (0, 0, 0, 0))
    assert draw_prediction(clear, prediction()).getpixel((600, 50)) == (255, 255, 255)


def test_labels_do_not_cover_each_other():
    """Five entities of one box: five labels can be told apart by their colours' areas."""
    box = Box(20, 60, 200, 180)
    answer = prediction(*(entity("Jordan", i, box, kind) for i, kind in enumerate(TYPE_COLOURS)))
    drawn = draw_prediction(picture(), answer)
    areas = [count(drawn, colour) for colour in TYPE_COLOURS.values()]
    alone = [
        count(draw_prediction(picture(), prediction(e)), type_colour(e.type))
        for e in answer.entities
    ]
    frame = 2 * 3 * (360 + 240)
    for area, whole in zip(areas, alone, strict=True):
        assert area > whole - frame - 500


@pytest.mark.parametrize(
    "box",
    [Box(0, 0, 320, 200), Box(-50, -9, 900, 900), Box(319, 199, 320, 200), Box(5, 5, 5, 5)],
)
@pytest.mark.parametrize("name", ["", "Jordan", "W" * 500, "\n\t\0", "日本 😀 " * 9, "\ud83d"])
def test_any_box_and_any_name_can_be_drawn(box, name):
    drawn = draw_prediction(picture(), prediction(entity(name, 0, box), entity(name, 0)), text=name)
    assert drawn.width == 640
    assert ImageChops.difference(drawn.crop((0, 0, 640, 400)), picture(640, 400)).getbbox()


@pytest.mark.parametrize("image", [b"no image", "missing.png"])
def test_what_is_no_image_is_an_error(image):
    with pytest.raises(PostError, match="IMAGE_UNREADABLE"):
        draw_prediction(image, prediction())


def test_pieces_join_to_the_text_whatever_the_spans():
    text = "Ann met Bo in Paris"
    spans = [(0, 3), (8, 10), (9, 19), (14, 19), (5, 5), (-2, 4), (18, 40)]
    entities = [Entity("x", a, b, "PER", 1.0, None, None) for a, b in spans]
    pieces = list(marked_pieces(text, entities))
    assert "".join(characters for characters, _ in pieces) == text
    assert [c for c, e in pieces if e] == ["Ann", "Bo", "Paris"]


def test_letters_that_the_font_lacks_are_left_out():
    pen = Pen.for_letters("Jordan")
    assert pen.clean("Jor\nd\0an \uffff") == "Jor dan "
    assert pen.fit("W" * 100, 200).endswith("...")
    assert pen.body.getlength(pen.fit("W" * 100, 200)) <= 200


@pytest.mark.parametrize("size", [(1, 200_000), (200_000, 1), (2, 5000)])
def test_a_very_thin_image_stays_drawable(size):
    picture = draw_prediction(Image.new("RGB", size), Prediction((), "v", False), text="thin")
    assert 640 <= picture.width <= 4096
    assert picture.height <= 10_000
