from __future__ import annotations

import itertools

import numpy as np
import pytest

from unweave.charts import palette

# Machado, Oliveira & Fernandes (2009): what the three kinds of colour-blind reader see, in linear RGB.
SEEN_AS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
    "full sight": np.eye(3),
}


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Ottosson (2020): distances in this space are about as large as they look."""
    cones = np.cbrt(
        np.array(
            [
                [0.4122214708, 0.5363325363, 0.0514459929],
                [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005],
            ]
        )
        @ np.clip(rgb, 0, 1)
    )
    return (
        np.array(
            [
                [0.2104542553, 0.7936177850, -0.0040720468],
                [1.9779984951, -2.4285922050, 0.4505937099],
                [0.0259040371, 0.7827717662, -0.8086757660],
            ]
        )
        @ cones
    )


def contrast(first: str, second: str) -> float:
    """WCAG 2: the ratio of luminances, from 1 to 21."""
    light, dark = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (first, second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_measured_right():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#767676", "#FFFFFF") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize(
    ("colours", "page"),
    [
        (palette.CATEGORIES, palette.PAGE_LIGHT),
        (palette.CATEGORIES_DARK, palette.PAGE_DARK),
        ((palette.NEUTRAL,), palette.PAGE_LIGHT),
        ((palette.NEUTRAL,), palette.PAGE_DARK),
    ],
)
def test_every_line_stands_out_from_its_page(colours: tuple[str, ...], page: str):
    assert {colour: contrast(colour, page) for colour in colours if contrast(colour, page) < 3} == {}


@pytest.mark.parametrize("sight", SEEN_AS)
@pytest.mark.parametrize("colours", [palette.CATEGORIES, palette.CATEGORIES_DARK])
def test_colour_blind_readers_tell_all_categories_apart(colours: tuple[str, ...], sight: str):
    seen = {colour: oklab(np.array(SEEN_AS[sight]) @ linear(colour)) for colour in colours}
    close = {
        (first, second): float(np.linalg.norm(seen[first] - seen[second]))
        for first, second in itertools.combinations(colours, 2)
        # The closest pair of Okabe and Ito's own list, their green and purple, is 0.076 apart.
        if np.linalg.norm(seen[first] - seen[second]) < 0.075
    }
    assert close == {}


def test_dark_and_light_categories_pair_up():
    assert [palette.LIGHT_TO_DARK[colour] for colour in palette.CATEGORIES] == list(palette.CATEGORIES_DARK)


def test_equal_effects_of_either_sign_look_equally_strong():
    stops = dict(palette.DIVERGING)
    assert list(stops) == pytest.approx([1 - at for at in reversed(stops)])
    lightness = {at: float(oklab(linear(colour))[0]) for at, colour in stops.items()}
    for at, below in zip(stops, reversed(stops), strict=True):
        assert lightness[at] == pytest.approx(lightness[below], abs=0.015)
    falling = [lightness[at] for at in stops if at >= 0.5]
    assert falling == sorted(falling, reverse=True)


def test_series_differ_without_colour_too():
    looks = [(palette.category(i), palette.dash(i)) for i in range(42)]
    assert len(set(looks)) == 42
    assert len({palette.symbol(i) for i in range(7)}) == len({palette.pattern(i) for i in range(7)}) == 7
