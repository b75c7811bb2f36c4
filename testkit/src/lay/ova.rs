//! Virtual machines packed by OVF.

/// The address that stands for streamOptimized VMDK.
pub const STREAM: &str = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";
/// The one that stands for a raw disk.
pub const RAW: &str = "http://en.wikipedia.org/wiki/Byte";

/// A disk to pack.
#[derive(Clone, Copy, Debug)]
pub struct Disk<'a> {
    /// The name of its file.
    pub name: &'a str,
    /// The file.
    pub bytes: &'a [u8],
    /// Bytes of the disk.
    pub capacity: u64,
    /// The address that stands for its format.
    pub format: &'a str,
}

/// An archive of a descriptor and these disks, each cut into chunks if so.
#[must_use]
pub fn image(disks: &[Disk<'_>], chunk: Option<usize>) -> Vec<u8> {
    let descriptor = descriptor(disks);
    let mut members = vec![("vm.ovf".to_owned(), descriptor.into_bytes())];
    for disk in disks {
        match chunk {
            None => members.push((disk.name.to_owned(), disk.bytes.to_vec())),
            Some(size) => {
                let chunks = disk.bytes.chunks(size).enumerate();
                members.extend(
                    chunks.map(|(number, bytes)| (format!("{}.{number:09}", disk.name), bytes.to_vec())),
                );
            }
        }
    }
    let members: Vec<_> = members
        .iter()
        .map(|(name, bytes)| (&name[..], &bytes[..]))
        .collect();
    archive(&members)
}

/// The descriptor of a machine with these disks.
#[must_use]
pub fn descriptor(disks: &[Disk<'_>]) -> String {
    let (mut files, mut lines) = (String::new(), String::new());
    for (number, disk) in (1..).zip(disks) {
        let Disk {
            name,
            bytes,
            capacity,
            format,
        } = disk;
        let size = bytes.len();
        files += &format!("<File ovf:id=\"file{number}\" ovf:href=\"{name}\" ovf:size=\"{size}\"/>");
        lines += &format!(
            "<Disk ovf:diskId=\"disk{number}\" ovf:fileRef=\"file{number}\" ovf:capacity=\"{capacity}\" ovf:format=\"{format}\"/>"
        );
    }
    envelope(&files, &lines)
}

/// A descriptor with these elements.
#[must_use]
pub fn envelope(files: &str, disks: &str) -> String {
    let space = "http://schemas.dmtf.org/ovf/envelope/1";
    format!(
        "<?xml version=\"1.0\"?>\n<Envelope xmlns=\"{space}\" xmlns:ovf=\"{space}\">\n<References>{files}</References>\n\
         <DiskSection><Info>disks</Info>{disks}</DiskSection>\n</Envelope>\n"
    )
}

/// A tar archive of these files.
#[must_use]
pub fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, bytes) in members {
        if name.len() > 100 {
            let long = [name.as_bytes(), b"\0"].concat();
            archive.extend(member("././@LongLink", b'L', &long));
        }
        archive.extend(member(name, b'0', bytes));
    }
    archive.extend([0; 1024]);
    archive
}

/// A header of this kind, and what follows it. A name is cut off where the field ends.
#[must_use]
pub fn member(name: &str, kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut member = header(name, kind, bytes.len()).to_vec();
    member.extend(bytes);
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

/// A header alone.
#[must_use]
pub fn header(name: &str, kind: u8, size: usize) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name.as_bytes()[..name.len().min(100)]);
    put(100, b"0000644\x000000000\x000000000\0");
    put(124, format!("{size:011o}\x0000000000000\0").as_bytes());
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    sealed(header)
}

/// The same header with the checksum that it must have.
#[must_use]
pub fn sealed(mut header: [u8; 512]) -> [u8; 512] {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
