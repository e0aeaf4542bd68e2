"""Images: how fast do JPEGs become batches of random parts, 224 x 224, beside what people use?

    python benchmarks/images.py [--width 500] [--count 512] [--rounds 2] [--seconds 2] [--only "pyloader"]
    python benchmarks/images.py --threads        two threads beside one, on an idle machine, in about a minute

Photos of width x 3/4 width, JPEG of quality 90, in WebDataset shards; batches of 64, uint8.  Each case is a process of
its own, in turns with the others; batch follows batch for some seconds after the first two.  Shown are images/s, and
milliseconds of processor time for each image, with those of worker processes: the second can be compared on a machine
that does other things as well.  All of it takes five minutes on two processors; its last lines compare.  What is not
installed is named and left out.  "decoding alone" is the whole image, and nothing made of it: what all do that do not
decode less.

The work is the same in all: RandomResizedCrop as torchvision draws it, mirrored every second time.  What is not: OpenCV
with INTER_LINEAR and tf.image.resize skip pixels where they shrink (no antialiasing).  OpenCV's INTER_AREA and
FFmpeg's bilinear, which SPDL uses, do not.  SPDL needs the libraries of FFmpeg, which it does not bring.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import io
import itertools
import json
import math
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from processor_time import processor_seconds

SIZE, BATCH, IMAGES_A_SHARD = 224, 64, 128
_MOST_SECONDS = 60  # of one measurement, with its beginning


def photos(width: int, count: int) -> Iterator[bytes]:
    """Yield parts of scikit-learn's two photos, or of pictures without it, as JPEGs."""
    from PIL import Image

    try:
        from sklearn.datasets import load_sample_images

        sources = load_sample_images().images
    except ImportError:
        y, x = np.mgrid[0:427, 0:640]
        sources = [np.stack([x * 0.4, y * 0.5, np.sin(x * y / 900) * 90 + 127], axis=2).astype(np.uint8)]
    rng = random.Random(0)
    for number in range(count):
        source = Image.fromarray(sources[number % len(sources)])
        left, top = rng.randrange(100), rng.randrange(70)
        part = source.crop((left, top, left + 480, top + 360)).resize((width, width * 3 // 4), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        part.save(file, "JPEG", quality=90)
        yield file.getvalue()


def write_shards(directory: Path, images: list[bytes]) -> None:
    """Write shards of images, "jpg", and labels, "cls"."""
    for first in range(0, len(images), IMAGES_A_SHARD):
        with tarfile.open(directory / f"{first // IMAGES_A_SHARD:05d}.tar", "w") as shard:
            for number, image in enumerate(images[first : first + IMAGES_A_SHARD], start=first):
                for extension, content in (("cls", str(number % 10).encode()), ("jpg", image)):
                    member = tarfile.TarInfo(f"{number:06d}.{extension}")
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))


def images_of(directory: Path) -> list[bytes]:
    """Return all images of the shards."""
    from pyloader import WebDatasetReader

    return [
        image for path in sorted(directory.glob("*.tar")) for image in WebDatasetReader().read_file(str(path))[0]["jpg"]
    ]


