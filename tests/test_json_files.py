"""JSON files of a run: complete, or refused with place and remedy."""

import pytest

from skinlab.errors import UserError
from skinlab.json_files import NUMBER, read_json

KEYS = {"made.command": str, "level": NUMBER}
GOOD = '{"made": {"command": "a"}, "level": 0.9}'


def test_a_complete_file_is_read(tmp_path):
    (tmp_path / "a.json").write_text(GOOD)
    assert read_json(tmp_path / "a.json", "evidence", KEYS)["level"] == 0.9


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (GOOD.encode()[:20], "is damaged"),
        (bytes(range(256)), "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b"[]", "it holds a list instead of a mapping"),
        (b"null", "it holds a NoneType instead of a mapping"),
        (b"{}", "it has no made.command"),
        (b'{"made": 3}', "it has no made.command"),
        (b'{"made": {"command": 3}}', "its made.command is a int"),
        (b'{"made": {"command": "a"}, "level": true}', "its level is a bool"),
        (None, "Is a directory"),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(tmp_path, content, reason):
    path = tmp_path / "a.json"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=reason) as refused:
        read_json(path, "evidence of a run", KEYS, remedy="delete it")
    assert str(refused.value).startswith(str(path))
    assert str(refused.value).endswith("; delete it")
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"a\.json: the metrics of a run can't be read \(No such file"):
        read_json(tmp_path / "a.json", "metrics of a run", {})
