//! `info`: one layer for people and as JSON.

use std::fmt::Write;

use instar_abi::Format;
use instar_abi::job::{Compression, Window};
use instar_abi::report::{Info, LuksInfo, OvaInfo, Qcow2Info, Specific, VmdkInfo};

use super::limits::Limits;
use crate::json::{Json, Object};
use crate::release::{self, Fact};
use crate::show::{Escaped, LocalTime, Name, human_size, snapshot};

/// A layer: what the guest found, and what only the host knows.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    /// Its name, as the user wrote it or as the layer above led to it.
    pub(super) name: &'a Name,
    /// What the guest found.
    pub(super) report: &'a Info,
    /// The name of the layer below, resolved beside this one.
    pub(super) full_backing: Option<Name>,
    /// The user asked for the plain file, `-f file`.
    pub(super) bare_file: bool,
    /// The files of the layer, the last one attached first. The image file itself comes last.
    pub(super) children: Vec<Child>,
    /// What `--limits` shows.
    pub(super) limits: Option<Limits>,
}

/// A file of a layer.
#[derive(Debug)]
pub(super) struct Child {
    /// `file`, `extents.0`.
    pub(super) role: String,
    pub(super) name: Name,
    /// Names and bounds of the raw parts of it that the image stands in, the outermost first.
    pub(super) parts: Vec<(Name, Option<Window>)>,
    pub(super) file: FileInfo,
}

/// What the host knows of an open file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileInfo {
    /// Bytes.
    pub(super) length: u64,
    /// Bytes on disk, if that is known.
    pub(super) allocated: Option<u64>,
    /// The protocol's name.
    pub(super) protocol: &'static str,
}

impl FileInfo {
    /// The reference tool counts files in sectors.
    const fn virtual_size(&self) -> u64 {
        self.length.next_multiple_of(512)
    }

    /// Whether it is a disk behind a server.
    fn is_remote(&self) -> bool {
        self.protocol == "nbd"
    }
}

impl Layer<'_> {
    fn format(&self) -> &'static str {
        match self.children.last() {
            Some(child) if self.bare_file => child.file.protocol,
            _ => self.report.format.name(),
        }
    }

    /// Files below the layer, or none if it is the file itself.
    fn shown_children(&self) -> &[Child] {
        if self.bare_file { &[] } else { &self.children }
    }

    fn limits(&self) -> Option<Object> {
        let limits = self.limits?;
        Some(if self.bare_file {
            limits.file()
        } else {
            limits.image(self.report)
        })
    }

    /// Bytes of all files on disk, if they are known.
    fn allocated(&self) -> Option<u64> {
        self.children.iter().map(|child| child.file.allocated).sum()
    }

    /// Whether the reference tool asks for its state: a raw image has that of its file, and a server tells of none.
    fn has_state(&self) -> bool {
        let is_server = self.report.format == Format::Raw && self.is_remote();
        has_state(self.report.format) && !is_server
    }

    fn is_remote(&self) -> bool {
        self.children.last().is_some_and(|child| child.file.is_remote())
    }
}

/// How much of the disk a file occupies, for people.
fn disk_size(allocated: Option<u64>) -> String {
    allocated.map_or_else(|| "unavailable".to_owned(), |bytes| human_size(bytes).to_string())
}

pub(super) fn human(layer: &Layer<'_>, time: &LocalTime) -> Vec<u8> {
    let report = layer.report;
    let mut out = b"image: ".to_vec();
    layer.name.put(&mut out);
    out.push(b'\n');
    let mut text = String::new();
    let _ = writeln!(text, "file format: {}", layer.format());
    let _ = writeln!(
        text,
        "virtual size: {} ({} bytes)",
        human_size(report.virtual_size),
        report.virtual_size
    );
    let _ = writeln!(text, "disk size: {}", disk_size(layer.allocated()));
    if report.encrypted {
        text.push_str("encrypted: yes\n");
    }
    if let Some(size) = report.cluster_size {
        let _ = writeln!(text, "cluster_size: {size}");
    }
    if is_shown_dirty(report) {
        text.push_str("cleanly shut down: no\n");
    }
    backing(&mut text, layer);
    if let Some(limits) = layer.limits() {
        text.push_str("Block limits:\n");
        members(&mut text, &limits, 1);
    }
    if !report.snapshots.is_empty() {
        text.push_str("Snapshot list:\n");
        snapshot::table(&mut text, &report.snapshots, time);
    }
    if let Some((_, data)) = specific(layer) {
        text.push_str("Format specific information:\n");
        members(&mut text, &data, 1);
    }
    out.extend_from_slice(text.as_bytes());
    if !release::has(Fact::InfoShowsChildren) {
        return out;
    }
    for child in layer.shown_children() {
        human_child(child, layer.limits, &mut out);
    }
    out
}

