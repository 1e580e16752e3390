"""Pictures: the numbers behind the panels against other formulas, and what is marked where."""

import io
import math
import sys

import numpy as np
import pytest
import torch
from scipy import stats

import whitenoise as wn
from whitenoise.coverage import simultaneous_alpha
from whitenoise.order_statistics import one_level_interval
from whitenoise.plotting import check, compare
from whitenoise.plotting.mosaic import Mosaic
from whitenoise.plotting.views import (
    _EXITS,
    _LOG2_SIZE,
    LEVEL,
    lag_scores,
    mean_power,
    order_statistic_deviations,
    power_range,
    tile_scores,
)

PANELS = ("array", "spectrum", "lags", "marginal", "tiles", "families")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def report_on(x, where=None, family="other", log_pvalue=-50.0, batch=0):
    """A report with one finding at a chosen place."""
    finding = wn.Finding(family, "some statistic", log_pvalue, 1.0, "something is odd", where or {})
    return wn.TypicalityReport(
        shape=tuple(x.shape[batch:]),
        batch=tuple(x.shape[:batch]),
        dtype="float64",
        findings=(finding,),
        skipped={"rank": "too few"},
        log_pvalues=np.full(tuple(x.shape[:batch]), log_pvalue),
        source=x,
    )


def panels(figure):
    return dict(zip(PANELS, figure.axes, strict=False))


def framed(figure):
    return [n for n, axes in panels(figure).items() if axes.spines["left"].get_linewidth() > 2]


