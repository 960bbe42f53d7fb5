"""
Writes memory cards for meters: ``tresma flash``.

The way of a card: ``image`` unpacks and verifies what is to be written, ``contents`` makes the folder that tells a
meter who it is and puts it into a copy of the image's FAT partition, ``targets`` finds out what a target is and refuses
what must not be written, ``media`` opens it, ``writing`` writes, reads back and only then makes it bootable, ``label``
draws what is glued onto the box, ``tray`` does many at once and remembers which are done.
"""
