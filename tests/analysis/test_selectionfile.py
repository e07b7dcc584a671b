"""What of a selection.json is read, and what is refused."""

import json

import pytest

from analysis.selectionfile import read_selection
from analysis.sources import load_study
from analysis.study import SourceError
from tests.finished_search import screened, searched, write_selection
from tests.finished_sweep import write_sweep


def test_a_folder_without_a_first_stage_has_none(tmp_path):
    assert read_selection(tmp_path) is None


def test_points_picks_and_importances_come_as_they_were_written(tmp_path):
    plain = searched()
    write_selection(tmp_path, plain)
    first = read_selection(tmp_path)
    assert [one.scores for one in first.tried] == [one["scores"] for one in plain["tried"]]
    assert [(pick.arm, pick.number) for pick in first.picks] == [
        (pick["arm"], pick["number"]) for pick in plain["picks"]
    ]
    assert first.importances == plain["importances"]
    assert {one.state for one in first.tried} == {"done", "pruned", "failed"}


def test_a_screening_is_read_too(tmp_path):
    write_selection(tmp_path, screened({"baseline": 0.6, "a": 0.61, "b": 0.62}, confirm=1))
    first = read_selection(tmp_path)
    assert (first.stage, first.importances, [pick.arm for pick in first.picks]) == ("screen", {}, ["b"])


def changed(**fields):
    return lambda plain: plain | fields


def of_tried(place, **fields):
    def change(plain):
        plain["tried"][place] |= fields
        return plain

    return change


def without(key):
    return lambda plain: {name: value for name, value in plain.items() if name != key}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(format=2), "format 2"),
        (changed(split="test"), "picks are made on val, got split 'test'"),
        (changed(stage="sieve"), "stage 'sieve'"),
        (without("picks"), "'picks' is missing"),
        (changed(tried=[]), "the baseline, number 0, must be the first of those tried"),
        (changed(picks=[]), "at least one must be picked"),
        (of_tried(2, number=1), "must have numbers of their own"),
        (of_tried(3, state="lost"), "state 'lost' of number 3"),
        (of_tried(1, scores={}), "point-1 must have a score for balanced_accuracy"),
        (of_tried(1, scores={"balanced_accuracy": "high"}), "a finite number is wanted, got 'high'"),
        (changed(picks=[{"arm": "pick-1", "number": 99}]), "pick-1 must be one of those that are done"),
        (changed(objectives=["top1"]), "the first objective must be balanced_accuracy"),
        (changed(picks=None), "not iterable"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line_that_names_the_file(tmp_path, change, said):
    path = write_selection(tmp_path, change(searched()))
    with pytest.raises(SourceError) as refused:
        read_selection(tmp_path)
    line = str(refused.value)
    assert line.startswith(f"{path}: must be a selection.json of format 1")
    assert said in line
    assert "\n" not in line


@pytest.mark.parametrize("text", ["{", '{"format": NaN'])
def test_what_is_no_json_is_refused(tmp_path, text):
    (tmp_path / "selection.json").write_text(text)
    with pytest.raises(SourceError, match="must be a JSON file"):
        read_selection(tmp_path)


def test_a_list_is_refused(tmp_path):
    write_selection(tmp_path, [])
    with pytest.raises(SourceError, match=r"must be a selection\.json"):
        read_selection(tmp_path)


def test_a_score_that_is_not_finite_is_refused(tmp_path):
    plain = searched()
    plain["tried"][1]["scores"] = {"balanced_accuracy": float("nan")}
    write_selection(tmp_path, plain)
    with pytest.raises(SourceError, match="a finite number is wanted, got nan"):
        read_selection(tmp_path)


def test_a_name_that_steers_a_terminal_is_refused(tmp_path):
    plain = searched()
    plain["tried"][1]["levers"]["a\x1b[2J"] = 1
    write_selection(tmp_path, plain)
    with pytest.raises(SourceError, match="a lever's name must be one line"):
        read_selection(tmp_path)


def test_a_quick_look_reads_none_of_it(tmp_path):
    write_sweep(tmp_path, {"baseline": 0.0, "pick-1": 0.1}, seeds=[0, 1], sizes=[30, 20])
    (tmp_path / "selection.json").write_text("no JSON at all")
    assert load_study(tmp_path, quick=True).selection is None
    with pytest.raises(SourceError):
        load_study(tmp_path)


def test_a_selection_of_other_picks_than_the_arms_that_are_judged_is_left_out_and_said(tmp_path):
    """Picked anew, and killed before sweep.json was written: the names agree, the levers do not."""
    plain = searched(confirm=2)
    write_sweep(tmp_path, {"baseline": 0.0, "pick-1": 0.1, "pick-2": 0.1}, seeds=[0, 1], sizes=[30, 20], whole=True)
    write_selection(tmp_path, plain)
    before = load_study(tmp_path)
    assert [pick.arm for pick in before.selection.picks] == ["pick-1", "pick-2"]
    one, other = plain["picks"]
    anew = {**plain, "picks": [{**other, "arm": one["arm"]}, {**one, "arm": other["arm"]}]}
    (tmp_path / "selection.json").write_text(json.dumps(anew))
    study = load_study(tmp_path)
    assert study.selection is None
    (said,) = set(study.problems) - set(before.problems)
    assert said.startswith("selection.json has other picks than the arms that are judged here, and is left out")


def test_a_report_of_a_sweep_without_a_first_stage_says_nothing_of_one(tmp_path):
    from analysis.comparison import compare
    from analysis.report import render_json, render_markdown, sections_of

    write_sweep(tmp_path, {"baseline": 0.0, "arm": 0.1}, seeds=[0, 1], sizes=[30, 20])
    report = compare(load_study(tmp_path), n_resamples=100)
    assert json.loads(render_json(report))["selection"] is None
    assert not {"search", "confirmation"} & {section.key for section in sections_of(report)}
    assert "search" not in render_markdown(report, sections_of(report))
