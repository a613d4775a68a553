"""Serve a repository with more than one instance of the vision engines, the repository untouched.

Triton's command line cannot say how many instances a model has. So the server gets a private
repository of links, in which the configurations of these engines are written again.
"""

from __future__ import annotations

from pathlib import Path

from mqspn_backend.cores import usable_cores

from mqspn.serving.errors import ServerError

__all__ = ["MULTIPLIED", "link_instances"]

#: The engines that take most of a post's time.
MULTIPLIED = ("region_proposer", "region_encoder")


def link_instances(repository: Path, folder: Path, *, profile: str, instances: int) -> Path:
    """Make ``folder`` a repository of links to ``repository``, with more of the vision engines.

    ``instances``: of each in `MULTIPLIED`. It is for serving profile ``profile``, whose
    configurations are `configs/<profile>.pbtxt`. Raises ServerError where one is absent or cannot
    be read.
    """
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as pb

    for model in sorted(path for path in repository.absolute().iterdir() if path.is_dir()):
        (folder / model.name).mkdir(parents=True)
        for entry in model.iterdir():
            if not (model.name in MULTIPLIED and entry.name == "configs"):
                (folder / model.name / entry.name).symlink_to(entry)
    for name in MULTIPLIED:
        path = repository / name / "configs" / f"{profile}.pbtxt"
        try:
            config = text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
        except (OSError, text_format.ParseError) as error:
            raise ServerError(
                f"--instances needs the configuration {path}: {error}; make the repository again "
                "with `mqspn build`"
            ) from error
        for group in config.instance_group:
            group.count = instances
        if config.parameters["threads"].string_value == "0":
            # Together they use the cores, and no more.
            config.parameters["threads"].string_value = str(max(1, usable_cores() // instances))
        (folder / name / "configs").mkdir()
        (folder / name / "configs" / path.name).write_text(
            text_format.MessageToString(config), encoding="utf-8"
        )
    return folder
