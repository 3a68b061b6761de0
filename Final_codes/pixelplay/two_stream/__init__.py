"""The two memory models: whole frames (`global_memory`) and actors (`local_memory`).

Reads: `Footage`, frozen backbones, object detectors.
Makes: features, coreset memory banks, a table of actors with their motion, `Scores`.
Open: `global_memory.py` and `local_memory.py` for the two models; `local_config.py` for the settings of the second;
    `backbones.py` and `detectors.py` to add a network; `coreset.py` and `memory.py` for the banks; `actors.py` for
    what counts as an actor, `motion.py` and `tracks.py` for its motion, `channels.py` for the scores of that motion.
"""
