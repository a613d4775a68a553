"""What is measured: made once in a folder that is kept, and again where it was something else."""

from dataclasses import replace

from bench.measured_system import _DEMO_CHECKPOINT, make_system
from bench.run_settings import RunSettings

DEMO = RunSettings(size="demo", profile="cpu", precision="fp32")


def test_a_kept_folder_is_used_again_if_it_was_made_of_the_same(tmp_path):
    def made_again(settings):
        """Whether the repository is a new one: a mark in the old one is gone."""
        mark = tmp_path / "model_repository" / "mark"
        mark.parent.mkdir(exist_ok=True)
        mark.touch()
        system = make_system(settings, [], tmp_path, timeout_s=60)
        assert (system.repository / "text_encoder" / "1" / "model.onnx").is_file()
        return not mark.is_file()

    assert made_again(DEMO)
    assert not made_again(DEMO)
    assert not made_again(replace(DEMO, callers=(256,)))
    assert made_again(replace(DEMO, checkpoint=_DEMO_CHECKPOINT))
    # A run that was killed while it made them has left no word of what they are.
    (tmp_path / "made.json").unlink()
    assert made_again(DEMO)
