// Lets Xen Orchestra's packages write images of a raw disk: a qcow2, a VHD, and the VHD it makes of a VMDK.
// Usage: node xen-orchestra.mjs KIND SOURCE TARGET
import { createReadStream, createWriteStream, promises as fs } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { RawDisk } from '@xen-orchestra/disk-transform'

const [kind, source, target] = process.argv.slice(2)

// What the packages want to read files with.
const handles = new Map()
const accessor = {
  async openFile(path) {
    const handle = await fs.open(path)
    handles.set(handle.fd, handle)
    return handle.fd
  },
  async closeFile(fd) {
    await handles.get(fd).close()
    handles.delete(fd)
  },
  async getSize(path) {
    return (await fs.stat(path)).size
  },
  async read(fd, buffer, position) {
    return handles.get(fd).read(buffer, 0, buffer.length, position)
  },
}

// A disk that knows its empty blocks, as those of backups do.
class Sparse extends RawDisk {
  #full
  async look() {
    this.#full = new Set()
    for (const index of super.getBlockIndexes()) {
      const { data } = await this.readBlock(index)
      if (data.some(byte => byte !== 0)) this.#full.add(index)
    }
  }
  getBlockIndexes() {
    return [...this.#full]
  }
  hasBlock(index) {
    return this.#full.has(index)
  }
}

const disk = async (blockSize, sparse) => {
  const made = new (sparse ? Sparse : RawDisk)(accessor, source, blockSize)
  await made.init()
  if (sparse) await made.look()
  return made
}

const save = stream => pipeline(stream, createWriteStream(target))

const [format, block, sparse] = kind.split('-')
if (format === 'qcow2') {
  // The writing parts by name: the packages' own lists of parts want other packages, for reading.
  const { toQcow2Stream } = await import('./node_modules/@xen-orchestra/qcow2/dist/consumer/ConsumerQcowStream.mjs')
  await save(await toQcow2Stream(await disk(Number(block), sparse === 'sparse')))
} else if (format === 'vhd') {
  const { DiskConsumerVhdStream } = await import('vhd-lib-writer/disk-consumer/DiskConsumerVhdStream.mjs')
  await save(await new DiskConsumerVhdStream(await disk(Number(block), sparse === 'sparse')).toStream())
} else if (format === 'vmdk') {
  // The import of an OVA: a VHD out of a stream-optimised VMDK.
  const { default: convert, readVmdkGrainTable } = (await import('xo-vmdk-to-vhd')).default
  const { buffer, byteOffset, length } = await fs.readFile(source)
  const whole = buffer.slice(byteOffset, byteOffset + length)
  const read = async (start, end) => (end === undefined ? whole.slice(start) : whole.slice(start, end))
  const { grainLogicalAddressList, grainFileOffsetList } = await readVmdkGrainTable(read)
  await save(await convert(createReadStream(source), grainLogicalAddressList, grainFileOffsetList))
} else {
  throw new Error(`unknown kind ${kind}`)
}
