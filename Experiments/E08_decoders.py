"""E08: which decoder turns video files into RGB frames fastest, and are its frame indices right?

Reads every video of $PIXELPLAY_DATA/avenue_train; writes E08_decoders.csv beside this file. One pass over all frames to
uint8 RGB arrays, decoders interleaved, best of three rounds. `wrong_frames` and `wrong_seeks` check the frame index:
every frame, and twenty random seeks per video, are compared with an independent decoding (PyAV, one thread, from the
start).

    python Experiments/E08_decoders.py

torchcodec is optional (pip install torchcodec; it loads FFmpeg's shared libraries); without it its rows are left out.
"""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path

import av
import cv2
import numpy as np

from pixelplay import environment
from pixelplay.data.decoding import probe, video_frames
from pixelplay.errors import PixelPlayError

ROUNDS, SEEKS = 3, 20


def pyav(path, threads):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "AUTO", threads
        for frame in container.decode(stream):
            yield frame.to_ndarray(format="rgb24")


def opencv(path, threads):
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
    while True:
        there, frame = capture.read()
        if not there:
            return
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def torchcodec(path, threads):
    from torchcodec.decoders import VideoDecoder
    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=threads)
    for i in range(len(decoder)):
        yield decoder[i].numpy()


def ours(path, threads):
    for frame, _ in video_frames(path, np.arange(probe(path).frames)):
        yield frame


def seek_pyav(path, i):
    return next(frame for frame, _ in video_frames(path, np.array([i])))


def seek_opencv(path, i):
    capture = cv2.VideoCapture(str(path))
    capture.set(cv2.CAP_PROP_POS_FRAMES, i)
    return cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)


def seek_torchcodec(path, i):
    from torchcodec.decoders import VideoDecoder
    return VideoDecoder(str(path), dimension_order="NHWC")[i].numpy()


def difference(a, b):
    """Mean absolute difference in grey levels; colour conversion may differ by rounding, a wrong frame by more."""
    return float(np.abs(a.astype(np.int16) - b).mean())


def main() -> None:
    data = Path(os.environ.get("PIXELPLAY_DATA", "")) / "avenue_train" / "training_videos"
    if not data.is_dir():
        raise PixelPlayError("PIXELPLAY_DATA does not point at the datasets",
                             expected="a folder that holds avenue_train")
    paths, cpus = sorted(data.iterdir()), environment.cpu_count()
    decoders = {"pyav": (pyav, seek_pyav), "opencv": (opencv, seek_opencv), "ours (pyav)": (ours, seek_pyav)}
    try:
        import torchcodec.decoders
        decoders["torchcodec"] = (torchcodec, seek_torchcodec)
    except (ImportError, RuntimeError, OSError) as cause:
        print(f"torchcodec left out: {str(cause).splitlines()[0]}")
    runs = [(name, threads) for name in decoders for threads in ((1, cpus) if name != "ours (pyav)" else (cpus,))]
    seconds = {run: [] for run in runs}
    frames = 0
    for _ in range(ROUNDS):
        for name, threads in runs:
            start = time.perf_counter()
            frames = sum(1 for path in paths for _ in decoders[name][0](path, threads))
            seconds[name, threads].append(time.perf_counter() - start)
    rows = []
    for name, threads in runs:
        wrong, seek_wrong = 0, 0
        for path in paths:
            truth = list(pyav(path, 1))
            got = decoders[name][0](path, threads)
            wrong += sum(difference(a, b) > 2 for a, b in zip(truth, got, strict=True))
            picks = np.random.default_rng(0).integers(0, len(truth), SEEKS)
            seek_wrong += sum(difference(truth[i], decoders[name][1](path, int(i))) > 2 for i in picks)
            del truth
        best = min(seconds[name, threads])
        rows.append({"decoder": name, "threads": threads, "frames": frames, "seconds": round(best, 2),
                     "frames_per_second": round(frames / best, 1), "wrong_frames": wrong,
                     "wrong_seeks": f"{seek_wrong} of {SEEKS * len(paths)}"})
        print(rows[-1])
    with (Path(__file__).with_suffix(".csv")).open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