/// A file of a layer, below the raw parts of it that the layer stands in.
fn human_child(child: &Child, limits: Option<Limits>, out: &mut Vec<u8>) {
    let (mut path, mut indent) = (format!("/{}", child.role), String::new());
    let disk = disk_size(child.file.allocated);
    for ((name, _), size) in child.parts.iter().zip(child.part_sizes()) {
        let inner = format!("{indent}    ");
        out.extend_from_slice(format!("{indent}Child node '{path}':\n{inner}image: ").as_bytes());
        name.put(out);
        let rest = format!(
            "\n{inner}file format: raw\n{inner}virtual size: {} ({size} bytes)\n{inner}disk size: {disk}\n",
            human_size(size),
        );
        out.extend_from_slice(rest.as_bytes());
        human_limits(limits.map(|limits| limits.part()), &inner, out);
        path.push_str("/file");
        indent = inner;
    }
    out.extend_from_slice(format!("{indent}Child node '{path}':\n{indent}    filename: ").as_bytes());
    child.name.put(out);
    let size = child.file.virtual_size();
    let rest = format!(
        "\n{indent}    protocol type: {}\n{indent}    file length: {} ({size} bytes)\n{indent}    disk size: {disk}\n",
        child.file.protocol,
        human_size(size),
    );
    out.extend_from_slice(rest.as_bytes());
    human_limits(
        limits.map(|limits| child.limits(limits)),
        &format!("{indent}    "),
        out,
    );
}

fn human_limits(limits: Option<Object>, indent: &str, out: &mut Vec<u8>) {
    let Some(limits) = limits else { return };
    let mut text = String::new();
    members(&mut text, &limits, 1);
    out.extend_from_slice(format!("{indent}Block limits:\n").as_bytes());
    for line in text.lines() {
        out.extend_from_slice(format!("{indent}{line}\n").as_bytes());
    }
}

impl Child {
    /// The limits of the file: those of the layer, if it is its main one.
    fn limits(&self, layer: Limits) -> Object {
        if self.role == "file" {
            layer.file()
        } else {
            layer.other_file()
        }
    }

    /// Bytes of the raw parts, the outermost first.
    fn part_sizes(&self) -> Vec<u64> {
        let mut size = self.file.virtual_size();
        let mut sizes: Vec<u64> = self
            .parts
            .iter()
            .rev()
            .map(|(_, window)| {
                if let Some(window) = window {
                    let rest = size.saturating_sub(window.offset).next_multiple_of(512);
                    size = window.length.unwrap_or(rest);
                }
                size
            })
            .collect();
        sizes.reverse();
        sizes
    }
}

pub(super) fn json(layer: &Layer<'_>) -> Json {
    let report = layer.report;
    let snapshots: Vec<Json> = report.snapshots.iter().map(snapshot::object).collect();
    let backing = report.backing.as_ref();
    let mut object = Object::new()
        .with("filename", layer.name)
        .with("format", layer.format());
    object = object
        .with_some("dirty-flag", layer.has_state().then_some(is_shown_dirty(report)))
        .with_some("actual-size", layer.allocated())
        .with("virtual-size", report.virtual_size)
        .with_some("cluster-size", report.cluster_size)
        .with_some("limits", layer.limits())
        .with_some("encrypted", report.encrypted.then_some(true))
        .with_some("compressed", report.compressed.then_some(true))
        .with_some("backing-filename", backing.map(|backing| backing.name.as_bytes()))
        .with_some("full-backing-filename", layer.full_backing.as_ref())
        .with_some(
            "backing-filename-format",
            backing
                .and_then(|backing| backing.format.as_ref())
                .map(|format| format.as_bytes()),
        )
        .with_some(
            "snapshots",
            (!snapshots.is_empty()).then(|| Json::from(snapshots)),
        )
        .with_some(
            "format-specific",
            specific(layer).map(|(name, data)| Object::new().with("type", name).with("data", data)),
        );
    if layer.bare_file && !layer.is_remote() {
        object = object.with("format-specific", plain_file());
    }
    if !release::has(Fact::InfoShowsChildren) {
        return object.into();
    }
    if layer.bare_file {
        return object.with("children", Vec::new()).into();
    }
    let children: Vec<Json> = layer
        .children
        .iter()
        .map(|child| child_object(child, layer.limits))
        .collect();
    object.with("children", children).into()
}

