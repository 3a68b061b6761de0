"""Datasets, frames and their numbers.

Reads: videos, folders of images, datasets in a known layout.
Makes: the manifest (one row a frame), one file a video with what is known of it, `Footage`, which is all a model sees
    of a split.
Open: `layouts.py` to recognise another dataset; `decoding.py` for video files, `images.py` for image files;
    `footage.py` for what a model can ask of its frames; `clips.py` for where decoded frames lie, `packing.py` for how
    maps are packed; `ids.py` for how an Id is made.
"""
