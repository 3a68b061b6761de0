"""STAE, Roadmap-lite, U-Net and Joint; one trainer, one scorer."""
