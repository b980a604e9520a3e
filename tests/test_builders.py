"""Each builder with a tiny archive in its publisher's format, from a local HTTP server."""

import functools
import gzip
import hashlib
import http.server
import io
import pathlib
import socket
import subprocess
import sys
import tarfile
import textwrap
import threading
import zipfile

import numpy as np
import PIL.Image
import pytest

from dpd_jax.datasets import builders, loading
from dpd_jax.datasets.builders import archives
from dpd_jax.errors import UserError

# fmt: off
CIFAR10_NAMES = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
]
# fmt: on


@pytest.fixture
def served(tmp_path):
    """An empty folder and the URL under which its files are served."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def mirror(served, monkeypatch):
    """The folder behind DPD_DATA_MIRROR, whose files need no checksum."""
    folder, url = served
    monkeypatch.setenv(archives.MIRROR_VARIABLE, f"{url}/#unchecked")
    return folder


def draw(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def write_cifar(path, members, images, label_columns):
    """`members`: file name -> the slice of images it holds, or its text."""
    pixels = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    records = np.concatenate([*[c[:, None] for c in label_columns], pixels], axis=1)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            raw = content.encode() if isinstance(content, str) else records[content].tobytes()
            entry = tarfile.TarInfo(f"some-folder/{name}")
            entry.size = len(raw)
            archive.addfile(entry, io.BytesIO(raw))


def cifar10(folder):
    """Writes an archive of 50 training and 10 test images; returns all images and labels."""
    images, labels = draw((60, 32, 32, 3)), np.arange(60, dtype=np.uint8) % 10
    members = {f"data_batch_{i + 1}.bin": slice(10 * i, 10 * i + 10) for i in range(5)}
    members |= {"test_batch.bin": slice(50, 60), "batches.meta.txt": "\n".join(CIFAR10_NAMES)}
    write_cifar(folder / "cifar-10-binary.tar.gz", members, images, [labels])
    return images, labels


def load(name, data_dir, test_split="test", progress=None):
    return loading.load(
        name,
        source="tfds",
        train_split="train",
        test_split=test_split,
        image_key="image",
        label_key="label",
        data_dir=data_dir,
        progress=progress,
    )


def same(images, labels, expected_images, expected_labels):
    """Whether both hold the same labelled images in any order; TFDS shuffles."""
    ours, theirs = (
        sorted((image.tobytes(), int(label)) for image, label in zip(*pair, strict=True))
        for pair in ((images, labels), (expected_images, expected_labels))
    )
    return ours == theirs


def test_cifar10_gets_its_data_by_itself(mirror, tmp_path):
    images, labels = cifar10(mirror)
    seen = []
    first = load("cifar10", tmp_path / "sets", progress=lambda f, *, doing: seen.append((doing, f)))
    assert first.name == "cifar10:3.0.2"
    assert first.class_names == tuple(CIFAR10_NAMES)
    assert same(first.train_images, first.train_labels, images[:50], labels[:50])
    assert same(first.test_images, first.test_labels, images[50:], labels[50:])
    assert [entry for entry in seen if entry[1] == 1.0] == [
        ("downloading cifar-10-binary.tar.gz", 1.0),
        ("preparing cifar10 train", 1.0),
        ("preparing cifar10 test", 1.0),
        ("reading cifar10:3.0.2", 1.0),
    ]
    # The second time nothing is fetched.
    (mirror / "cifar-10-binary.tar.gz").unlink()
    assert loading.fingerprint(load("cifar10:3.0.2", tmp_path / "sets")) == loading.fingerprint(
        first
    )


def test_preparing_and_reading_never_import_tensorflow(served, tmp_path):
    folder, url = served
    cifar10(folder)
    code = textwrap.dedent(f"""
        import sys
        from dpd_jax.datasets import loading

        dataset = loading.load(
            "cifar10", source="tfds", train_split="train", test_split="test[:5]",
            image_key="image", label_key="label", data_dir={str(tmp_path / "sets")!r},
        )
        assert dataset.train_images.shape == (50, 32, 32, 3)
        assert "tensorflow" not in sys.modules
    """)
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=pathlib.Path(__file__).parent.parent,
        env={"PATH": "", archives.MIRROR_VARIABLE: f"{url}#unchecked"},
    )


def test_cifar100_reads_the_fine_label(mirror, tmp_path):
    images = draw((30, 32, 32, 3))
    coarse, fine = draw(30) % 20, draw(30, seed=1) % 100
    names = [f"class_{i}" for i in range(100)]
    members = {"train.bin": slice(20), "test.bin": slice(20, 30)}
    members |= {"fine_label_names.txt": "\n".join(names), "coarse_label_names.txt": "other"}
    write_cifar(mirror / "cifar-100-binary.tar.gz", members, images, [coarse, fine])
    dataset = load("cifar100", tmp_path / "sets")
    assert dataset.class_names == tuple(names)
    assert same(dataset.train_images, dataset.train_labels, images[:20], fine[:20])
    assert same(dataset.test_images, dataset.test_labels, images[20:], fine[20:])


def test_fashion_mnist(mirror, tmp_path):
    images, labels = draw((30, 28, 28)), draw(30) % 10
    for prefix, part in (("train", slice(20)), ("t10k", slice(20, 30))):
        for kind, array in (("images-idx3", images[part]), ("labels-idx1", labels[part])):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            path = mirror / f"{prefix}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(header + array.tobytes()))
    dataset = load("fashion_mnist", tmp_path / "sets")
    assert dataset.train_images.shape == (20, 28, 28, 1)
    assert dataset.class_names[0] == "T-shirt/top" and len(dataset.class_names) == 10
    assert same(dataset.train_images, dataset.train_labels, images[:20], labels[:20])
    assert same(dataset.test_images, dataset.test_labels, images[20:], labels[20:])


def test_tiny_imagenet(mirror, tmp_path):
    classes = [f"n{i:08d}" for i in range(200)]
    images = np.repeat(draw((6, 1, 1, 3)), 64, axis=1).repeat(64, axis=2)  # JPEG keeps these
    images[5] = images[5, ..., :1]  # one that is stored as grey
    lines = []
    with zipfile.ZipFile(mirror / "tiny-imagenet-200.zip", "w") as archive:
        archive.writestr("tiny-imagenet-200/wnids.txt", "\n".join(reversed(classes)))
        for i, image in enumerate(images):
            raw = io.BytesIO()
            shown = PIL.Image.fromarray(image[..., 0] if i == 5 else image)
            shown.save(raw, "JPEG", quality=100, subsampling=0)
            name = f"{classes[i]}_0.JPEG" if i < 4 else f"val_{i}.JPEG"
            place = f"train/{classes[i]}/images" if i < 4 else "val/images"
            archive.writestr(f"tiny-imagenet-200/{place}/{name}", raw.getvalue())
            if i >= 4:
                lines.append(f"{name}\t{classes[i]}\t0\t0\t63\t63")
        archive.writestr("tiny-imagenet-200/val/val_annotations.txt", "\n".join(lines))
    dataset = load("tiny_imagenet", tmp_path / "sets", test_split="validation")
    assert dataset.class_names == tuple(classes)
    assert sorted(dataset.train_labels) == [0, 1, 2, 3]
    assert sorted(dataset.test_labels) == [4, 5]
    decoded = np.concatenate([dataset.train_images, dataset.test_images]).astype(int)
    order = np.concatenate([dataset.train_labels, dataset.test_labels])
    np.testing.assert_allclose(decoded, images[order], atol=3)


def leftovers(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_an_archive_with_other_bytes_is_refused(served, tmp_path, monkeypatch):
    folder, url = served
    cifar10(folder)
    monkeypatch.setenv(archives.MIRROR_VARIABLE, url)  # checked
    with pytest.raises(UserError, match=f"from {url}/cifar.* its SHA-256 is not c4a38c50"):
        load("cifar10", tmp_path / "sets")
    assert not leftovers(tmp_path / "sets")


def test_a_failed_download_says_what_to_do_and_leaves_nothing(tmp_path, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv(archives.MIRROR_VARIABLE, f"http://127.0.0.1:{port}")
    with pytest.raises(UserError) as caught:
        load("cifar10", tmp_path / "sets")
    state = f"{tmp_path / 'sets'}, which does not exist"
    for part in (state, f"cannot download http://127.0.0.1:{port}/cifar-10", "--data_dir"):
        assert part in str(caught.value)
    assert not leftovers(tmp_path)


def test_a_missing_file_and_a_bad_url_are_named(served, tmp_path, monkeypatch):
    _, url = served
    for mirror, match in ((url, "404"), ("no-url", "Invalid URL 'no-url/cifar-10-binary")):
        monkeypatch.setenv(archives.MIRROR_VARIABLE, mirror)
        with pytest.raises(UserError, match=match):
            builders.prepare("cifar10", tmp_path)


def test_a_connection_that_breaks_off_is_noticed(tmp_path):
    def half(connection):
        connection.recv(1000)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: half(server.accept()[0]))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.bin"
        with pytest.raises(UserError, match="9 bytes read, 91 more expected"):
            archives.fetch(url, "0", tmp_path / "downloads")
        thread.join()
    assert not leftovers(tmp_path)


def test_an_interrupted_download_leaves_nothing(served, tmp_path):
    folder, url = served
    (folder / "a.bin").write_bytes(bytes(100))

    def stop(fraction, *, doing):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        archives.fetch(f"{url}/a.bin", "0", tmp_path / "downloads", stop)
    assert not leftovers(tmp_path / "downloads")


def test_an_archive_put_there_by_hand_is_used_if_whole(served, tmp_path):
    folder, url = served
    content = b"the published bytes"
    archive = (f"{url}/a.bin", hashlib.sha256(content).hexdigest())
    (tmp_path / "a.bin").write_bytes(content)
    archives.fetch(*archive, tmp_path)  # The server has no such file yet.
    (tmp_path / "a.bin").write_bytes(b"the published BYTES")
    (folder / "a.bin").write_bytes(content)
    archives.fetch(*archive, tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == content


def test_interrupted_preparing_leaves_nothing_readable(mirror, tmp_path):
    cifar10(mirror)

    def stop(fraction, *, doing):
        if doing.startswith("preparing"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builders.prepare("cifar10", tmp_path / "sets", stop)
    assert [path.name for path in leftovers(tmp_path / "sets")] == ["cifar-10-binary.tar.gz"]


@pytest.mark.parametrize("content", [b"<html>Log in to this network</html>", b""])
def test_an_archive_of_another_kind_is_named(mirror, tmp_path, content):
    (mirror / "cifar-10-binary.tar.gz").write_bytes(content)
    with pytest.raises(UserError, match="cannot prepare cifar10 .*if an archive is bad"):
        builders.prepare("cifar10", tmp_path / "sets")
    assert not (tmp_path / "sets" / "cifar10" / "3.0.2").exists()


def test_a_folder_that_cannot_be_written_is_named(mirror, tmp_path):
    cifar10(mirror)
    (tmp_path / "sets").write_text("a file")
    with pytest.raises(UserError, match="cannot write .*sets"):
        builders.prepare("cifar10", tmp_path / "sets")
