"""Reads an image with dissect.hypervisor and writes its disk: FORMAT IMAGE TARGET. Without arguments: exits 0 if it is there."""

import pathlib
import sys

from dissect.hypervisor.disk import asif, qcow2, vdi, vhd, vhdx, vmdk


def opened(kind, name):
    path = pathlib.Path(name)
    if kind == "qcow2":
        return qcow2.QCow2(path).open()
    if kind == "vmdk":
        return vmdk.VMDK(path)
    with_file = {"vpc": vhd.VHD, "vhdx": vhdx.VHDX, "vdi": vdi.VDI, "asif": asif.ASIF}[kind]
    image = with_file(path.open("rb"))
    return image.open() if hasattr(image, "open") else image


def main(kind, name, target):
    image = opened(kind, name)
    left = image.size
    with open(target, "wb") as out:
        while left:
            piece = image.read(min(left, 1 << 20))
            if not piece:
                sys.exit(f"the disk ends {left} bytes early")
            out.write(piece)
            left -= len(piece)


if len(sys.argv) > 1:
    main(*sys.argv[1:])
