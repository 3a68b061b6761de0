"""`pixelplay watch`: live scoring of cameras, streams or files, with event clips and alarms.

The source is one camera number, address or file, or a configuration file with several cameras.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
from pathlib import Path

from pixelplay.detector import Detector
from pixelplay.environment import default_output, hardware, limit_threads
from pixelplay.errors import PixelPlayError
from pixelplay.progress import quiet
from pixelplay.watch import config, group
from pixelplay.watch.alarms import Alarm, default_when
from pixelplay.watch.camera import watch_camera
from pixelplay.watch.metrics import Metrics

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add SOURCE and the options to a parser."""
    parser.add_argument("source", nargs="?", metavar="CAMERA|ADDRESS|FILE", help="a camera's number (0 is the first), "
                        "a stream's address (rtsp://..., http://...), or a video file")
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="cameras with their detectors, zones and "
                        "alarms, in place of SOURCE: a process for each")
    parser.add_argument("--camera", metavar="NAME", help="one camera of the configuration alone")
    parser.add_argument("--detector", type=Path, metavar="DIR", help="a detector of this camera, made by fit, or the "
                        "folder of a finished run (default: the run in outputs, /kaggle/working on Kaggle)")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="models to use; fewer are faster (default: all "
                        "of the detector's)")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after so much footage (default: the end, or "
                        "Ctrl-C)")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds without a frame after which a stream is "
                        "connected anew (default: 10)")
    parser.add_argument("--give-up", type=float, metavar="S", help="seconds without a frame after which it is given "
                        "up, with exit status 3 (default: 300)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="events.jsonl and the clips of the events go to "
                        "DIR/CAMERA (default: watched)")
    parser.add_argument("--record", type=Path, metavar="FILE.mp4", help="also an annotated video of everything, with "
                        "FILE.events.csv and FILE.scores.csv; FILE-2.mp4 and so on where it is there already")
    parser.add_argument("--on-event", metavar="COMMAND", help="run at the begin of each event, with its JSON on "
                        "standard input; no shell")
    parser.add_argument("--webhook", metavar="ADDRESS", help="POST each event's JSON there as it begins")
    parser.add_argument("--mqtt", metavar="ADDRESS", help="publish events at a broker: mqtt://user:password@host/prefix")
    parser.add_argument("--metrics", type=int, metavar="PORT", help="serve /health and /metrics (Prometheus) there")


def run(args: argparse.Namespace) -> int:
    """Watch until the end, --seconds or Ctrl-C.

    Returns:
        Exit status: 0, or `camera.GIVEN_UP`.
    Raises:
        PixelPlayError: invalid options, or outputs that cannot be written.
    """
    if (args.source is None) == (args.config is None):
        raise PixelPlayError("one source is needed, or --config", expected="pixelplay watch SOURCE --detector DIR, or "
                             "pixelplay watch --config cameras.toml")
    if args.seconds is not None and not args.seconds > 0:
        raise PixelPlayError(f"--seconds {args.seconds:g} watches nothing", expected="more than 0")
    cameras, output = _cameras(args)
    with contextlib.ExitStack() as stack:
        if args.metrics is not None:
            metrics = stack.enter_context(Metrics(args.metrics, output, list(cameras)))
            log.info("health and metrics: http://localhost:%d/health and /metrics", metrics.port)
        if args.config is not None and args.camera is None:
            seconds = [] if args.seconds is None else ["--seconds", str(args.seconds)]
            return group.Group(list(cameras), lambda name: group.command(args.config, name, seconds)).run()
        (camera,) = cameras.values()
        limit_threads(hardware().threads)
        stack.enter_context(quiet())
        return watch_camera(camera, Detector.find(camera.detector or default_output()), output / camera.name,
                            seconds=args.seconds, record=args.record)


def _cameras(args: argparse.Namespace) -> tuple[dict[str, config.Camera], Path]:
    """Name -> camera, and the output folder."""
    if args.record is not None and args.record.suffix.lower() != ".mp4":
        raise PixelPlayError(f"--record {args.record} is not an .mp4", expected="a name that ends in .mp4")
    if args.config is None:
        if args.camera is not None:
            raise PixelPlayError("--camera names a camera of a configuration", expected="--config FILE.toml with it")
        if args.output is not None and args.output.suffix.lower() == ".mp4":
            raise PixelPlayError(f"--output {args.output} is a folder", expected="a folder for events",
                                 hint=f"an annotated video is asked for by --record {args.output}")
        return {"camera": _camera(args)}, args.output or Path("watched")
    given = [f"--{name.replace('_', '-')}" for name in ("detector", "models", "timeout", "give_up", "output", "record",
                                                        "on_event", "webhook", "mqtt")
             if getattr(args, name) is not None]
    if given:
        raise PixelPlayError(f"{', '.join(given)} cannot be given with --config",
                             expected="these settings in the configuration file")
    found = config.load(args.config)
    if args.camera is None:
        return dict(found.cameras), found.output
    if args.camera not in found.cameras:
        raise PixelPlayError(f"{args.config} has no camera {args.camera}", expected=", ".join(found.cameras))
    return {args.camera: found.cameras[args.camera]}, found.output


def _camera(args: argparse.Namespace) -> config.Camera:
    """The camera described by the options."""
    for name in ("timeout", "give_up"):
        if getattr(args, name) is not None and not 0 < getattr(args, name) < math.inf:
            raise PixelPlayError("--timeout and --give-up must be above zero", expected="seconds")
    alarms = []
    for option, kind, target in (("--webhook", "webhook", args.webhook), ("--mqtt", "mqtt", args.mqtt),
                                 ("--on-event", "command", args.on_event)):
        if target is not None:
            try:
                alarms.append(Alarm(kind, config.RECEIVERS[kind](target), default_when(kind)))
            except ValueError as cause:
                raise PixelPlayError(f"{option} cannot be used", expected=str(cause)) from None
    chosen = {name: getattr(args, name) for name in ("detector", "timeout", "give_up")
              if getattr(args, name) is not None}
    models = tuple(m for name in args.models or () for m in name.split(","))
    return config.Camera("camera", args.source, models=models, alarms=tuple(alarms), **chosen)
