import inspect
import pickle

import mqspn_client.errors as errors
import pytest
from mqspn_backend.errors import CODES
from mqspn_client import POST_CODES, MqspnError, PostError, RequestError

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, MqspnError)]


def test_the_docstring_draws_every_class():
    drawn = errors.__doc__
    assert {c.__name__ for c in CLASSES if c.__name__ not in drawn} == set()


def test_the_tree_is_as_drawn():
    """A class stands one level of indentation below its base."""
    parents = {}
    stack: list[tuple[int, str]] = []
    for line in errors.__doc__.splitlines():
        name = next((word for word in line.split() if word.endswith("Error")), None)
        if name is None or not hasattr(errors, name):
            continue
        depth = line.index(name)
        stack = [(d, n) for d, n in stack if d < depth] + [(depth, name)]
        parents[name] = stack[-2][1] if len(stack) > 1 else "Exception"
    assert parents == {c.__name__: c.__base__.__name__ for c in CLASSES}


def test_codes_tell_the_classes_apart():
    codes = {c.__name__: c.code for c in CLASSES if c not in (RequestError, PostError)}
    assert len(set(codes.values())) == len(codes)


def test_the_codes_are_the_server_s():
    assert POST_CODES == CODES


@pytest.mark.parametrize("error", [PostError("IMAGE_FORMAT", "no"), MqspnError("broken")])
def test_errors_survive_pickling(error):
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.code, again.message) == (type(error), error.code, error.message)
    assert str(again) == str(error)
    assert error.to_dict() == {"code": error.code, "message": error.message}