/// Whether the reference tool asks an image for its state: not one of a format that is never written, or has no clusters to tell of.
const fn has_state(format: Format) -> bool {
    !format.is_read_only() && !matches!(format, Format::Parallels)
}

/// The reference tool forgets that a QED image asks for a check before it is asked.
fn is_shown_dirty(report: &Info) -> bool {
    report.dirty && has_state(report.format) && report.format != Format::Qed
}

/// What only a plain file has: nothing.
fn plain_file() -> Object {
    Object::new().with("type", "file").with("data", Object::new())
}

fn child_object(child: &Child, limits: Option<Limits>) -> Json {
    let plain = (!child.file.is_remote()).then(plain_file);
    let info = Object::new()
        .with("filename", &child.name)
        .with("format", child.file.protocol)
        .with_some("dirty-flag", plain.is_some().then_some(false))
        .with_some("actual-size", child.file.allocated)
        .with("virtual-size", child.file.virtual_size())
        .with_some("format-specific", plain)
        .with_some("limits", limits.map(|limits| child.limits(limits)))
        .with("children", Vec::new());
    let mut node = info;
    let named = |name: &[u8], info: Object| Json::from(Object::new().with("name", name).with("info", info));
    for ((name, _), size) in child.parts.iter().zip(child.part_sizes()).rev() {
        node = Object::new()
            .with("filename", name)
            .with("format", "raw")
            .with("dirty-flag", false)
            .with_some("actual-size", child.file.allocated)
            .with("virtual-size", size)
            .with_some("limits", limits.map(|limits| limits.part()))
            .with("children", vec![named(b"file", node)]);
    }
    named(child.role.as_bytes(), node)
}

fn backing(text: &mut String, layer: &Layer<'_>) {
    let Some(backing) = &layer.report.backing else {
        return;
    };
    let name = backing.name.as_bytes();
    let _ = write!(text, "backing file: {}", Escaped(name));
    match &layer.full_backing {
        None => text.push_str(" (cannot determine actual path)"),
        Some(full) if !full.is(name) => {
            let _ = write!(text, " (actual path: {full})");
        }
        Some(_) => {}
    }
    text.push('\n');
    if let Some(format) = &backing.format {
        let _ = writeln!(text, "backing file format: {}", Escaped(format.as_bytes()));
    }
}

/// What only this format has: its name and its members.
fn specific(layer: &Layer<'_>) -> Option<(&'static str, Object)> {
    match layer.report.specific.as_ref()? {
        Specific::Qcow2(info) => Some(("qcow2", qcow2(info))),
        Specific::Vmdk(info) => Some(("vmdk", vmdk(info, layer))),
        Specific::Luks(info) => Some(("luks", luks(Object::new(), info))),
        Specific::Ova(info) => Some(("ova", ova(info))),
    }
}

fn qcow2(info: &Qcow2Info) -> Object {
    let compression = match info.compression {
        Compression::Zlib => "zlib",
        Compression::Zstd => "zstd",
    };
    let encrypt = match info.encryption {
        0 => None,
        1 => Some(Object::new().with("format", "aes")),
        _ => {
            let object = Object::new().with("format", "luks");
            Some(match &info.luks {
                Some(header) => luks(object, header),
                None => object,
            })
        }
    };
    let base = Object::new()
        .with("compat", if info.version < 3 { "0.10" } else { "1.1" })
        .with("refcount-bits", info.refcount_bits)
        .with("compression-type", compression)
        .with_some("encrypt", encrypt);
    if info.version < 3 {
        return base;
    }
    let bitmaps: Vec<Json> = info
        .bitmaps
        .iter()
        .map(|bitmap| {
            let flags = [("in-use", bitmap.in_use), ("auto", bitmap.auto)]
                .into_iter()
                .filter_map(|(name, set)| set.then_some(Json::from(name)))
                .collect::<Vec<_>>();
            Object::new()
                .with("name", bitmap.name.as_bytes())
                .with("granularity", bitmap.granularity)
                .with("flags", flags)
                .into()
        })
        .collect();
    let data_file = info.data_file.as_ref();
    base.with("lazy-refcounts", info.lazy_refcounts)
        .with("corrupt", info.corrupt)
        .with("extended-l2", info.extended_l2)
        .with_some("data-file", data_file.map(|name| name.as_bytes()))
        .with_some("data-file-raw", info.external_data.then_some(info.data_file_raw))
        .with_some("bitmaps", (!bitmaps.is_empty()).then_some(bitmaps))
}

