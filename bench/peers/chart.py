"""Draws the times of several libraries over message sizes as an SVG, both axes logarithmic."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 820, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 130, 64, 52
LABEL_HEIGHT = 15
# Told apart by people who do not see all colours too (Okabe and Ito); the first is the library that is compared.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]


def bytes_text(count):
    for unit, power in (("MiB", 20), ("KiB", 10)):
        if count >= 1 << power and count % (1 << power) == 0:
            return f"{count >> power} {unit}"
    return f"{count} B"


def time_text(micros):
    if micros >= 1e6:
        return f"{micros / 1e6:g} s"
    return f"{micros / 1e3:g} ms" if micros >= 1e3 else f"{micros:g} µs"


def apart(places, least):
    """Moves labels away from each other, the lowest first, and keeps their order."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for before, after in zip(order, order[1:]):
        moved[after] = max(moved[after], moved[before] + least)
    return moved


def chart(title, subtitle, series):
    """Returns the SVG.

    series: {library: {bytes: microseconds}}, none of them empty
    """
    sizes = sorted({b for points in series.values() for b in points})
    times = [t for points in series.values() for t in points.values()]
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    high += high == low
    first, last = math.log2(sizes[0]), math.log2(sizes[-1])
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(count):
        return LEFT + across * ((math.log2(count) - first) / (last - first) if last > first else 0.5)

    def y(micros):
        return TOP + down * (high - math.log10(micros)) / (high - low)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="26" font-size="16" font-weight="bold">{escape(title)}</text>',
        f'<text x="{LEFT}" y="46" fill="#555">{escape(subtitle)}</text>',
    ]
    for power in range(low, high + 1):
        place = y(10.0**power)
        out.append(f'<path d="M{LEFT} {place:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{place + 4:.1f}" text-anchor="end">{time_text(10.0**power)}</text>')
    step = max(1, math.ceil(len(sizes) / 7))
    for count in sizes[::step]:
        out.append(f'<path d="M{x(count):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        out.append(f'<text x="{x(count):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{bytes_text(count)}</text>')
    out.append(
        f'<text x="{LEFT + across / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle" fill="#555">bytes of a rank</text>'
    )
    ends = [y(points[max(points)]) for points in series.values()]
    labels = apart(ends, LABEL_HEIGHT)
    for index, (name, points) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(f"{x(b):.1f},{y(points[b]):.1f}" for b in sorted(points))
        thick = 2.5 if index == 0 else 1.5
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{thick}"/>')
        out.extend(
            f'<circle cx="{x(b):.1f}" cy="{y(t):.1f}" r="2.5" fill="{colour}">'
            f"<title>{escape(name)}, {bytes_text(b)}: {t:.2f} µs</title></circle>"
            for b, t in sorted(points.items())
        )
        out.append(
            f'<text x="{WIDTH - RIGHT + 10}" y="{labels[index] + 4:.1f}" fill="{colour}" '
            f'font-weight="{"bold" if index == 0 else "normal"}">{escape(name)}</text>'
        )
    return "\n".join([*out, "</svg>", ""])
