"""Reads an image with libvhdi, libvmdk or libqcow and writes its disk: FORMAT IMAGE TARGET. Without arguments: exits 0 if all
three are there."""

import sys

import pyqcow
import pyvhdi
import pyvmdk


def opened(kind, name):
    if kind == "vmdk":
        image = pyvmdk.handle()
        image.open(name)
        image.open_extent_data_files()
        return image
    image = pyqcow.file() if kind == "qcow2" else pyvhdi.file()
    image.open(name)
    return image


def main(kind, name, target):
    image = opened(kind, name)
    left = image.get_media_size()
    with open(target, "wb") as out:
        while left:
            piece = image.read_buffer(min(left, 1 << 20))
            if not piece:
                sys.exit(f"the disk ends {left} bytes early")
            out.write(piece)
            left -= len(piece)


if len(sys.argv) > 1:
    main(*sys.argv[1:])
