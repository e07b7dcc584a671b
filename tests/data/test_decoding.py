"""Whatever lies where an image should gives pixels or a reason: it starts nothing, fills no memory, never hangs."""

import io
import os
import resource
import shutil
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dermtune.config import DataConfig
from dermtune.data.decoding import FORMATS, UnreadableError, read_image, strict

CONFIG = DataConfig(image_size=8)


def reason(path, config=CONFIG):
    """Why the file gives no pixels."""
    with strict(), pytest.raises(UnreadableError) as refused:
        read_image(path, config)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def encoded(form):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def png(width, height, rows=b""):
    """A PNG that says it is so large, whatever follows."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_that_is_read_is_one_that_pillow_here_can_read(form, tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(encoded(form))
    assert read_image(path, CONFIG).shape == (8, 8, 3)


def test_a_picture_of_two_eyes_as_telephones_write_it_is_read(tmp_path):
    one, other = Image.new("RGB", (9, 9), "white"), Image.new("RGB", (9, 9))
    one.save(tmp_path / "both.jpg", "MPO", save_all=True, append_images=[other])
    assert read_image(tmp_path / "both.jpg", CONFIG).min() >= 254


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "missing"),
        (lambda path: path.symlink_to("gone.jpg"), "missing"),
        (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: os.mkfifo(path), "no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
        (lambda path: path.touch(), "0 bytes"),
        (lambda path: path.write_text("<html>404</html>"), "no image in a format that is read"),
        (lambda path: path.write_bytes(encoded("PNG")[:-40]), "image file is truncated"),
        (lambda path: Image.new("I;16", (8, 8)).save(path, "PNG"), "must have 8 bits a channel, got mode I;16"),
    ],
    ids=[
        "missing",
        "dangling link",
        "link to itself",
        "folder",
        "pipe",
        "device",
        "empty",
        "text",
        "cut off",
        "16 bit",
    ],
)
def test_what_is_no_image_is_told_for_what_it_is(make, told, tmp_path):
    make(tmp_path / "image.jpg")
    assert told in reason(tmp_path / "image.jpg")


def test_a_name_that_no_file_can_have_is_a_reason_too(tmp_path):
    assert reason(tmp_path / ("x" * 300)) == "File name too long"
    (tmp_path / "file").touch()
    assert reason(tmp_path / "file" / "image.jpg") == "Not a directory"


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv, which takes root's rights away, is not here")
def test_an_image_that_one_may_not_read_is_told_as_that(tmp_path):
    (tmp_path / "image.png").write_bytes(encoded("PNG"))
    (tmp_path / "image.png").chmod(0)
    told = "from pathlib import Path; from tests.data.test_decoding import *; print(reason(Path(sys.argv[1])))"
    command = [sys.executable, "-c", told, str(tmp_path / "image.png")]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "Permission denied\n"


@pytest.mark.parametrize(("width", "height"), [(9500, 9500), (40_000, 40_000), (2**31 - 1, 1)])
def test_an_image_of_absurd_size_is_refused_by_its_head_alone(width, height, tmp_path):
    (tmp_path / "bomb.png").write_bytes(png(width, height))
    assert "could be decompression bomb DOS attack" in reason(tmp_path / "bomb.png")


def test_a_line_of_pixels_is_squashed_but_not_padded_to_gigabytes(tmp_path):
    (tmp_path / "line.png").write_bytes(png(50_000, 1, bytes(50_001)))
    assert read_image(tmp_path / "line.png", CONFIG).shape == (8, 8, 3)
    told = reason(tmp_path / "line.png", DataConfig(image_size=8, fit="pad"))
    assert told == "must be less oblong to be padded to a square, got 50000 x 1 pixels"


def test_a_postscript_file_is_no_image_for_pillow_would_start_ghostscript_on_it(tmp_path, monkeypatch):
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/canary\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "image.jpg").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    )
    assert reason(tmp_path / "image.jpg") == "no image in a format that is read"
    assert not (tmp_path / "canary").exists()


def test_a_machine_that_cannot_open_files_says_nothing_about_the_image(tmp_path):
    (tmp_path / "image.png").write_bytes(encoded("PNG"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            read_image(tmp_path / "image.png", CONFIG)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


WHOLE = {form: encoded(form) for form in FORMATS}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_bytes_give_pixels_or_a_reason(tmp_path_factory, data):
    content = bytearray(WHOLE[data.draw(st.sampled_from(FORMATS))])
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, min(len(content), 200) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "any.jpg"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    with strict():
        try:
            assert read_image(path, CONFIG).shape == (8, 8, 3)
        except UnreadableError as error:
            assert str(error)  # noqa: PT017 a reason is one of two right answers
