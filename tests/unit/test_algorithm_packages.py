"""An algorithm's package is judged whole, by its bytes alone."""

import io
import stat
import warnings
import zipfile

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_catalog.contract.packages import (
    MAXIMUM_FILES,
    MAXIMUM_PACKAGE,
    MAXIMUM_UNPACKED,
    PackageError,
    contents,
    package_name,
    read_package,
    tags_for,
    tree_digest,
)
from device_catalog.operator.__main__ import main
from device_catalog.packages.packing import pack
from device_catalog.packages.skeleton import write_skeleton
from tests.support.packages import INFORMATION, NAME, right_package, with_record, zipped

FILE = package_name(NAME, "0.1.0")


def problems(files, name=FILE, tags=None, *, record=True):
    data = zipped(with_record(files) if record else files) if isinstance(files, dict) else files
    with pytest.raises(PackageError) as refused:
        read_package(name, data, tags)
    return [str(problem) for problem in refused.value.problems]


@pytest.fixture
def files():
    return contents(right_package())


def test_the_same_files_make_the_same_bytes(tmp_path):
    folder = write_skeleton(NAME, tmp_path)
    (folder / "voltage_band" / "__pycache__").mkdir()
    (folder / "voltage_band" / "__pycache__" / "x.pyc").write_bytes(b"x")
    package, data = pack(folder)
    assert data == right_package()
    assert (package.file_name, package.manifest.info.name, package.manifest.release) == (FILE, NAME, 1)
    assert package.manifest.info.settings[0].maximum == 0.5


