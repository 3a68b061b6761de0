"""Datasets, frames and Ids.

Reads: videos, folders of images, datasets in a known layout.
Makes: the manifest (one row per frame), one file of measurements per video, and `Footage`, the only view of the frames
    that models have.
Open: `layouts.py` to recognise another dataset; `decoding.py` for video files, `images.py` for image files;
    `footage.py` for the interface of models to frames; `clips.py` for the cache of decoded frames, `packing.py` for
    compressed maps; `ids.py` for the form of Ids.
"""
