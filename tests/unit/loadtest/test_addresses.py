import pytest
from addresses import check_address, is_loopback


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8001", "localhost:8001", "[::1]:8001", "127.9.9.9:1", "localhost"]
)
def test_this_machine(url):
    assert is_loopback(url)
    check_address(url, allow_remote=False)


@pytest.mark.parametrize("url", ["10.0.0.1:8001", "example.org:8001", "0.0.0.0:8001", ""])
def test_another_machine_needs_leave(url):
    with pytest.raises(ValueError, match="--allow-remote"):
        check_address(url, allow_remote=False)
    check_address(url, allow_remote=True)
