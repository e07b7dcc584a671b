"""Images: decoded once, as Pillow decodes them, whoever asks first."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermtune.config import DataConfig, UserError
from dermtune.data import cache
from dermtune.data.cache import decode
from dermtune.data.dataset import open_dataset, prepare
from dermtune.data.manifest import DataError

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def oblong(tmp_path):
    """A picture twice as wide as high: red on the left, blue on the right."""
    pixels = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels[:, :20, 0] = 255
    pixels[:, 20:, 2] = 255
    Image.fromarray(pixels).save(tmp_path / "oblong.png")
    return tmp_path / "oblong.png"


def test_the_dataset_holds_each_images_own_pixels(config, rows, write_folder):
    dataset = open_dataset(config, write_folder(rows))
    names = [row["image_id"] for row in rows]
    for split in (dataset.train, dataset.val, dataset.test):
        images = split.images[np.arange(len(split))]
        assert images.dtype == np.uint8
        assert images.shape == (len(split), 8, 8, 3)
        assert images[:, 0, 0, 0].tolist() == [names.index(name) for name in split.sample_id]


def test_squash_keeps_the_whole_picture(oblong):
    pixels = decode(oblong, DataConfig(image_size=8, fit="squash"))
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert pixels[7, 7].tolist() == [0, 0, 255]


def test_pad_keeps_the_proportions_between_black_bars(oblong):
    pixels = decode(oblong, DataConfig(image_size=8, fit="pad"))
    assert not pixels[[0, -1]].any()
    assert pixels[4, 0].tolist() == [255, 0, 0]


def test_a_photograph_taken_sideways_stands_upright(oblong):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter clockwise
    sideways = oblong.with_name("sideways.jpg")
    Image.open(oblong).save(sideways, exif=exif, quality=95, subsampling=0)
    pixels = decode(sideways, DataConfig(image_size=8)).astype(int)
    assert pixels[0, 4, 0] > 200, "what lay left must stand on top"
    assert pixels[7, 4, 2] > 200


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_fine_chequer_becomes_grey_and_not_a_moire(interpolation, tmp_path):
    chequer = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(chequer).save(tmp_path / "chequer.png")
    pixels = decode(tmp_path / "chequer.png", DataConfig(image_size=16, interpolation=interpolation))
    assert abs(pixels.astype(int) - 128).max() <= 4


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_any_eight_bit_picture_becomes_rgb(mode, tmp_path):
    suffix = "tif" if mode == "CMYK" else "png"
    Image.new("RGB", (9, 9), "white").convert(mode).save(tmp_path / f"white.{suffix}")
    assert decode(tmp_path / f"white.{suffix}", DataConfig(image_size=8)).min() >= 254


def test_bad_images_are_listed_with_what_is_wrong_and_leave_no_cache(config, rows, write_folder):
    place = write_folder(rows)
    folder = place.data_dir / "images"
    whole = (folder / "train0a.png").read_bytes()
    (folder / "train0a.png").write_bytes(whole[: len(whole) // 2])
    (folder / "train0b.png").write_bytes(b"")
    (folder / "train1a.png").write_text("no image")
    Image.fromarray(np.zeros((8, 8), dtype=np.uint16)).save(folder / "train1b.png")
    with pytest.raises(DataError) as refused:
        open_dataset(config, place)
    message = str(refused.value)
    assert "images must be readable and whole; 4 are not" in message
    for said in ("train0a.png (", "train0b.png (0 bytes)", "train1a.png (cannot identify", "8 bits a channel"):
        assert said in message
    assert "\n" not in message
    assert not [path for path in place.cache_dir.iterdir() if path.suffix in (".npy", ".partial")]


def test_images_are_decoded_once_and_again_for_other_settings(config, rows, write_folder):
    place, seen = write_folder(rows), []

    def progress(what, done, total):
        seen.append(what)

    open_dataset(config, place, progress)
    assert seen == ["hashing images", "decoding images"]
    open_dataset(config, place, progress)
    assert len(seen) == 2
    open_dataset(replace(config, fit="pad"), place, progress)
    open_dataset(replace(config, image_size=16), place, progress)
    open_dataset(replace(config, interpolation="bicubic"), place, progress)
    assert seen[2:] == ["decoding images"] * 3


def test_a_build_that_was_cut_off_leaves_nothing_that_counts(config, rows, write_folder, monkeypatch):
    place = write_folder(rows)

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(cache.os, "fsync", full_disk)
        with pytest.raises(UserError, match=r"cache: must be a folder .* with room for them .* No space left"):
            open_dataset(config, place)
    assert not list(place.cache_dir.glob("*.npy"))
    assert len(open_dataset(config, place).test) == 8


def test_a_leftover_of_a_killed_build_is_written_over(config, rows, write_folder):
    place = write_folder(rows)
    open_dataset(config, place)
    (built,) = place.cache_dir.glob("images-*.npy")
    sound = built.read_bytes()
    built.rename(place.cache_dir / f".{built.name}.partial").write_bytes(b"x" * 3 * len(sound))
    open_dataset(config, place)
    assert built.read_bytes() == sound


OPEN_AND_TELL = """
import sys, hashlib, numpy as np
from pathlib import Path
from dermtune.config import DataConfig, SyntheticConfig
from dermtune.data.dataset import open_dataset
from dermtune.data.place import Place

work = set()
config = DataConfig(image_suffix=".png", group_column="lesion_id", image_size=16,
                    synthetic=SyntheticConfig(n_train=200, n_test=100, image_size=16))
place = Place(data_dir=Path(sys.argv[1]) / "data", cache_dir=Path(sys.argv[1]) / "cache")
data = open_dataset(config, place, lambda what, done, total: work.add(what.split()[0]))
pixels = data.test.images[np.arange(len(data.test))]
print(data.fingerprint, hashlib.sha256(pixels.tobytes()).hexdigest(), ",".join(sorted(work - {"hashing"})))
"""


def test_eight_processes_that_start_at_once_get_one_set_and_one_cache(tmp_path):
    command = [sys.executable, "-c", OPEN_AND_TELL, str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    told = [process.communicate()[0].split() for process in started]
    assert [process.returncode for process in started] == [0] * 8
    assert len({tuple(line[:2]) for line in told}) == 1
    work = sorted(",".join(line[2:]) for line in told)
    assert sum("drawing" in done for done in work) == 1
    assert sum("decoding" in done for done in work) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "data"]
    assert len(list((tmp_path / "cache").glob("images-*.npy"))) == 1


def test_prepare_reads_no_image_into_a_cache(config, rows, write_folder):
    place = write_folder(rows)
    prepare(config, place)
    assert not list(place.cache_dir.glob("*.npy"))
