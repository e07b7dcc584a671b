import json
import re
from pathlib import Path

import pytest
from PIL import Image

from analysis.report import files, write_report


def test_the_folder_holds_page_markdown_json_and_every_figure(report, tmp_path):
    written = write_report(report, tmp_path / "sweep" / "report")
    assert written.html.read_text().startswith("<!doctype html>")
    assert written.markdown.read_text().startswith("# focal_ls")
    assert json.loads(written.json.read_text())["format"] == 1
    names = ("class-recall", "forest", "more-seeds", "over-prediction", "seeds", "variance")
    drawn = sorted(path.name for path in written.figures.iterdir())
    assert drawn == sorted(["captions.md", *(f"{name}.{kind}" for name in names for kind in ("png", "svg"))])


def test_every_figure_is_there_in_pixels_with_its_caption(report, figures, tmp_path):
    folder = write_report(report, tmp_path / "report").figures
    for figure in figures.values():
        with Image.open(folder / f"{figure.name}.png") as image:
            width = float(re.search(r'viewBox="0 0 ([\d.]+)', figure.svg)[1])  # points, 72 an inch
            assert image.size[0] == pytest.approx(width / 72 * 200, abs=1)
            assert image.text["Description"] == figure.caption
            assert image.getcolors(maxcolors=2) is None  # something is drawn
        assert f"## {figure.title}\n\n`{figure.name}`: {figure.caption}\n" in (folder / "captions.md").read_text()


def test_an_older_report_is_replaced_whole(report, alone, tmp_path):
    write_report(report, tmp_path / "report")
    written = write_report(alone, tmp_path / "report")
    drawn = {path.stem for path in written.figures.iterdir()}
    assert drawn == {"captions", "over-prediction", "seeds"}
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_report_that_fails_half_way_leaves_the_older_one_and_no_litter(report, alone, tmp_path, monkeypatch):
    older = write_report(alone, tmp_path / "report").json.read_text()

    def full(report, figures, sections):
        raise OSError("No space left on device")

    monkeypatch.setattr(files, "render_html", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(report, tmp_path / "report")
    assert (tmp_path / "report" / "report.json").read_text() == older
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_report_that_cannot_take_the_older_ones_place_leaves_it_there(report, alone, tmp_path, monkeypatch):
    older = write_report(alone, tmp_path / "report").json.read_text()
    rename = Path.rename

    def refused(self, target):
        if not (self / "figures" / "forest.svg").exists():
            return rename(self, target)
        raise OSError("Input/output error")

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OSError, match="Input/output"):
        write_report(report, tmp_path / "report")
    assert (tmp_path / "report" / "report.json").read_text() == older
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_text_that_cannot_be_written_leaves_no_litter(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        files.write_text(tmp_path / "taken", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_missing_folders_are_made(tmp_path):
    files.write_text(tmp_path / "a" / "b" / "report.md", "text")
    assert (tmp_path / "a" / "b" / "report.md").read_text() == "text"
