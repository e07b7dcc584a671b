"""Each sentence about chance beside the numbers that it is made from."""

import io
import re
from dataclasses import replace
from statistics import fmean

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from analysis.records import Sources
from analysis.report import print_report, render_html, render_markdown
from analysis.report.chance import (
    apportioned,
    chance,
    legend,
    misled,
    misled_words,
    percentages,
    what_helps,
)

PARTS = re.compile(
    r"Of a delta's variance, (\d+)% comes from the test images, (\d+)% from seeds and (\d+)% from what a run does "
    r"to an image(?: \(mean over (.*?)\))?\. Twice the images would take (\d+)% off it, twice the seeds (\d+)%: "
    r"(.*)\."
)


def said(report, start):
    """The one sentence that starts so; empty where there is none."""
    found = [sentence for sentence in chance(report) if re.match(start, sentence)]
    assert len(found) <= 1
    return found[0] if found else ""


def noisy(report, **changes):
    return replace(report, noise=replace(report.noise, **changes))


def compared(report, change):
    return replace(report, comparisons=tuple(map(change, report.comparisons)))


def with_seeds(report, arm, n_seeds):
    """The report as if this arm had so many runs, and so no pairs of its own."""
    arms = tuple(replace(a, seeds=a.seeds[:n_seeds]) if a.arm == arm else a for a in report.arms)
    return compared(
        replace(report, arms=arms),
        lambda c: replace(c, seed_deltas=() if arm in (c.arm, c.baseline) else c.seed_deltas),
    )


def apart(report, *shares):
    """The report with these shares of seeds and images in the deltas' variance, in order."""

    def change(comparison, seeds, images):
        variance, residual = comparison.se**2, 1 - seeds - images
        return replace(
            comparison,
            v_seed=variance * (seeds + residual),
            v_img=variance * (images + residual),
            v_res=variance * residual,
        )

    pairs = zip(report.comparisons, shares, strict=True)
    return replace(report, comparisons=tuple(change(c, seeds, images) for c, (seeds, images) in pairs))


@pytest.fixture
def undecided(report):
    """No interval over all arms lies on one side of nought."""
    return compared(report, lambda c: replace(c, ci_low_simultaneous=-0.05, ci_high_simultaneous=0.05))


def test_the_noise_is_said_with_its_interval_and_degrees_of_freedom(report):
    assert chance(report)[0] == (
        "Two runs of the same configuration differ by chance: the run-to-run standard deviation of balanced "
        "accuracy is 0.61 pt (95% interval 0.49 to 0.81, 32 degrees of freedom)."
    )


def test_two_runs_in_all_leave_one_degree_of_freedom(report):
    assert chance(noisy(report, df=1))[0].endswith(", 1 degree of freedom).")


def test_a_metric_without_a_unit_is_said_without_points(report):
    sentence = chance(noisy(replace(report, metric="nll"), sd=0.0213, ci_low=0.0171, ci_high=0.0283))[0]
    assert sentence.endswith("deviation of NLL is 0.0213 (95% interval 0.0171 to 0.0283, 32 degrees of freedom).")


def test_runs_that_never_differ_are_not_said_to_differ_by_chance(report):
    sentence = chance(noisy(report, sd=0.0, ci_low=0.0, ci_high=0.0, seed_correlation=None, alike_p=None))[0]
    assert sentence.startswith("Runs of the same configuration agree: ")
    assert "differ" not in sentence


def test_an_arm_alone_says_how_its_runs_vary_and_no_more(alone):
    (sentence,) = chance(alone)
    assert sentence.startswith("Two runs of the same configuration differ by chance")
    assert legend(alone) == ""


@pytest.mark.parametrize("name", ["report", "alone"])
def test_with_one_run_an_arm_the_noise_is_said_to_be_assumed_and_nothing_else(name, request):
    single = replace(request.getfixturevalue(name), noise=None)
    assert chance(single) == (
        "No arm has a second run: a run-to-run standard deviation of 0.6 pt is assumed, not measured.",
    )


