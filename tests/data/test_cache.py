"""Images: decoded once, as Pillow decodes them, whoever asks first."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermtune.config import DataConfig, SyntheticConfig, UserError
from dermtune.data import cache
from dermtune.data.dataset import open_dataset
from dermtune.data.decoding import decode
from dermtune.data.place import Place

CHECKOUT = Path(__file__).parents[2]
SMALL = DataConfig(
    image_suffix=".png",
    group_column="lesion_id",
    image_size=16,
    synthetic=SyntheticConfig(n_train=200, n_test=100, image_size=16),
)


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


class Malicious:
    """What makes a file when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


@pytest.mark.parametrize("plant", ["an object array", "a pickle", "an archive", "nothing", "another shape"])
def test_a_cache_that_is_not_the_array_that_was_written_is_built_anew_and_runs_nothing(
    plant, config, rows, write_folder, tmp_path
):
    place, canary = write_folder(rows), tmp_path / "canary"
    sound = open_dataset(config, place)
    (built,) = place.cache_dir.glob("images-*.npy")
    before = built.read_bytes()
    with built.open("wb") as file:
        match plant:
            case "an object array":
                np.save(file, np.array([Malicious(canary)], dtype=object), allow_pickle=True)
            case "a pickle":
                pickle.dump(Malicious(canary), file)
            case "an archive":
                np.savez(file, images=np.zeros(3))
            case "another shape":
                np.save(file, np.zeros((len(rows), 8, 8, 1), dtype=np.uint8))
    again = open_dataset(config, place)
    assert built.read_bytes() == before
    assert again.fingerprint == sound.fingerprint
    assert not canary.exists()


def test_a_cache_that_lost_the_list_of_its_unreadable_images_is_built_anew(config, rows, write_folder):
    place = write_folder(rows)
    (place.data_dir / "images" / "train0a.png").unlink()
    allowed = replace(config, max_unreadable_train=0.1)
    first = open_dataset(allowed, place)
    (unreadable,) = place.cache_dir.glob("images-*.json")
    for content in ("", "[]", '{"row": "missing"}'):
        unreadable.write_text(content)
        assert open_dataset(allowed, place).quarantine == first.quarantine
    unreadable.unlink()
    assert open_dataset(allowed, place).quarantine == first.quarantine


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
from dermtune.data.place import Place

work = set()
config = DataConfig(image_suffix=".png", group_column="lesion_id", image_size=16,
                    synthetic=SyntheticConfig(n_train=200, n_test=100, image_size=16))
place = Place(data_dir=Path(sys.argv[1]) / "data", cache_dir=Path(sys.argv[1]) / "cache")
data = open_dataset(config, place, lambda what, done, total: work.add(what.split()[0]))
pixels = data.test.images[np.arange(len(data.test))]
left_out = ",".join(image.sample_id for image in data.quarantine.images) or "-"
pixels_hash = hashlib.sha256(pixels.tobytes()).hexdigest()
print(data.fingerprint, left_out, pixels_hash, ",".join(sorted(work - {"hashing"})))
"""


def eight_at_once(tmp_path):
    """What each of eight processes says of the set: fingerprint, quarantine, hash of test, and what it did."""
    command = [sys.executable, "-c", OPEN_AND_TELL, str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    told = [process.communicate()[0].split() for process in started]
    assert [process.returncode for process in started] == [0] * 8
    return told


def test_eight_processes_that_start_at_once_get_one_set_and_one_cache(tmp_path):
    told = eight_at_once(tmp_path)
    assert len({tuple(line[:3]) for line in told}) == 1
    work = sorted(",".join(line[3:]) for line in told)
    assert sum("drawing" in done for done in work) == 1
    assert sum("decoding" in done for done in work) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "data"]
    assert len(list((tmp_path / "cache").glob("images-*.npy"))) == 1


def test_eight_processes_that_start_at_once_leave_out_the_same_images(tmp_path):
    open_dataset(SMALL, Place(data_dir=tmp_path / "data", cache_dir=tmp_path / "elsewhere"))
    for name in ("S000003", "S000007"):
        (tmp_path / "data" / "images" / f"{name}.png").write_bytes(b"no image")
    told = eight_at_once(tmp_path)
    assert len({tuple(line[:3]) for line in told}) == 1
    assert told[0][1] == "S000003,S000007"
    assert sum("decoding" in ",".join(line[3:]) for line in told) == 1
