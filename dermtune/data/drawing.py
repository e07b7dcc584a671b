"""Photographs of skin with a lesion, drawn by numpy: what the synthetic set shows."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

OVERSAMPLING = 2
"""Drawn at this multiple of the photograph's size and averaged down, so that edges and specks are smooth."""
MAX_SPOTS = 12
_WAVES = 6
_TONES = np.array(
    [[0.95, 0.80, 0.71], [0.87, 0.68, 0.55], [0.72, 0.51, 0.38], [0.47, 0.31, 0.23]], dtype=np.float32
)
"""Skin from light to dark, RGB."""
_RED = np.array([0.97, 0.56, 0.54], dtype=np.float32)
_BROWN = np.array([0.46, 0.30, 0.23], dtype=np.float32)
"""What full redness and full pigment multiply the skin's RGB by."""
_SCALE = np.array([0.97, 0.90, 0.84], dtype=np.float32)
_PUS = np.array([0.95, 0.88, 0.62], dtype=np.float32)
"""What scales and the heads of spots are coloured, RGB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a lesion looks like: a class's typical values, floats, or those of N lesions, arrays [N]."""

    radius: Floats | float = 0.5
    """Of the patch, as a share of half the photograph's side."""
    irregularity: Floats | float = 0.15
    """Of the border: relative size of its waves."""
    softness: Floats | float = 0.1
    """Width over which the patch fades into skin."""
    redness: Floats | float = 0.0
    pigment: Floats | float = 0.0
    variegation: Floats | float = 0.0
    """Unevenness of the pigment across the patch."""
    scale: Floats | float = 0.0
    """Cover by whitish scales."""
    ring: Floats | float = 0.0
    """How far the patch has healed from its centre."""
    spots: Floats | float = 0.0
    """Number of papules, pustules or vesicles, up to MAX_SPOTS."""
    spot_size: Floats | float = 0.08
    spread: Floats | float = 0.6
    """How far spots scatter from the centre: small is a cluster."""
    pus: Floats | float = 0.0
    """How yellow-white the spots' heads are."""

    def vary(self, n: int, variation: float, rng: np.random.Generator) -> "Look":
        """Looks of n lesions around this one: every value scaled and shifted by normal noise, never below zero."""
        values = {}
        for field in fields(self):
            typical = float(getattr(self, field.name))
            unit = MAX_SPOTS if field.name == "spots" else 1.0
            noise = rng.standard_normal(n) * variation * (0.55 * typical + 0.12 * unit * (field.name in _SHIFTED))
            values[field.name] = np.maximum(typical + noise, 0.02 * (typical > 0)).astype(np.float32)
        return Look(**values)

    def take(self, index: NDArray[np.intp]) -> "Look":
        """The looks at these positions."""
        return Look(**{field.name: np.asarray(getattr(self, field.name))[index] for field in fields(self)})


_SHIFTED = frozenset({"redness", "pigment", "scale", "ring", "spots", "pus", "variegation"})
"""Traits that a lesion can show although its class typically does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesions:
    """N lesions as they are, whoever photographs them."""

    look: Look
    tone: Floats
    """Skin tone from 0, light, to 1, dark, [N]."""
    waves: NDArray[np.complex64]
    """Fourier terms of the border, [N, _WAVES]."""
    spot_place: NDArray[np.complex64]
    """Where spots sit, in units of `look.spread`, [N, MAX_SPOTS]."""

    @classmethod
    def joined(cls, parts: Sequence["Lesions"]) -> "Lesions":
        """All parts' lesions, one after the other."""
        looks = {f.name: np.concatenate([getattr(part.look, f.name) for part in parts]) for f in fields(Look)}
        return cls(
            look=Look(**looks),
            tone=np.concatenate([part.tone for part in parts]),
            waves=np.concatenate([part.waves for part in parts]),
            spot_place=np.concatenate([part.spot_place for part in parts]),
        )

    def take(self, index: NDArray[np.intp]) -> "Lesions":
        """The lesions at these positions, once for each time that they are named."""
        return replace(
            self,
            look=self.look.take(index),
            tone=self.tone[index],
            waves=self.waves[index],
            spot_place=self.spot_place[index],
        )


