"""Where a view looks at a picture, and how these points move.

Coordinates are in pixels of a domain: x to the right, y down, the picture from 0 to its width and height, and centres
of pixels at 0.5, 1.5, ... Legend: h, w size of the view.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from pixace.guide.domains import Domain

Number = jax.Array | float


class Points(NamedTuple):
    """Where a view of (h, w) pixels looks at a picture, as arrays that broadcast to (h, w).

    As long as nothing is rotated, x is (1, w), and y (h, 1).

    Attributes:
        x, y: coordinates.
        xx, xy, yx, yy: how much x changes from one column of the view to the next, x by row, y by column, y by row.
        least_x, least_y: pixels that a point stands for at least, where a smaller picture was asked for on the way.
        decided: whether a point fell outside of a picture on the way.
        colour: (h, w, 3), of those that did.
    """

    x: jax.Array
    y: jax.Array
    xx: Number
    xy: Number
    yx: Number
    yy: Number
    least_x: Number
    least_y: Number
    decided: jax.Array
    colour: jax.Array


def centres(size: tuple[int, int], domain: Domain) -> Points:
    """The centres of the (h, w) pixels into which a domain is divided."""
    (height, width), across, down = size, domain[0] / size[1], domain[1] / size[0]
    return Points(
        x=(jnp.arange(width)[None] + 0.5) * across,
        y=(jnp.arange(height)[:, None] + 0.5) * down,
        xx=across,
        xy=0.0,
        yx=0.0,
        yy=down,
        least_x=0.0,
        least_y=0.0,
        decided=jnp.zeros((1, 1), bool),
        colour=jnp.zeros((1, 1, 3)),
    )


def translated(points: Points, x: Number, y: Number) -> Points:
    """To the right and down."""
    return points._replace(x=points.x + x, y=points.y + y)


def stretched(points: Points, centre: Domain, across: Number, down: Number) -> Points:
    """Distances from a centre times two factors."""
    return points._replace(
        x=(points.x - centre[0]) * across + centre[0],
        y=(points.y - centre[1]) * down + centre[1],
        xx=points.xx * across,
        xy=points.xy * across,
        yx=points.yx * down,
        yy=points.yy * down,
        least_x=points.least_x * jnp.abs(across),
        least_y=points.least_y * jnp.abs(down),
    )


def outside(points: Points, domain: Domain, colour: jax.Array | float = 0.0) -> Points:
    """Points that are not in the domain get a colour, unless they have one."""
    x, y = points.x, points.y
    beyond = (x < 0) | (x >= domain[0]) | (y < 0) | (y >= domain[1])
    colour = jnp.where((beyond & ~points.decided)[..., None], colour, points.colour)
    return points._replace(decided=points.decided | beyond, colour=colour)


def wrapped(points: Points, domain: Domain) -> Points:
    """Points come in again on the other side of the domain."""
    return points._replace(x=points.x % domain[0], y=points.y % domain[1])


def turned(points: Points, degree: jax.Array, centre: Domain) -> Points:
    """Counter-clockwise about a centre."""
    cos, sin = jnp.cos(jnp.radians(degree)), jnp.sin(jnp.radians(degree))
    x, y = points.x - centre[0], points.y - centre[1]
    least = jnp.maximum(points.least_x, points.least_y)
    return points._replace(
        x=cos * x + sin * y + centre[0],
        y=cos * y - sin * x + centre[1],
        xx=cos * points.xx + sin * points.yx,
        xy=cos * points.xy + sin * points.yy,
        yx=cos * points.yx - sin * points.xx,
        yy=cos * points.yy - sin * points.xy,
        least_x=least,
        least_y=least,
    )


def projected(points: Points, corners: Sequence[tuple[Number, Number]], domain: Domain) -> Points:
    """By the projection that takes a quadrilateral to the whole domain.

    Args:
        points: in the domain; those that the projection has no place for come to lie to the left of it.
        corners: (x, y) of the quadrilateral as parts of the width and height, from the top left clockwise.
        domain: (width, height).
    """
    (a, b, c), (d, e, f), (g, h, i) = _inverse(_square_to(corners))
    width, height = domain
    u, v = points.x / width, points.y / height
    depth = g * u + h * v + i
    in_front = depth > 1e-6
    depth = jnp.where(in_front, depth, 1.0)
    x, y = (a * u + b * v + c) / depth, (d * u + e * v + f) / depth

    def slopes(du: Number, dv: Number) -> tuple[jax.Array, jax.Array]:
        """How x and y change where u and v change that much."""
        across, down = (a - x * g) * du + (b - x * h) * dv, (d - y * g) * du + (e - y * h) * dv
        return across / depth * width, down / depth * height

    xx, yx = slopes(points.xx / width, points.yx / height)
    xy, yy = slopes(points.xy / width, points.yy / height)
    least = jnp.maximum(points.least_x, points.least_y)
    x, y = jnp.where(in_front, x * width, -1.0), y * height
    return points._replace(x=x, y=y, xx=xx, xy=xy, yx=yx, yy=yy, least_x=least, least_y=least)


Matrix = tuple[tuple[Number, Number, Number], ...]


def _square_to(corners: Sequence[tuple[Number, Number]]) -> Matrix:
    """The projection of the unit square to a quadrilateral (Heckbert, Fundamentals of Texture Mapping, 1989)."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = corners
    dx1, dx2, sx = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, sy = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    area = dx1 * dy2 - dx2 * dy1
    area = jnp.where(jnp.abs(area) < 1e-6, 1e-6, area)
    g, h = (sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area
    return (x1 - x0 + g * x1, x3 - x0 + h * x3, x0), (y1 - y0 + g * y1, y3 - y0 + h * y3, y0), (g, h, 1.0)


def _inverse(matrix: Matrix) -> Matrix:
    """Up to a positive factor, which a projection does not notice."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    adjugate = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    sign = jnp.sign(a * adjugate[0][0] + b * adjugate[1][0] + c * adjugate[2][0])
    return tuple((sign * p, sign * q, sign * r) for p, q, r in adjugate)