class TestViews:
    @pytest.mark.parametrize("size", [1, 2, 7, 50, 128])
    @pytest.mark.parametrize("end", ["lower", "upper"])
    def test_the_ends_of_the_band_are_one_away(self, size, end):
        """Against `one_level_interval`, which solves for the simultaneous level; within 1 %."""
        band = one_level_interval(size, LEVEL, simultaneous=True)
        deviations = order_statistic_deviations(getattr(band, end)[::-1])
        assert deviations.quantile.size == size
        sign = 1 if end == "upper" else -1
        np.testing.assert_allclose(deviations.deviation, sign, rtol=0.01)

    @pytest.mark.parametrize("size", [3, 20, 300, 3000])
    def test_the_level_between_tabulated_sizes(self, size):
        exits = (1 - LEVEL) / simultaneous_alpha(size, 1, 1 - LEVEL)
        assert np.interp(np.log2(size), _LOG2_SIZE, _EXITS) == pytest.approx(exits, rel=0.05)

    def test_large_samples_are_thinned_but_keep_their_ends(self):
        x = noise(100_000)
        x[5] = 9.0
        quantile, deviation = order_statistic_deviations(x)
        assert quantile.size < 1000
        assert np.all(np.diff(quantile) > 0)
        assert quantile[-1] == pytest.approx(stats.norm.isf(0.6931 / 100_000), abs=0.01)
        assert deviation[-1] > 1
        assert np.abs(deviation[:-1]).max() < 1

    @pytest.mark.parametrize("shape", [(1, 6, 8), (3, 5, 7), (2, 8, 5), (2, 7, 4)])
    def test_power_of_images(self, shape):
        x = noise(*shape)
        expected = np.mean([np.abs(np.fft.fft2(p)) ** 2 / p.size for p in x], axis=0)
        np.testing.assert_allclose(mean_power(x), np.fft.fftshift(expected), atol=1e-12)

    @pytest.mark.parametrize("size", [1, 2, 9, 12])
    def test_power_of_a_series(self, size):
        x = noise(size)
        k = np.arange(1, size // 2 + 1)[:, None]
        wave = np.exp(-2j * np.pi * k * np.arange(size) / size)
        np.testing.assert_allclose(mean_power(x), np.abs(wave @ x) ** 2 / size, atol=1e-12)

    @pytest.mark.parametrize("averaged", [1, 16, 1000])
    def test_power_range(self, averaged):
        law = stats.chi2(2 * averaged, scale=1 / (2 * averaged))
        np.testing.assert_allclose(power_range(averaged), [law.ppf(0.02), law.isf(1e-5)])

    @pytest.mark.parametrize("shape", [(31,), (9, 12), (4, 9, 8), (2, 3, 5, 7)])
    def test_lags_against_shifting(self, shape):
        x = noise(*shape)
        centre = (1, 2, 3, 4)[: len(shape)]
        scores = lag_scores(x, centre, reach=2)
        last = centre[-2:]
        assert scores.shape == (5,) * len(last)
        for index in np.ndindex(scores.shape):
            lag = (*centre[:-2], *(i - 2 + c for i, c in zip(index, last, strict=True)))
            if not any(lag):
                assert np.isnan(scores[index])
                continue
            shifted = np.roll(x, [-k for k in lag], range(x.ndim))
            expected = np.sum(x * shifted) / np.sum(x * x) * math.sqrt(x.size)
            assert scores[index] == pytest.approx(expected, abs=1e-12)

    def test_zeros_have_no_correlation(self):
        assert np.nanmax(np.abs(lag_scores(np.zeros((8, 8)), (0, 0)))) == 0

    def test_tiles_against_slicing(self):
        x = noise(2, 9, 12) + 0.5
        means, energies = tile_scores(x, 4, "mean"), tile_scores(x, 4, "energy")
        assert means.shape == energies.shape == (2, 2, 3)
        for c, i, j in np.ndindex(means.shape):
            tile = x[c, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4]
            assert means[c, i, j] == pytest.approx(tile.mean() * 4)
            upper = stats.chi2.sf(np.sum(tile**2), 16)
            assert energies[c, i, j] == pytest.approx(stats.norm.isf(upper), abs=1e-9)
        series = tile_scores(x[0, 0], 3, "mean")
        np.testing.assert_allclose(series, x[0, 0].reshape(4, 3).sum(1) / math.sqrt(3))

    def test_mosaic(self):
        assert Mosaic(4, 10, 20).columns == 1
        assert Mosaic(4, 10, 10).corner(3) == (10.5, 10.5)
        large = Mosaic(100, 8, 8, wanted=(70, 90))
        assert large.images == [*range(14), 70, 90]
        assert large.columns == 4
        assert str(large) == "16 of 100 images, 8x8"


class TestCheck:
    @pytest.mark.parametrize(
        "shape",
        [(5,), (100,), (3000,), (2, 5), (3, 300), (4, 4), (4, 2000), (300, 5), (5, 3, 8, 8),
         (20, 8, 8), (1, 1, 64), (600, 40)],
    )  # fmt: skip
    def test_any_shape_is_drawn(self, shape):
        """Also rendered, where matplotlib warns of what it cannot lay out."""
        for x in (np.zeros(shape), np.sort(noise(*shape), axis=-1) + 1, noise(*shape)):
            figure = check(report_on(x))
            assert framed(figure) == []
        figure.savefig(io.BytesIO(), dpi=20)

    @pytest.mark.parametrize(
        ("shape", "where", "panel", "marks"),
        [
            ((4, 32, 32), {"view": "array", "axis": 0, "index": 2}, "array", 1),
            ((4, 32, 32), {"view": "array", "axis": 1, "index": 2}, "array", 4),
            ((4, 32, 32), {"view": "covariance", "axis": 0, "index": (1, 3)}, "array", 2),
            ((32, 32), {"view": "array", "period": (2, 2), "phase": (0, 1)}, "array", 0),
            ((4, 32, 32), {"view": "copies", "source": (0, 1, 2), "target": (3, 4, 5),
                           "size": (6, 6)}, "array", 2),
            ((500,), {"view": "copies", "source": (0, 0, 2), "target": (0, 0, 90), "size": (30,)},
             "array", 2),
            ((32, 32), {"view": "spectrum", "index": (3, -5)}, "spectrum", 2),
            ((32, 32), {"view": "spectrum", "radius": (0.1, 0.2)}, "spectrum", 2),
            ((32, 32), {"view": "spectrum", "block": (3, 4)}, "spectrum", 4),
            ((32, 32), {"view": "spectrum"}, "spectrum", 0),
            ((32, 32), {"view": "tiles", "tile": (8, 8), "index": (0, 1, 2)}, "tiles", 1),
            ((32, 32), {"view": "tiles", "tile": (8, 8)}, "tiles", 0),
            ((32, 32), {"view": "lags", "lag": (1, -3)}, "lags", 1),
            ((4, 64, 64), {"view": "lags", "lag": (2, 20, -30)}, "lags", 1),
            ((32, 32), {"view": "marginal"}, "marginal", 0),
        ],
    )  # fmt: skip
    def test_the_loud_finding_is_marked_in_its_panel(self, shape, where, panel, marks):
        figure = check(report_on(noise(*shape), where))
        assert framed(figure) == [panel]
        outlines = {
            name: sum(not patch.get_fill() for patch in axes.patches)
            + sum(tuple(patch.get_facecolor()[:1]) > (0.7,) for patch in axes.patches)
            for name, axes in panels(figure).items()
            if name != "families"
        }
        assert outlines == {name: marks if name == panel else 0 for name in outlines}

    @pytest.mark.parametrize("where", [{}, {"view": "dreams", "index": (1, 2)}])
    def test_unknown_places_are_not_marked(self, where):
        assert framed(check(report_on(noise(16, 16), where))) == []

    @pytest.mark.parametrize(
        ("family", "panel"),
        [("tiles", "tiles"), ("exactness", "marginal"), ("volatility", "lags")],
    )
    def test_without_a_place_the_family_tells_the_panel(self, family, panel):
        assert framed(check(report_on(noise(32, 32), family=family))) == [panel]

    def test_a_marked_tile_is_where_the_values_are(self):
        x = noise(2, 32, 32)
        x[1, 8:16, 24:32] += 3
        report = wn.typicality(x)
        axes = panels(report.plot())["tiles"]
        assert report.worst.where["index"] == (1, 1, 3)
        (box,) = axes.patches
        left, top = Mosaic(2, 32, 32).corner(1)
        assert (box.get_x() - left, box.get_y() - top) == (24, 8)
        darkest = max(axes.images, key=lambda image: image.get_array().max())
        y, x = np.unravel_index(np.argmax(darkest.get_array()), darkest.get_array().shape)
        assert (y * 8, x * 8) == (8, 24)

    @pytest.mark.parametrize("sign", [1, -1])
    def test_a_marked_frequency_is_the_brightest(self, sign):
        y, x = np.mgrid[:32, :48]
        wave = noise(32, 48) + np.cos(2 * np.pi * (sign * 5 * y / 32 + 9 * x / 48))
        figure = check(report_on(wave, {"view": "spectrum", "index": (sign * 5, 9)}))
        axes = panels(figure)["spectrum"]
        (image,) = axes.images
        left, right, bottom, top = image.get_extent()
        row, column = np.unravel_index(np.argmax(image.get_array()), (32, 48))
        at = (left + (column + 0.5) / 48 * (right - left), top + (row + 0.5) / 32 * (bottom - top))
        assert any(np.allclose(patch.get_center(), at) for patch in axes.patches)

    def test_a_marked_lag_is_the_strongest(self):
        x = noise(64, 64)
        x = x + 0.5 * np.roll(x, (20, -3), (0, 1))
        report = wn.typicality(x)
        axes = panels(report.plot())["lags"]
        (image,) = axes.images
        left, _, _, top = image.get_extent()
        row, column = np.unravel_index(np.argmax(image.get_array()), image.get_array().shape)
        strongest = np.array([left + 0.5 + column, top + 0.5 + row])
        (box,) = axes.patches
        found = np.array([box.get_x(), box.get_y()]) + box.get_width() / 2
        np.testing.assert_allclose(found, strongest)
        assert {tuple(found), tuple(-found)} == {(-3.0, 20.0), (3.0, -20.0)}

    @pytest.mark.parametrize(("log_pvalue", "marks"), [(-5.0, 0), (-20.0, 1)])
    def test_other_panels_are_marked_if_significant(self, log_pvalue, marks):
        report = report_on(noise(32, 32), {"view": "marginal"})
        where = {"view": "tiles", "tile": (8, 8), "index": (0, 1, 2)}
        loud, quiet = (
            wn.Finding("other", "s", log_p, 0.5, "odd", place)
            for log_p, place in ((-50.0, {"view": "marginal"}), (log_pvalue, where))
        )
        object.__setattr__(report, "findings", (loud, quiet))
        figure = check(report)
        assert framed(figure) == ["marginal"]
        assert len(panels(figure)["tiles"].patches) == marks

    def test_findings_on_magnitudes_show_magnitudes(self):
        """A scale that alternates from column to column is a line in their spectrum only."""
        x = noise(32, 32) * np.where(np.arange(32) % 2, 0.5, 1.5)
        place = {"view": "spectrum", "index": (0, -16)}
        brightest = []
        for family in ("volatility", "spectrum"):
            axes = panels(check(report_on(x, place, family)))["spectrum"]
            power = axes.images[0].get_array()
            brightest.append(power[16, 0] == np.delete(power, 16 * 32 + 16).max())
            assert ("magnitudes" in axes.get_title(loc="left")) == (family == "volatility")
        assert brightest == [True, False]

    def test_red_is_for_what_is_significant(self):
        where = {"view": "tiles", "tile": (8, 8), "index": (0, 1, 2)}
        colours = [
            panels(check(report_on(noise(32, 32), where, log_pvalue=p)))["tiles"]
            .patches[0]
            .get_edgecolor()[0]
            for p in (-1.0, -20.0)
        ]
        assert colours[0] < 0.6 < colours[1]

    def test_families_and_those_that_are_off(self):
        axes = panels(check(report_on(noise(32, 32), family="tiles", log_pvalue=-25)))["families"]
        assert [t.get_text() for t in axes.get_yticklabels()] == ["tiles", "rank"]
        (bar,) = axes.patches
        assert bar.get_width() == pytest.approx(25 / math.log(10))

    def test_of_a_batch_the_loudest_vector_is_drawn(self):
        x = noise(2, 3, 16, 16)
        x[1, 2] *= 2
        report = wn.typicality(x, axis=(2, 3))
        figure = report.plot()
        np.testing.assert_array_equal(panels(figure)["array"].images[0].get_array(), x[1, 2])
        assert "6 vectors of 16x16" in figure.get_suptitle()
        assert "vector (1, 2)" in figure.get_suptitle()

    def test_of_two_vectors_the_first_is_drawn(self):
        x = noise(4, 16, 16)
        pair = report_on(x, {"view": "between", "index": ((2,), (3,))}, batch=1)
        image = panels(check(pair))["array"].images[0]
        np.testing.assert_array_equal(image.get_array(), x[2])

    def test_tensors(self):
        x = torch.tensor(noise(16, 16), dtype=torch.bfloat16, requires_grad=True)
        image = panels(wn.typicality(x).plot())["array"].images[0]
        np.testing.assert_array_equal(image.get_array(), x.detach().double().numpy())

    def test_sizes_beyond_a_screen_are_thinned(self):
        figure = check(report_on(noise(1030, 700)))
        image = panels(figure)["array"].images[0]
        assert image.get_array().shape == (344, 234)
        assert panels(figure)["array"].get_xlabel().endswith("every 3rd pixel")
        assert panels(figure)["spectrum"].images[0].get_array().shape == (206, 233)
        curve = panels(check(report_on(noise(100_000))))["spectrum"].lines[0]
        assert curve.get_xdata().size <= 512

    def test_no_array_no_picture(self):
        report = report_on(noise(8, 8))
        object.__setattr__(report, "source", None)
        with pytest.raises(ValueError, match="holds no array"):
            report.plot()
        object.__setattr__(report, "source", noise(8, 9))
        with pytest.raises(ValueError, match=r"\(8, 8\), got \(8, 9\)"):
            report.plot()


def test_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for draw in (
        lambda: check(report_on(noise(8, 8))),
        lambda: compare({"a": {"b": noise(8, 8)}}),
    ):
        with pytest.raises(ImportError, match=r"noisetilt\[plot\]"):
            draw()


def test_compare_shows_the_arrays():
    x = noise(3, 16, 16)
    figure = compare({"row": {"input": x}}, {"row": {"input": ["a line"]}})
    image, _, histogram = figure.axes
    np.testing.assert_array_equal(image.images[0].get_array(), x[0])
    assert histogram.get_xlabel() == "a line"
    with pytest.raises(ValueError, match="at least one array"):
        compare({"row": {}})