def random_part(width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, width and height, as RandomResizedCrop.get_params."""
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1.0)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return random.randint(0, width - w), random.randint(0, height - h), w, h
    return 0, 0, width, height


def with_pillow(image: Any) -> np.ndarray:
    """Return what torchvision's transforms make of an image of Pillow's."""
    from PIL import Image

    image = image.convert("RGB")
    left, top, w, h = random_part(*image.size)
    part = image.crop((left, top, left + w, top + h)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    if random.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.array(part)


def with_opencv(data: bytes, interpolation: str) -> np.ndarray:
    """Return the same by OpenCV."""
    import cv2

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    left, top, w, h = random_part(pixels.shape[1], pixels.shape[0])
    part = pixels[top : top + h, left : left + w]
    part = cv2.resize(part, (SIZE, SIZE), interpolation=getattr(cv2, interpolation))
    return cv2.flip(part, 1) if random.random() < 0.5 else part


def with_bare_decoder(data: bytes, resizer: Any, target: Any, bilinear: Any) -> np.ndarray:
    """Return the same by the packages that ImageDataset uses, and nothing besides."""
    import cykooz_resizer as cykooz
    import simplejpeg

    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    left, top, w, h = random_part(width, height)
    by = max(n for n in (1, 2, 4, 8) if n == 1 or min(w, h) >= n * SIZE)
    smaller = {"min_height": -(-height // by), "min_width": -(-width // by)} if by > 1 else {}
    pixels = simplejpeg.decode_jpeg(data, "RGB", min_factor=by, **smaller)
    part = pixels[top // by : (top + h) // by, left // by : (left + w) // by]
    source = cykooz.ImageData(part.shape[1], part.shape[0], cykooz.PixelType.U8x3, part.tobytes())
    resizer.resize(source, target, cykooz.ResizeOptions(bilinear))
    result = np.frombuffer(target.get_buffer(), np.uint8).reshape(SIZE, SIZE, 3)
    return result[:, ::-1] if random.random() < 0.5 else result


def decoded(decode: Callable[[bytes], Any]) -> Callable[[Path], Iterator[int]]:
    """Return a loop that decodes, and makes nothing of it."""
    empty = np.zeros((SIZE, SIZE, 3), np.uint8)

    def one(data: bytes) -> np.ndarray:
        decode(data)
        return empty

    return lambda directory: in_loops(directory, lambda: one, 1)


def decoded_by_pillow(data: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(data)).load()


def bare_decoder() -> Callable[[bytes], np.ndarray]:
    """Return `with_bare_decoder` for one thread."""
    import cykooz_resizer as cykooz

    target = cykooz.ImageData(SIZE, SIZE, cykooz.PixelType.U8x3)
    bilinear = cykooz.ResizeAlg.convolution(cykooz.FilterType.bilinear)
    return functools.partial(with_bare_decoder, resizer=cykooz.Resizer(), target=target, bilinear=bilinear)


def in_loops(directory: Path, make: Callable[[], Callable[[bytes], np.ndarray]], num_threads: int) -> Iterator[int]:
    """Yield rows of batches that threads make, each a loop of its own, nothing between them."""
    images = images_of(directory)
    done = threading.Semaphore(0)

    def loop() -> None:
        one, batch = make(), np.empty((BATCH, SIZE, SIZE, 3), np.uint8)
        for number, data in enumerate(itertools.cycle(images)):
            batch[number % BATCH] = one(data)
            if number % BATCH == BATCH - 1:
                done.release()

    for _ in range(num_threads):
        threading.Thread(target=loop, daemon=True).start()
    while True:
        done.acquire()
        yield BATCH


def in_pyloader(directory: Path, **workers: Any) -> Iterator[int]:
    """Yield rows of batches of a DataLoader with an ImageDataset."""
    import pyloader

    reader = pyloader.WebDatasetReader(decode={"cls": "int"})
    options = {"batch_size": BATCH, "num_epochs": None, "shuffle": True, "shuffle_window": 2}
    with pyloader.DataLoader(reader, pyloader.ImageDataset("jpg"), data_dir=directory, **options, **workers) as loader:
        for batch in loader:
            yield len(batch["jpg"])


class Images:
    """A map-style dataset for torch: Pillow on each image."""

    def __init__(self, images: list[bytes]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        import torch
        from PIL import Image

        return torch.from_numpy(with_pillow(Image.open(io.BytesIO(self.images[index]))))


def in_torch(directory: Path, num_workers: int) -> Iterator[int]:
    """Yield rows of batches of a torch DataLoader."""
    import torch

    torch.set_num_threads(1)  # as in its workers: others would spin between batches
    loader = torch.utils.data.DataLoader(
        Images(images_of(directory)), BATCH, shuffle=True, num_workers=num_workers, persistent_workers=num_workers > 0
    )
    while True:
        yield from map(len, loader)


def in_tensorflow(directory: Path) -> Iterator[int]:
    """Yield rows of batches of tf.data, with as many threads as it finds best."""
    import tensorflow as tf

    def part(data: Any) -> Any:
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.image.extract_jpeg_shape(data),
            tf.zeros([1, 0, 4]),
            area_range=(0.08, 1.0),
            aspect_ratio_range=(3 / 4, 4 / 3),
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.concat([begin[:2], size[:2]], axis=0)
        pixels = tf.image.resize(tf.image.decode_and_crop_jpeg(data, window, channels=3), (SIZE, SIZE))
        return tf.cast(tf.image.random_flip_left_right(pixels), tf.uint8)

    images = tf.data.Dataset.from_tensor_slices(images_of(directory)).repeat().shuffle(256)
    for batch in images.map(part, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(2).as_numpy_iterator():
        yield len(batch)


def in_datasets(directory: Path) -> Iterator[int]:
    """Yield rows of batches of Hugging Face datasets, one process."""
    import datasets

    columns = {"image": [{"bytes": image, "path": None} for image in images_of(directory)]}
    table = datasets.Dataset.from_dict(columns, datasets.Features({"image": datasets.Image()}))
    table.set_transform(lambda rows: {"image": [with_pillow(image) for image in rows["image"]]})
    while True:
        for rows in table.shuffle().iter(BATCH):
            yield len(np.stack(rows["image"]))


def in_webdataset(directory: Path, num_workers: int) -> Iterator[int]:
    """Yield rows of batches of webdataset, with torch's workers."""
    import torch
    import webdataset

    shards = sorted(map(str, directory.glob("*.tar")))
    samples = webdataset.WebDataset(shards, shardshuffle=100).repeat().shuffle(256).decode("pil").to_tuple("jpg")
    batches = samples.map_tuple(with_pillow).batched(BATCH)
    for (batch,) in torch.utils.data.DataLoader(batches, batch_size=None, num_workers=num_workers):
        yield len(batch)


def in_spdl(directory: Path, num_threads: int) -> Iterator[int]:
    """Yield rows of batches of an SPDL pipeline: FFmpeg decodes, crops and resizes."""
    import spdl.io
    import spdl.pipeline

    def part(data: bytes) -> Any:
        packets = spdl.io.demux_image(data)
        left, top, w, h = random_part(packets.width, packets.height)
        flip = ",hflip" if random.random() < 0.5 else ""
        filters = f"crop={w}:{h}:{left}:{top},scale={SIZE}:{SIZE}:flags=bilinear{flip},format=rgb24"
        return spdl.io.decode_packets(packets, filter_desc=filters)

    def batch(frames: list[Any]) -> Any:
        return spdl.io.to_numpy(spdl.io.convert_frames(frames))

    images = images_of(directory)
    part(images[0])  # a pipeline passes over what fails: without FFmpeg it would come to no end
    builder = spdl.pipeline.PipelineBuilder().add_source(itertools.cycle(images))
    builder = builder.pipe(part, concurrency=num_threads).aggregate(BATCH).pipe(batch).add_sink(2)
    pipeline = builder.build(num_threads=num_threads)
    with pipeline.auto_stop():
        yield from map(len, pipeline)


def opencv(interpolation: str, num_threads: int) -> Callable[[Path], Iterator[int]]:
    """Return the loops of OpenCV."""

    def loops(directory: Path) -> Iterator[int]:
        import cv2

        cv2.setNumThreads(1)
        return in_loops(directory, lambda: functools.partial(with_opencv, interpolation=interpolation), num_threads)

    return loops


_Case = tuple[str, Callable[[Path], Iterator[int]]]  # the package that it needs, and what yields rows of batches
CASES: dict[str, _Case] = {
    "bare loop, 1 thread": ("cykooz_resizer", lambda at: in_loops(at, bare_decoder, 1)),
    "bare loop, 2 threads": ("cykooz_resizer", lambda at: in_loops(at, bare_decoder, 2)),
    "pyloader, 0 workers": ("PIL", lambda at: in_pyloader(at, num_workers=0)),
    "pyloader, 1 worker": ("PIL", lambda at: in_pyloader(at, num_workers=1)),
    "pyloader, 2 workers": ("PIL", lambda at: in_pyloader(at, num_workers=2)),
    "OpenCV, INTER_AREA, 1 thread": ("cv2", opencv("INTER_AREA", 1)),
    "OpenCV, INTER_LINEAR, 1 thread": ("cv2", opencv("INTER_LINEAR", 1)),
    "OpenCV, INTER_LINEAR, 2 threads": ("cv2", opencv("INTER_LINEAR", 2)),
    "torch DataLoader, Pillow, 0 workers": ("torch", lambda at: in_torch(at, 0)),
    "torch DataLoader, Pillow, 1 worker": ("torch", lambda at: in_torch(at, 1)),
    "torch DataLoader, Pillow, 2 workers": ("torch", lambda at: in_torch(at, 2)),
    "torch DataLoader, Pillow, 4 workers": ("torch", lambda at: in_torch(at, 4)),
    "tf.data": ("tensorflow", in_tensorflow),
    "Hugging Face datasets, Pillow": ("datasets", in_datasets),
    "webdataset, Pillow, 2 workers": ("webdataset", lambda at: in_webdataset(at, 2)),
    "SPDL, 1 thread": ("spdl", lambda at: in_spdl(at, 1)),
    "SPDL, 2 threads": ("spdl", lambda at: in_spdl(at, 2)),
    "simplejpeg, decoding alone": (
        "simplejpeg",
        decoded(lambda data: __import__("simplejpeg").decode_jpeg(data, "RGB")),
    ),
    "Pillow, decoding alone": ("PIL", decoded(decoded_by_pillow)),
}
THREADS = ("bare loop, 1 thread", "bare loop, 2 threads", "pyloader, 1 worker", "pyloader, 2 workers")
# What is compared: the fastest case whose name begins with the one, and with the other.
RATIOS = {
    "two threads / one, bare": ("bare loop, 2", "bare loop, 1"),
    "two workers / one, pyloader": ("pyloader, 2", "pyloader, 1"),
    "one worker / a bare loop": ("pyloader, 1", "bare loop, 1"),
    "two workers / two bare loops": ("pyloader, 2", "bare loop, 2"),
    "two workers / the fastest torch DataLoader": ("pyloader, 2", "torch DataLoader"),
    "one worker / OpenCV with antialiasing": ("pyloader, 1", "OpenCV, INTER_AREA, 1"),
    "one worker / OpenCV without": ("pyloader, 1", "OpenCV, INTER_LINEAR, 1"),
}


def measure(name: str, directory: Path, seconds: float) -> dict[str, float]:
    """Return images/s and processor milliseconds an image."""
    batches = CASES[name][1](directory)
    for _ in range(2):
        next(batches)
    rows, begun, worked = 0, time.perf_counter(), processor_seconds()
    while time.perf_counter() - begun < seconds:
        rows += next(batches)
    return {
        "rate": rows / (time.perf_counter() - begun),
        "milliseconds": (processor_seconds() - worked) / rows * 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=2, help="how often each case is measured, in turns")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement, without its beginning")
    parser.add_argument("--only", action="append", help="cases whose name begins so")
    parser.add_argument("--threads", action="store_true", help="compare two threads with one, bare and ours")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.case, arguments.directory, arguments.seconds)), flush=True)
        os._exit(0)  # some loaders' threads never end
    names = [name for name in CASES if not arguments.only or name.startswith(tuple(arguments.only))]
    if arguments.threads:
        names = list(THREADS)
    lacking = sorted({CASES[name][0] for name in names if importlib.util.find_spec(CASES[name][0]) is None})
    for package in lacking:
        print(f"{package} is not installed: {', '.join(name for name in names if CASES[name][0] == package)} left out")
    names = [name for name in names if CASES[name][0] not in lacking]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as directory:
        write_shards(Path(directory), list(photos(arguments.width, arguments.count)))
        for number, name in enumerate(names * arguments.rounds):
            command = [sys.executable, __file__, "--case", name, "--directory", directory]
            command += ["--seconds", str(arguments.seconds)]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=_MOST_SECONDS)
            except subprocess.TimeoutExpired:
                print(f"{name}: left out of a round, since nothing came in {_MOST_SECONDS} s")
                continue
            if done.returncode:
                if number < len(names):
                    print(f"{name}: left out, since {done.stderr.strip().splitlines()[-1]}")
                continue
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    found = {name: runs for name, runs in found.items() if runs}
    best = {name: max(runs, key=lambda run: run["rate"]) for name, runs in found.items()}
    least = {name: min(run["milliseconds"] for run in runs) for name, runs in found.items()}
    first = next(iter(best), "")
    print(f"{arguments.width} x {arguments.width * 3 // 4}, best of {arguments.rounds}")
    for name in found:
        rate, cost = best[name]["rate"], least[name]
        ratio = f"{rate / best[first]['rate']:.2f} of {first}"
        print(f"{name:36} {rate:7,.0f} images/s  {cost:6.2f} ms of processor an image  {ratio}")
    for what, pair in RATIOS.items():
        rates = [max((best[name]["rate"] for name in best if name.startswith(begin)), default=0.0) for begin in pair]
        if all(rates):
            print(f"{what}: {rates[0] / rates[1]:.2f}")


if __name__ == "__main__":
    main()
