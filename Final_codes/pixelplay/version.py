"""The release; part of every key, so that what another one made is made again."""

VERSION = "0.2.0"