/// Adds what a LUKS header says.
fn luks(object: Object, header: &LuksInfo) -> Object {
    let slots: Vec<Json> = header
        .slots
        .iter()
        .map(|slot| {
            Object::new()
                .with("active", slot.active.is_some())
                .with("key-offset", slot.key_offset)
                .with_some("iters", slot.active.map(|(iterations, _)| iterations))
                .with_some("stripes", slot.active.map(|(_, stripes)| stripes))
                .into()
        })
        .collect();
    let hash = header.iv_generator_hash.as_ref();
    // The reference tool reads no other version.
    let is_first = header.version == 1;
    let detached = release::has(Fact::DetachedLuksHeader).then_some(header.header.is_some());
    object
        .with_some("detached-header", detached)
        .with("cipher-alg", header.cipher.as_bytes())
        .with("cipher-mode", header.cipher_mode.as_bytes())
        .with("ivgen-alg", header.iv_generator.as_bytes())
        .with_some("ivgen-hash-alg", hash.map(|hash| hash.as_bytes()))
        .with("hash-alg", header.hash.as_bytes())
        .with("uuid", header.uuid.as_bytes())
        .with("payload-offset", header.payload_offset)
        .with_some(
            "master-key-iters",
            is_first.then_some(header.master_key_iterations),
        )
        .with_some("slots", is_first.then_some(slots))
        .with_some("version", (!is_first).then_some(header.version))
}

fn ova(info: &OvaInfo) -> Object {
    let disks: Vec<Json> = (1_u32..)
        .zip(&info.disks)
        .map(|(number, disk)| {
            Object::new()
                .with("number", number)
                .with("id", disk.id.as_bytes())
                .with_some("file", disk.file.as_ref().map(|file| file.as_bytes()))
                .with_some("capacity", disk.capacity)
                .into()
        })
        .collect();
    let members: Vec<Json> = info
        .members
        .iter()
        .map(|member| {
            Object::new()
                .with("name", member.name.as_bytes())
                .with("size", member.size)
                .into()
        })
        .collect();
    Object::new()
        .with("descriptor", info.descriptor.as_bytes())
        .with_some("manifest", info.manifest.as_ref().map(|name| name.as_bytes()))
        .with("disk", info.chosen.saturating_add(1))
        .with("disk-format", info.format.name())
        .with("disks", disks)
        .with("members", members)
        .with_some("members-left-out", (info.left_out > 0).then_some(info.left_out))
}

fn vmdk(info: &VmdkInfo, layer: &Layer<'_>) -> Object {
    let extents: Vec<Json> = info
        .extents
        .iter()
        .map(|extent| {
            let own = layer.children.last();
            let own = own.map(|file| file.parts.first().map_or(&file.name, |(name, _)| name));
            let own = own.unwrap_or(layer.name);
            let name = match &extent.name {
                Some(name) => own.beside(name.as_bytes()),
                None => own.clone(),
            };
            Object::new()
                .with("filename", &name)
                .with("format", extent.format.as_bytes())
                .with("virtual-size", extent.virtual_size)
                .with_some("cluster-size", extent.cluster_size)
                .with_some("compressed", extent.compressed.then_some(true))
                .into()
        })
        .collect();
    Object::new()
        .with("create-type", info.create_type.as_bytes())
        .with("cid", info.cid)
        .with("parent-cid", info.parent_cid)
        .with("extents", extents)
}

/// Members of an object or list, one a line, dashes as spaces.
fn members(text: &mut String, object: &Object, depth: usize) {
    for (key, value) in object.in_order() {
        member(text, &key.replace('-', " "), value, depth);
    }
}

fn member(text: &mut String, label: &str, value: &Json, depth: usize) {
    text.extend(std::iter::repeat_n(' ', depth * 4));
    text.push_str(label);
    text.push(':');
    match value {
        Json::Object(object) => {
            text.push('\n');
            members(text, object, depth + 1);
        }
        Json::List(items) => {
            text.push('\n');
            for (index, item) in items.iter().enumerate() {
                member(text, &format!("[{index}]"), item, depth + 1);
            }
        }
        Json::Bool(value) => {
            let _ = writeln!(text, " {value}");
        }
        Json::Number(value) => {
            let _ = writeln!(text, " {value}");
        }
        Json::Text(bytes) => {
            let _ = writeln!(text, " {}", Escaped(bytes));
        }
    }
}

#[cfg(test)]
mod tests;