@pytest.mark.parametrize("noise", [True, False])
def test_intervals_for_fixed_checkpoints_are_said_to_leave_the_noise_out(report, noise):
    fixed = replace(report, estimand="images", noise=report.noise if noise else None)
    sentences = chance(fixed)
    assert sentences[0].endswith("; the intervals, which speak for these checkpoints, leave it out.")
    assert not any(re.search("Bartlett|paired|assumed.*assumed", sentence) for sentence in sentences)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"alike_p": 0.64},
            "Arms vary alike as far as one can see (Bartlett's p 0.640): one variance, pooled over their runs, "
            "serves every arm.",
        ),
        (
            {"alike_p": 0.012},
            "Arms do not all vary alike (Bartlett's p 0.012), but no delta varies more than the rest lets expect: "
            "one variance, pooled over their runs, serves every arm.",
        ),
        (
            {"alike_p": 0.0002, "unlike": ("focal_gamma=3",)},
            "Not all deltas are taken to vary alike from seed to seed (Bartlett's p <0.001): of focal_gamma=3 the "
            "delta varies more than the rest lets expect and rests on its own runs alone, the others share one "
            "variance of all arms.",
        ),
        ({"alike_p": None}, "Too few arms to test whether arms vary alike: one variance is used for all."),
    ],
)
def test_whether_arms_vary_alike_is_said_with_what_follows_from_it(report, changes, sentence):
    assert chance(noisy(report, **changes))[1] == sentence


def test_where_every_delta_has_its_own_variance_no_others_share_one(report):
    arms = tuple(c.arm for c in report.comparisons)
    sentence = chance(noisy(report, unlike=arms))[1]
    assert sentence.endswith("rests on its own runs alone.")


def test_an_arm_with_one_run_is_not_said_to_have_a_measured_variance(report):
    sentence = said(with_seeds(report, "focal_gamma=1", 1), "Arms vary alike")
    assert sentence.endswith("serves every arm that has a second run.")


def test_the_shares_said_are_the_mean_over_arms_of_the_records(report):
    images, seeds, residual, over, less_by_images, less_by_seeds, helps = PARTS.fullmatch(
        said(report, "Of a delta's")
    ).groups()
    mean = {
        part: 100 * fmean(getattr(c.sources, part) for c in report.comparisons)
        for part in ("images", "seeds", "residual")
    }
    assert int(images) + int(seeds) + int(residual) == 100
    assert int(images) == pytest.approx(mean["images"], abs=1)
    assert int(seeds) == pytest.approx(mean["seeds"], abs=1)
    assert int(residual) == pytest.approx(mean["residual"], abs=1)
    assert int(less_by_images) == pytest.approx((mean["images"] + mean["residual"]) / 2, abs=0.51)
    assert int(less_by_seeds) == pytest.approx((mean["seeds"] + mean["residual"]) / 2, abs=0.51)
    assert (over, helps) == ("7 arms", "images help more")


@pytest.mark.parametrize(
    ("seeds", "images", "helps"),
    [
        (0.1, 0.6, "images help more"),
        (0.6, 0.1, "seeds help more"),
        (0.30, 0.39, "both help alike"),
        (0.0, 0.0, "both help alike"),
        (1.0, 0.0, "seeds help more"),
    ],
)
def test_what_helps_is_what_takes_clearly_more_off(report, seeds, images, helps):
    sentence = said(apart(report, *[(seeds, images)] * 7), "Of a delta's")
    *_, less_by_images, less_by_seeds, said_to_help = PARTS.fullmatch(sentence).groups()
    assert said_to_help == helps
    assert what_helps(Sources(seeds=seeds, images=images, residual=1 - seeds - images)) == helps
    gain = int(less_by_images) - int(less_by_seeds)
    assert {"images": gain >= 4, "seeds": gain <= -4, "both": abs(gain) <= 5}[helps.split()[0]]


