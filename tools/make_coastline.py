"""Make `phyda_cli/evaluation/coastline.npz` from the countries of Natural Earth 1:110m (public domain).

    python tools/make_coastline.py naturalearth_lowres.shp phyda_cli/evaluation/coastline.npz

The shapefile is Natural Earth's `ne_110m_admin_0_countries`, as geopandas 0.14 ships it in `geopandas/datasets`. Needs
pyshp and shapely, which phyda itself does not. The union of the countries drops their borders and leaves the land.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import shapefile
from shapely.geometry import shape
from shapely.geometry.polygon import orient
from shapely.ops import unary_union

HUNDREDTHS = 100
SNAP = 1e-4
"""Neighbours' borders agree to this [degree]; buffering by it closes the slivers between them."""


def land_rings(shapefile_path: Path) -> list[np.ndarray]:
    """Rings (n, 2) of longitude and latitude in hundredths of a degree: land anticlockwise, lakes clockwise."""
    countries = [shape(record.__geo_interface__) for record in shapefile.Reader(str(shapefile_path)).shapes()]
    land = unary_union([country.buffer(SNAP, join_style="mitre") for country in countries])
    rings = []
    for polygon in land.geoms:
        for ring in (orient(polygon).exterior, *orient(polygon).interiors):
            points = np.clip(np.asarray(ring.coords), (-180.0, -90.0), (180.0, 90.0))
            vertices = np.rint(HUNDREDTHS * points).astype(np.int16)
            distinct = np.concatenate([[True], np.any(np.diff(vertices, axis=0) != 0, axis=1)])
            if np.count_nonzero(distinct) > 3:
                rings.append(vertices[distinct])
    return sorted(rings, key=lambda ring: (-len(ring), ring[0].tolist()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapefile", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    rings = land_rings(arguments.shapefile)
    np.savez_compressed(
        arguments.output, vertices=np.concatenate(rings), lengths=np.array([len(ring) for ring in rings], np.int16)
    )


if __name__ == "__main__":
    main()
