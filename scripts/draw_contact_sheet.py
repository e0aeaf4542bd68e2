"""Draw img/contact-sheet.png, the sheet in docs/photos.md: `pyloader peek --sheet` on parts of a few photos.

The photos are those in scikit-image's package that are in the public domain: a cat and a cup of coffee (CC0), an
astronaut, a rocket and a field of galaxies (NASA, SpaceX).
"""

import random
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PHOTOS = {
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "astronaut": "astronaut.png",
    "rocket": "rocket.jpg",
    "galaxies": "hubble_deep_field.jpg",
}
PHOTOS_EACH = 3


def write_photos(folder: Path) -> None:
    """Write parts of the photos, of any size, into folders of their labels."""
    import skimage
    from PIL import Image

    draw = random.Random(0)
    for label, name in PHOTOS.items():
        (folder / label).mkdir(parents=True)
        with Image.open(Path(skimage.__file__).parent / "data" / name) as photo:
            for number in range(PHOTOS_EACH):
                width, height = (round(side * draw.uniform(0.5, 1)) for side in photo.size)
                left, top = draw.randint(0, photo.width - width), draw.randint(0, photo.height - height)
                part = photo.crop((left, top, left + width, top + height)).convert("RGB")
                part.save(folder / label / f"{number}.jpg", quality=90)


def main() -> None:
    """Make the photos, split them, and draw the sheet."""
    with tempfile.TemporaryDirectory() as place:
        write_photos(Path(place, "photos"))
        for words in (
            ["split", "photos", "chunks", "--shuffle", "--max-side", "256"],
            ["peek", "chunks", "--sheet", str(PROJECT / "img" / "contact-sheet.png")],
        ):
            subprocess.run([sys.executable, "-m", "pyloader", *words], cwd=place, check=True)


if __name__ == "__main__":
    main()
