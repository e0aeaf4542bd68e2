"""Draw img/contact-sheet.png, the sheet in docs/photos.md: `pyloader peek --sheet` on parts of a few photos; and
img/random-crops.jpg, in docs/images.md: what ImageDataset shows of whole ones in some epochs.

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
CROPPED = {label: PHOTOS[label] for label in ("cat", "coffee", "astronaut")}
SIDE, GAP, NUM_EPOCHS = 128, 8, 5  # in pixels


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


def draw_crops(place: Path) -> None:
    """Draw each photo and, beside it, what the batches of some epochs have of it."""
    import skimage
    from PIL import Image

    from pyloader import DataLoader, ImageDataset

    (place / "whole").mkdir()
    for label, name in CROPPED.items():
        with Image.open(Path(skimage.__file__).parent / "data" / name) as photo:
            photo.convert("RGB").save(place / "whole" / f"{label}.jpg", quality=90)
    subprocess.run([sys.executable, "-m", "pyloader", "split", "whole", "whole-chunks"], cwd=place, check=True)
    sheet = Image.new("RGB", (SIDE * (NUM_EPOCHS + 2), (SIDE + GAP) * len(CROPPED) - GAP), "white")
    options = {"batch_size": len(CROPPED), "shuffle": False, "num_epochs": NUM_EPOCHS, "world": None}
    with DataLoader(None, ImageDataset(size=SIDE - GAP), data_dir=place / "whole-chunks", **options) as loader:
        for epoch, batch in enumerate(loader):
            for row, (image, name) in enumerate(zip(batch["image"], batch["name"], strict=True)):
                with Image.open(place / "whole" / Path(str(name)).name) as photo:
                    photo.thumbnail((2 * SIDE - 3 * GAP, SIDE - GAP))
                    sheet.paste(photo, (0, row * (SIDE + GAP)))
                sheet.paste(Image.fromarray(image), ((epoch + 2) * SIDE, row * (SIDE + GAP)))
    sheet.save(PROJECT / "img" / "random-crops.jpg", quality=80, optimize=True)


def main() -> None:
    """Make the photos, split them, and draw both."""
    with tempfile.TemporaryDirectory() as place:
        write_photos(Path(place, "photos"))
        for words in (
            ["split", "photos", "chunks", "--shuffle", "--max-side", "256"],
            ["peek", "chunks", "--sheet", str(PROJECT / "img" / "contact-sheet.png")],
        ):
            subprocess.run([sys.executable, "-m", "pyloader", *words], cwd=place, check=True)
        draw_crops(Path(place))


if __name__ == "__main__":
    main()
