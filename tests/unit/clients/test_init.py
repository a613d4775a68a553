import inspect
import subprocess
import sys

import mqspn_client


def test_all_names_what_there_is_and_nothing_else():
    public = {
        name
        for name, value in vars(mqspn_client).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert set(mqspn_client.__all__) == public
    assert mqspn_client.__all__ == sorted(
        mqspn_client.__all__, key=lambda n: (not n.isupper(), n.islower(), n)
    )


def test_the_client_imports_nothing_else_of_ours_and_no_framework():
    """Its users install tritonclient, numpy, pillow, typer, rich and tqdm."""
    code = (
        "import sys, mqspn_client.command\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"mqspn", "mqspn_backend", "torch", "transformers", "locust"} & set(loaded)