def grow(look: Look, n: int, variation: float, rng: np.random.Generator) -> Lesions:
    """N lesions of one class, each with a skin, a border and a look of its own."""
    falling = 1 / np.arange(1, _WAVES + 1)
    return Lesions(
        look=look.vary(n, variation, rng),
        tone=rng.beta(1.3, 2.0, n).astype(np.float32),
        waves=(_complex_normal(rng, (n, _WAVES)) * falling).astype(np.complex64),
        spot_place=_complex_normal(rng, (n, MAX_SPOTS)),
    )


def photograph(lesions: Lesions, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One photograph of each lesion from its own angle, distance and light, [N, size, size, 3]."""
    side = size * OVERSAMPLING
    plane = _plane(len(lesions.tone), side, rng)
    patch = _patch(lesions, plane)
    bumps, heads = _spots(lesions, plane)
    red, brown, flakes = _contents(lesions.look, patch, rng)
    colour = _skin(lesions.tone, side, rng) * _tint(red + 0.8 * bumps, brown)
    _cover(colour, _SCALE, flakes)
    _cover(colour, _PUS, heads)
    return _exposed(_reduced(colour, size), rng)


def _plane(n: int, side: int, rng: np.random.Generator) -> NDArray[np.complex64]:
    """Each pixel's place in the lesion's own coordinates, x + iy, [n, side, side]: turned, shifted and zoomed."""
    axis = (np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1
    pixel = axis + 1j * axis[:, None]
    turn = np.exp(2j * np.pi * rng.random(n)) * np.exp(rng.normal(0, 0.1, n))
    shift = 0.1 * _complex_normal(rng, (n,))
    return np.asarray((pixel - shift[:, None, None]) * turn[:, None, None], dtype=np.complex64)


def _patch(lesions: Lesions, plane: NDArray[np.complex64]) -> Floats:
    """How much of the patch covers each pixel, 0 to 1, [N, side, side]."""
    look = lesions.look
    distance = np.abs(plane)
    direction = plane / np.maximum(distance, 1e-6)
    border = np.zeros_like(distance)
    term = direction
    for k in range(_WAVES):
        border += (lesions.waves[:, k, None, None] * term).real
        term = term * direction
    border = _per_image(look.radius) * np.maximum(1 + _per_image(look.irregularity) * border, 0.25)
    inside = _ramp(border - distance, _per_image(look.softness))
    healed = _per_image(look.ring) * _ramp(0.65 * border - distance, 0.1)
    return np.asarray(inside * (1 - np.minimum(healed, 0.9)))


def _contents(look: Look, patch: Floats, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Redness, pigment and cover by scales at each pixel of the patch, each [N, side, side]."""
    n, side = patch.shape[:2]
    red = patch * _per_image(look.redness) * (1 + 0.25 * _clouds(n, side, 5, rng))
    uneven = np.maximum(1 + 3 * _per_image(look.variegation) * _clouds(n, side, 4, rng), 0)
    brown = patch * _per_image(look.pigment) * uneven
    flaky = _ramp(_clouds(n, side, side // 4, rng) + 1.3 * _per_image(look.scale) - 1, 0.6)
    return red, brown, 0.8 * patch * flaky * np.minimum(3 * _per_image(look.scale), 1)


def _spots(lesions: Lesions, plane: NDArray[np.complex64]) -> tuple[Floats, Floats]:
    """How much a papule covers each pixel, and how much its head of pus, each [N, side, side]."""
    bumps = np.zeros(plane.shape, dtype=np.float32)
    heads = np.zeros_like(bumps)
    for k in range(MAX_SPOTS):
        spotted = np.flatnonzero(lesions.look.spots > k)
        look = lesions.look.take(spotted)
        centre = lesions.spot_place[spotted, k] * look.spread * 0.7
        near = np.abs(plane[spotted] - centre[:, None, None])
        size = _per_image(look.spot_size)
        shown = _per_image(np.minimum(look.spots - k, 1))
        head = shown * np.minimum(_per_image(look.pus), 1) * _ramp(0.55 * size - near, 0.35 * size)
        bumps[spotted] = np.maximum(bumps[spotted], shown * _ramp(size - near, 0.5 * size))
        heads[spotted] = np.maximum(heads[spotted], head)
    return bumps, heads


def _skin(tone: Floats, side: int, rng: np.random.Generator) -> Floats:
    """Bare skin of each tone with its blotches, [N, side, side, 3]."""
    n = len(tone)
    place = tone * (len(_TONES) - 1.001)
    low = place.astype(np.intp)
    share = (place - low)[:, None]
    base = _TONES[low] * (1 - share) + _TONES[low + 1] * share
    blotches = 0.05 * _clouds(n, side, 3, rng) + 0.03 * _clouds(n, side, side // 4, rng)
    reddish = np.array([0.6, 1.0, 1.1], dtype=np.float32)
    return (base[:, None, None, :] * (1 + blotches[..., None] * reddish)).astype(np.float32)


def _exposed(colour: Floats, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture that a camera takes: light from one side, a white balance, an exposure, and sensor noise."""
    n, size = colour.shape[:2]
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    slope = rng.normal(0, 0.08, (n, 2)).astype(np.float32)
    light = 1 + slope[:, :1, None] * axis[None, :, None] + slope[:, 1:, None] * axis[None, None, :]
    light = light - 0.06 * (axis[:, None] ** 2 + axis[None, :] ** 2)
    balance = np.exp(rng.normal(0, 0.03, (n, 1, 1, 3)) + rng.normal(0, 0.08, (n, 1, 1, 1)))
    noisy = colour * light[..., None] * balance + rng.normal(0, 0.02, colour.shape)
    pixels: NDArray[np.uint8] = (np.clip(noisy, 0, 1) * 255 + 0.5).astype(np.uint8)
    return pixels


def _clouds(n: int, side: int, cells: int, rng: np.random.Generator) -> Floats:
    """Smooth noise with `cells` bumps across, mean 0, within about -1 to 1, [n, side, side]."""
    knots = rng.uniform(-1, 1, (n, cells + 1, cells + 1)).astype(np.float32)
    weights = _interpolation(cells + 1, side)
    return np.asarray(weights @ knots @ weights.T, dtype=np.float32)


def _interpolation(knots: int, side: int) -> Floats:
    """Weights of each knot at each pixel along one axis, rows summing to one, [side, knots]."""
    at = (np.arange(side, dtype=np.float32) + 0.5) * ((knots - 1) / side)
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(knots))), dtype=np.float32)


def _reduced(colour: Floats, size: int) -> Floats:
    n, fine = len(colour), OVERSAMPLING
    return np.asarray(colour.reshape(n, size, fine, size, fine, 3).mean(axis=(2, 4)), dtype=np.float32)


def _ramp(depth: Floats, width: Floats | float) -> Floats:
    """0 outside, 1 inside, smooth over `width` around depth 0."""
    t = np.clip(depth / np.maximum(width, 1e-3) + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def _tint(red: Floats, brown: Floats) -> Floats:
    """What skin is multiplied by under so much blood and pigment, [N, side, side, 3] (Beer and Lambert's law)."""
    return np.exp(red[..., None] * np.log(_RED) + brown[..., None] * np.log(_BROWN))


def _cover(colour: Floats, with_colour: Floats, share: Floats) -> None:
    """Cover this share of `colour` with another, in place; somewhat dimmer where the skin around is dark."""
    dimmed = with_colour * (0.65 + 0.35 * colour.mean(axis=-1, keepdims=True))
    colour += share[..., None] * (dimmed - colour)


def _per_image(values: Floats | float) -> Floats:
    return np.asarray(values, dtype=np.float32)[:, None, None]


def _complex_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.complex64]:
    return np.asarray((rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / 2**0.5, dtype=np.complex64)
