"""The four autoencoders: STAE, Roadmap-lite, U-Net and Joint; one trainer, one scorer.

Reads: `Footage` with speed maps.
Makes: trained networks with statistics of the training frames, error maps, `Scores`.
Open: `stae.py`, `roadmap.py`, `unet.py` or `joint.py` for a network and its loss; `base.py` for what they share;
    `trainer.py` for training and checkpoints; `scorer.py` to turn error maps into scores; `augment.py` for
    augmentation.
"""