def test_a_stored_algorithm_is_unpacked_by_others_too():
    with zipfile.ZipFile(io.BytesIO(right_package())) as archive:
        assert archive.testzip() is None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("../evil.py", "one that leaves it"),
        ("voltage_band/../../evil.py", "one that leaves it"),
        ("/etc/evil.py", "an absolute one"),
        ("C:/evil.py", "an absolute one"),
        ("voltage_band\\..\\evil.py", "one that leaves it"),
        ("voltage_band/\x1b[2J.py", "printable ASCII"),
        ("voltage_band/" + 250 * "x", "at most 200"),
        ("voltage_band/sub/", "a folder"),
        ("numpy/__init__.py", "stand in for numpy"),
        ("json.py", "stand in for json"),
        ("agent/__init__.py", "stand in for agent"),
        ("evil.pth", "elsewhere"),
        ("voltage_band-0.1.0.data/scripts/x", "elsewhere"),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(files, path, words):
    assert any(words in problem for problem in problems({**files, path: b""}))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_only_plain_files_are_taken(kind):
    buffer = io.BytesIO(right_package())
    with zipfile.ZipFile(buffer, "a") as archive:
        entry = zipfile.ZipInfo("voltage_band/link")
        entry.create_system = 3
        entry.external_attr = (kind | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    assert "expected a file, found" in problems(buffer.getvalue())[0]


def test_a_path_that_stands_there_twice_is_refused():
    buffer = io.BytesIO(right_package())
    with zipfile.ZipFile(buffer, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(zipfile.ZipInfo("voltage_band/ALGORITHM.py"), b"")
    assert "each path once" in problems(buffer.getvalue())[0]


def test_a_zip_bomb_is_refused_by_what_it_declares_and_by_what_is_there():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            archive.writestr(f"voltage_band/{number}", bytes(MAXIMUM_UNPACKED // 4))
    assert any("unpacked: expected at most" in problem for problem in problems(buffer.getvalue()))
    lying = io.BytesIO()
    with zipfile.ZipFile(lying, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("voltage_band/x", bytes(2**20))
        archive.filelist[0].file_size = 100
    assert "expected a whole wheel" in problems(lying.getvalue())[0]


def test_a_file_without_a_name_is_refused():
    data = right_package().replace(b"voltage_band/__init__.py", b"\0" + b"oltage_band/__init__.py")
    assert "expected" in problems(data)[0]


def test_too_many_files_and_too_long_a_file_are_refused(files):
    many = {f"voltage_band/{number}.py": b"" for number in range(MAXIMUM_FILES)}
    assert any("files: expected at most" in problem for problem in problems({**files, **many}))
    assert "length: expected at most" in problems(bytes(MAXIMUM_PACKAGE + 1))[0]


@pytest.mark.parametrize("cut", [0, 1, 100, 2000, -1])
def test_a_truncated_file_is_refused(cut):
    assert "expected a whole wheel" in problems(right_package()[:cut])[0]


def test_another_version_of_the_interface_is_refused(files):
    manifest = f"{INFORMATION}/algorithm.toml"
    files[manifest] = files[manifest].replace(b"api_version = 1", b"api_version = 2")
    assert problems(files) == ["info.api_version: expected 1, found 2"]


def test_a_package_for_another_machine_is_refused(files):
    tag = "cp311-abi3-linux_x86_64"
    files[f"{INFORMATION}/WHEEL"] = files[f"{INFORMATION}/WHEEL"].replace(b"py3-none-any", tag.encode())
    name = package_name(NAME, "0.1.0", tag)
    data = zipped(with_record(files))
    assert read_package(name, data, tags_for("x86_64", (3, 11))).tag == tag
    assert "found cp311-abi3-linux_x86_64" in problems(data, name, tags_for("aarch64", (3, 13)))[0]


def test_compiled_code_names_its_platform(files):
    assert "no compiled code" in problems({**files, "voltage_band/fast.so": b"\x7fELF"})[0]


def test_a_package_without_a_manifest_is_refused(files):
    del files[f"{INFORMATION}/algorithm.toml"]
    assert problems(files) == [f"{INFORMATION}/algorithm.toml: expected the manifest of an algorithm, found none"]


def test_what_its_record_does_not_say_is_refused(files):
    changed = {**files, "voltage_band/algorithm.py": files["voltage_band/algorithm.py"] + b"\n", "extra.py": b""}
    del changed["voltage_band/__init__.py"]
    found = problems(changed, record=False)
    assert any(problem.startswith("voltage_band/algorithm.py: expected its SHA-256") for problem in found)
    assert any(problem.startswith("extra.py: expected its SHA-256") for problem in found)
    assert any("only files that are there, found voltage_band/__init__.py" in problem for problem in found)


@pytest.mark.parametrize("name", [package_name(NAME, "0.1.1"), package_name("voltage-bend", "0.1.0"), "x.zip"])
def test_the_file_is_named_after_what_is_in_it(name):
    assert problems(right_package(), name)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (b"algorithm:VoltageBand", b"missing:VoltageBand", "so a file voltage_band/missing.py"),
        (b"algorithm:VoltageBand", b"algorithm:Missing", "a class Missing"),
        (b'runtime = ["numpy"]', b'runtime = ["numpy", "torch"]', "found torch; bring it along"),
        (b"release = 1", b"release = 0", "release: expected 1 or more"),
        (b"maximum = 0.5", b"maximum = 0.001", "a minimum no larger"),
    ],
)
def test_what_a_manifest_says_must_be_true(files, before, after, words):
    manifest = f"{INFORMATION}/algorithm.toml"
    files[manifest] = files[manifest].replace(before, after)
    assert any(words in problem for problem in problems(files))


def test_everything_wrong_is_told_at_once(files):
    manifest = f"{INFORMATION}/algorithm.toml"
    files[manifest] = files[manifest].replace(b"algorithm:VoltageBand", b"other:VoltageBand")
    files["json.py"] = b""
    assert len(problems(files, package_name(NAME, "9.9.9"))) >= 4


def test_what_is_brought_along_is_bound_by_its_digest(tmp_path):
    folder = write_skeleton(NAME, tmp_path)
    vendored = folder / "voltage_band" / "vendor" / "filters"
    vendored.mkdir(parents=True)
    (vendored / "__init__.py").write_text("TAPS = 3\n")
    with (folder / "algorithm.toml").open("a") as manifest:
        manifest.write('\n[[vendored]]\nname = "filters"\nversion = "2.1"\npath = "voltage_band/vendor/filters"\n')
    package, data = pack(folder)
    files = contents(data)
    assert package.manifest.vendored[0].sha256 == tree_digest(files, "voltage_band/vendor/filters")
    files["voltage_band/vendor/filters/__init__.py"] = b"TAPS = 4\n"
    assert problems(files)[0].startswith("vendored.filters: expected SHA-256")


def test_a_class_that_cannot_be_asked_is_told_in_one_sentence(tmp_path, capsys):
    folder = write_skeleton(NAME, tmp_path)
    (folder / "voltage_band" / "algorithm.py").write_text("import does_not_exist\n")
    assert main(["algorithm", "pack", str(folder), "-o", str(tmp_path)]) == 1
    assert "No module named 'does_not_exist'" in capsys.readouterr().err
    assert list(tmp_path.glob("*.whl")) == []


def test_an_author_begins_packs_and_looks(tmp_path, capsys):
    assert main(["algorithm", "new", NAME, "--in", str(tmp_path)]) == 0
    assert main(["algorithm", "pack", str(tmp_path / NAME), "-o", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["algorithm", "inspect", "--json", str(tmp_path / FILE)]) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["manifest"]["info"]["name"] == NAME
    assert main(["algorithm", "inspect", str(tmp_path / FILE)]) == 0
    assert "band: a number with value from 0.01 to 0.5 [1], default 0.1" in capsys.readouterr().out
    assert main(["algorithm", "new", NAME, "--in", str(tmp_path)]) == 2
    assert main(["algorithm", "new", "numpy", "--in", str(tmp_path)]) == 2


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=20))
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_are_refused_or_mean_the_same(changes):
    data = bytearray(right_package())
    for place, value in changes:
        data[place % len(data)] = value
    try:
        package = read_package(FILE, bytes(data))
    except PackageError:
        return
    assert contents(bytes(data)) == contents(right_package())
    assert package.manifest.info.name == NAME