@pytest.mark.parametrize("v_seed", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("v_img", [0.0, 1.5, 9.0])
@pytest.mark.parametrize("v_res", [0.0, 0.5, 2.0])
def test_the_shares_are_of_the_variance_that_the_interval_has(report, v_seed, v_img, v_res):
    """V = V_seed + max(0, V_img - V_res): the first is divided by the seeds, the second by the images."""
    comparison = replace(report.comparisons[0], v_seed=v_seed, v_img=v_img, v_res=v_res)
    sources, total = comparison.sources, v_seed + max(0.0, v_img - v_res)
    if not total:
        assert sources is None
        return
    assert sources.seeds + sources.images + sources.residual == pytest.approx(1)
    assert (sources.seeds + sources.residual) * total == pytest.approx(v_seed)
    assert sources.images * total == pytest.approx(max(0.0, v_img - v_res))
    assert min(sources.seeds, sources.images, sources.residual) >= 0


@pytest.mark.parametrize("images", [0.0, 0.004, 0.125, 0.335, 0.5, 0.994, 1.0])
@pytest.mark.parametrize("rest", [0.0, 0.005, 0.335, 0.5, 1.0])
def test_whole_percent_add_up_and_none_is_off_by_one(images, rest):
    sources = Sources(images=images, residual=(1 - images) * rest, seeds=(1 - images) * (1 - rest))
    percent = percentages(sources)
    assert sum(percent.values()) == 100
    for part, share in percent.items():
        assert share >= 0
        assert share == pytest.approx(100 * getattr(sources, part), abs=1)


def test_one_comparison_has_no_mean_over_arms(report):
    one = replace(report, comparisons=report.comparisons[:1])
    assert "mean over" not in said(one, "Of a delta's")


def test_an_assumed_variance_is_not_taken_apart(report):
    assert [d.arm for d in apportioned(with_seeds(report, "focal_gamma=1", 1))] == [
        c.arm for c in report.comparisons[1:]
    ]
    assert "(mean over 6 of 7 arms)" in said(with_seeds(report, "focal_gamma=1", 1), "Of a delta's")
    assert said(with_seeds(report, "baseline", 1), "Of a delta's") == ""


def test_a_delta_without_variance_is_not_taken_apart(report):
    equal = compared(report, lambda c: replace(c, v_seed=0.0, v_img=0.0, v_res=0.0))
    assert apportioned(equal) == ()
    assert said(equal, "Of a delta's") == ""


@pytest.mark.parametrize(
    ("estimand", "sentence"),
    [
        ("seeds", "The intervals take this test set as given: all of a delta's variance comes from seeds."),
        ("images", "All of a delta's variance comes from the test images."),
    ],
)
def test_an_interval_for_one_population_has_one_source(report, estimand, sentence):
    fixed = replace(report, estimand=estimand)
    assert sentence in chance(fixed)
    assert apportioned(fixed) == ()


def test_what_pairing_gains_is_one_minus_the_correlation(report):
    assert chance(report)[3] == (
        "Runs that share a seed correlate at 0.21 over all arms (−0.04 to 0.59 by arm, with the baseline): paired "
        "by seed, the seeds' part of a delta's variance is 79% of what it would be unpaired."
    )


@pytest.mark.parametrize("r", [-0.4, -0.001, 0.0, 0.004])
def test_without_correlation_pairing_is_said_to_gain_nothing(report, r):
    sentence = said(noisy(report, seed_correlation=r), "Runs that share a seed")
    assert sentence.endswith("pairing by seed gains nothing here.")
    assert "%" not in sentence
    assert "−0.00" not in sentence


def test_arms_with_other_seeds_than_the_baselines_are_said_to_gain_less(report):
    sentence = said(with_seeds(report, "focal_gamma=1", 4), "Runs that share a seed")
    assert sentence.endswith("unpaired; focal_gamma=1, with other seeds than the baseline's, gain less.")


def test_where_no_arm_has_the_baselines_seeds_little_is_gained(report):
    sentence = said(with_seeds(report, "baseline", 4), "Runs that share a seed")
    assert sentence.endswith("no arm has just the baseline's seeds: pairing by seed gains little here.")


def test_deltas_that_are_not_paired_are_not_said_to_gain(report):
    sentence = said(noisy(report, paired=False), "Runs that share a seed")
    assert sentence.endswith("takes off the variance, and deltas are reckoned unpaired.")
    assert "%" not in sentence


def test_without_shared_seeds_nothing_is_said_of_pairing(report):
    assert said(noisy(report, seed_correlation=None), "Runs that share") == ""


def test_single_runs_are_judged_where_the_right_way_is_known(report):
    sure = [c for c in report.comparisons if c.ci_low_simultaneous > 0 or c.ci_high_simultaneous < 0]
    wrong = sum(d * c.delta < 0 for c in sure for d in c.seed_deltas)
    assert [c.arm for c in sure] == [
        "focal_gamma=1", "focal_gamma=2", "focal_gamma=3", "focal_gamma=3+label_smoothing=0.1"
    ]  # fmt: skip
    assert chance(report)[-1] == (
        "For focal_gamma=1, focal_gamma=2, focal_gamma=3 and 1 more, whose intervals lie on one side of 0, a "
        f"single run of arm and baseline would have pointed the wrong way in {wrong} of 20 seed pairs."
    )


def test_without_a_sure_delta_no_single_run_is_called_wrong(undecided):
    stray = sum(d * c.delta < 0 for c in undecided.comparisons for d in c.seed_deltas)
    assert chance(undecided)[-1] == (
        "No arm's interval lies on one side of 0, so which way a single run ought to point is open; "
        f"{stray} of 35 seed pairs point away from the mean delta."
    )


def test_where_seeds_differ_all_pairs_of_runs_are_counted(report):
    one = replace(report, comparisons=report.comparisons[:1])
    (comparison,) = with_seeds(one, "focal_gamma=1", 4).comparisons
    unpaired = with_seeds(one, "focal_gamma=1", 4)
    comparison = replace(comparison, misled_rate=0.15)
    unpaired = replace(unpaired, comparisons=(comparison,))
    assert misled_words(unpaired, comparison) == "3 of 20"
    assert chance(unpaired)[-1].endswith("would have pointed the wrong way in 3 of 20 pairs of runs.")
    assert "the pairs of runs in which" in legend(unpaired)


def test_pairs_are_those_of_the_seeds_that_judged_the_arm_and_no_others(report):
    unpaired = with_seeds(replace(report, comparisons=report.comparisons[:1]), "focal_gamma=1", 2)
    judged_by = replace(unpaired.comparisons[0], seeds=(0, 1, 2), misled_rate=1 / 6)
    assert misled_words(unpaired, judged_by) == "1 of 6"  # of the baseline's five seeds its look had three


def test_a_pair_of_single_runs_and_a_delta_of_nought_mislead_nobody(report):
    comparison = report.comparisons[0]
    for silent in (replace(comparison, misled_rate=None), replace(comparison, delta=0.0, misled_rate=0.0)):
        assert misled(report, silent) is None
        assert misled_words(report, silent) == "–"
        assert said(replace(report, comparisons=(silent,)), "For|No arm's") == ""


def test_scores_without_images_leave_no_sentence_on_images(report):
    """What is known of an interval for seeds where no image was seen."""
    bare = compared(
        replace(report, estimand="seeds", n_images=0, n_groups=0, class_names=()),
        lambda c: replace(c, v_img=0.0, v_res=0.0, class_deltas={}),
    )
    assert not any("test images" in sentence for sentence in chance(bare))
    assert apportioned(bare) == ()


def test_the_legend_says_what_a_small_p_allows_for_and_what_better_means(report):
    assert legend(report) == (
        "p adj. allows for all arms being tested at once (max-t over joint resamples, stepping down from the "
        "clearest arm); Holm's p stands with it as the check. P(better) is the chance that one new run of the arm "
        "beats one new run of the baseline. One run misleads: the seed pairs in which a single run of each points "
        "away from the mean delta."
    )
    assert "these checkpoints" not in legend(report)
    assert "checkpoints beat the baseline's on new images" in legend(replace(report, estimand="images"))


@pytest.mark.parametrize("name", ["report", "wide", "awkward", "alone"])
def test_page_markdown_and_terminal_say_the_same_sentences(name, request):
    report = request.getfixturevalue(name)
    markdown = re.sub(r"<[^>]+>", "", MarkdownIt().render(render_markdown(report)))
    page = re.sub(r"<[^>]+>", "", render_html(report, ()))
    out = io.StringIO()
    print_report(report, Console(file=out, width=200))
    printed = " ".join(out.getvalue().split())
    for sentence in chance(report):
        assert sentence in plain(markdown)
        assert sentence in plain(page)
        assert " ".join(sentence.split()) in printed


def plain(text):
    for entity, character in {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&#34;": '"'}.items():
        text = text.replace(entity, character)
    return text.replace("&amp;", "&")
