"""Files of settings and overrides: what is read, what extends what, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from mqspn.errors import BuildError
from mqspn.settings import load_settings
from mqspn.settings.file import parse_overrides


def test_an_override_reaches_every_depth() -> None:
    settings = load_settings("demo", {"training.network.learning_rate": 1, "name": "mine"})
    assert settings.training.network.learning_rate == 1.0
    assert settings.name == "mine"


def test_an_override_reaches_elements_free_mappings_and_defaults() -> None:
    settings = load_settings(
        "demo",
        {
            "types.0.prompt": "a person",
            "text_encoder.config.a_new.key": 3,
            "region_proposer.pixel_mean.1": 0.5,  # not in the file
            "serving.buckets.0": 16,
            "training.mixed_precision": False,  # what YAML makes of a bare no
            "training.region_encoder.patience": 3,
        },
    )
    assert settings.types[0].prompt == "a person"
    assert settings.types[1] == load_settings("demo").types[1]
    assert settings.text_encoder.config["a_new"] == {"key": 3}
    assert settings.region_proposer.pixel_mean == (0.0, 0.5, 0.0)
    assert settings.text_encoder.pixel_mean == (0.0, 0.0, 0.0)
    assert settings.serving.buckets == (16, 64)
    assert settings.training.mixed_precision == "no"
    assert settings.training.region_encoder.patience == 3


def test_a_file_can_extend_another(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "extends: demo\nname: mine\ntypes: [{ name: PET, prompt: pet, label: PET }]\n"
        "training: { network: { epochs: 2 } }\n"
    )
    (tmp_path / "more.yaml").write_text("extends: mine.yaml\nnetwork: { layers: 1 }\n")
    demo, more = load_settings("demo"), load_settings(tmp_path / "more.yaml")
    assert (more.name, [t.name for t in more.types]) == ("mine", ["PET"])
    assert (more.network.layers, more.network.width) == (1, demo.network.width)
    assert more.training.network.epochs == 2
    assert more.training.network.learning_rate == demo.training.network.learning_rate
    (tmp_path / "loop.yaml").write_text("extends: loop.yaml\n")
    with pytest.raises(BuildError, match="extends itself"):
        load_settings(tmp_path / "loop.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(BuildError, match="must be a mapping"):
        load_settings(tmp_path / "list.yaml")


def test_a_file_in_the_current_folder_stands_in_for_no_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    for name in ("demo", "other.yaml"):
        (here / name).write_text("extends: base\nname: shadow\n")
    (there / "mine.yaml").write_text("extends: demo\n")
    (there / "lost.yaml").write_text("extends: other.yaml\n")
    monkeypatch.chdir(here)
    demo = load_settings("demo")
    assert demo.name != "shadow"
    assert load_settings(there / "mine.yaml") == demo
    with pytest.raises(BuildError, match=r"other\.yaml.*neither a file beside it nor one"):
        load_settings(there / "lost.yaml")
    assert load_settings("./demo").name == load_settings(Path("demo")).name == "shadow"
    (there / "demo").write_text("extends: base\nname: beside\n")
    assert load_settings(there / "mine.yaml").name == "beside"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"extends: demo\nname: a\nname: b\n",
            r"'name' stands twice; .* \(line 3, column 1\)",
        ),
        (b"extends: demo\nnetwork: { layers: 1, width: 8, layers: 2 }\n", "'layers' stands twice"),
        (b"extends: demo\nname: caf\xe9\n", r"mine\.yaml: not UTF-8 .*save it as UTF-8"),
        (b"extends: [demo]\n", r"extends must be text, .* one settings file, not \['demo'\]$"),
        (b"extends: true\n", "extends must be text, .* not true$"),
        (b"extends: [\n", r"mine\.yaml: cannot be read as YAML"),
    ],
)
def test_a_file_that_would_be_misread_is_refused(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_bytes(content)
    with pytest.raises(BuildError, match=message) as caught:
        load_settings(tmp_path / "mine.yaml")
    assert "mine.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


DEEP = "{region_encoder: {config: {a: " + "[" * 400 + "]" * 400 + "}}}"


DIGITS = "9" * 5000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"extends": "demo", "name": "\\ud800"}',
            r"name has half a character, as '\\ud800' shows",
        ),
        ('{"extends": "demo", "network": {"\\ud800": 1}}', "has half a character"),
        (DEEP, "settings: region_encoder.config.a is more than 200 .* deep; make it flatter"),
        ("[" * 1000, "too deep inside each other; make it flatter"),
        ("region_encoder: { config: &a { x: *a } }", "region_encoder.config.x contains itself;"),
        ("&a { extends: demo, x: *a }", "settings: x contains itself"),
        ("extends: &a [*a]", "extends.0 contains itself"),
        (f"extends: demo\nimage_side: {DIGITS}", r"999... cannot be read as int; .* \(line 2, "),
        (f"image_side: 0x{DIGITS}", "image_side is a number of too many digits"),
        ("name: 2026-02-30", r"'2026-02-30' cannot be read as timestamp; put text in quotes"),
        ("name: !!bool maybe", "'maybe' cannot be read as bool"),
        (f"extends: {'x' * 5000}", r"extends 'x+\.\.\., which is neither a file"),
        ('extends: "a\\0b"', "which is neither a file beside it"),
    ],
)
def test_yaml_that_holds_no_settings_is_refused_in_one_line(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BuildError, match=message) as caught:
        load_settings(path, {"network.layers": 2})
    assert "\n" not in str(caught.value)
    assert "settings:  " not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_values_nest_as_deep_as_they_are_read() -> None:
    inner: list[object] = []
    for _ in range(196):
        inner = [inner]
    settings = load_settings("demo", {"region_encoder.config.a": inner, "network.layers": 2})
    assert settings.region_encoder.config["a"] == inner
    with pytest.raises(BuildError, match=r"region_encoder\.config\.a is more than 200"):
        load_settings("demo", {"region_encoder.config.a": [inner]})
    inner.append(inner)
    with pytest.raises(BuildError, match=r"^settings: region_encoder\.config\.a.* contains itself"):
        load_settings("demo", {"region_encoder.config.a": inner})


def test_a_character_in_two_halves_is_one(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"extends": "demo", "name": "\\ud83d\\ude00"}')
    assert load_settings(tmp_path / "mine.json").name == "\N{GRINNING FACE}"


def test_no_file_has_such_a_name() -> None:
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises(BuildError, match="no settings file"):
            load_settings(name)


@pytest.mark.parametrize(
    ("pairs", "overrides"),
    [
        ([], {}),
        (["network.layers=2"], {"network.layers": 2}),
        (["name=a=b", "serving.buckets=[16, 32]"], {"name": "a=b", "serving.buckets": [16, 32]}),
        (["training.mixed_precision=no"], {"training.mixed_precision": False}),
        (["text_encoder.pretrained="], {"text_encoder.pretrained": None}),
    ],
)
def test_overrides_of_the_command_line(pairs: list[str], overrides: dict[str, object]) -> None:
    assert parse_overrides(pairs) == overrides


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("network.layers", "--set needs key=value, not 'network.layers'"),
        ("=2", "--set needs key=value, not '=2'"),
        (f"image_side={'9' * 5000}", r"^--set image_side: '9+\.\.\. is not YAML: .* as int"),
        (f"name={'[' * 1000}", "^--set name: .* too deep"),
        ("serving.buckets=[16", r"--set serving.buckets: '\[16' is not YAML"),
    ],
)
def test_an_override_that_is_none_is_refused(pair: str, message: str) -> None:
    with pytest.raises(BuildError, match=message) as caught:
        parse_overrides([pair])
    assert "\n" not in str(caught.value)


def test_an_override_given_twice_is_refused() -> None:
    with pytest.raises(BuildError, match=r"^--set network\.layers stands twice; keep one$"):
        parse_overrides(["network.layers=1", "name=a", "network.layers=2"])
    with pytest.raises(BuildError, match=r"^--set network: .*the key 'layers' stands twice"):
        parse_overrides(["network={layers: 2, layers: 3}"])


def test_extends_is_no_override() -> None:
    with pytest.raises(BuildError, match=r"^settings: 'extends' stands in a settings file only"):
        load_settings("demo", {"extends": "base"})


def test_an_unknown_file_lists_the_packaged_ones() -> None:
    with pytest.raises(BuildError, match="base, base_untrained, demo"):
        load_settings("dmo")
