"""A file is written whole or not at all, also when several write it at once."""

from concurrent.futures import ThreadPoolExecutor

from course_lib.atomic import write_whole


def test_writers_at_once_never_tear_a_file(tmp_path):
    path, contents = tmp_path / "a.json", {bytes([65 + i]) * 200_000 for i in range(8)}
    path.write_bytes(next(iter(contents)))

    def write_and_read(content):
        write_whole(path, content)
        return path.read_bytes()

    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(write_and_read, sorted(contents) * 20))
    assert set(read) <= contents
    assert list(tmp_path.iterdir()) == [path]
