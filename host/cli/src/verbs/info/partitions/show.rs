//! A partition table, for people and for programs.

use std::fmt::Write;

use instar_abi::partitions::{Label, Partition, PartitionKind, PartitionTable};

use super::kinds;
use crate::json::{Json, Object};
use crate::show::{Escaped, human_size};
use crate::words;

/// The attribute of a GPT partition that old firmware starts the machine from.
const LEGACY_BOOT: u64 = 1 << 2;

/// What was found of one image.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    /// Its name, as the user wrote it.
    pub(super) name: &'a [u8],
    /// What the guest found.
    pub(super) table: &'a PartitionTable,
}

impl Shown<'_> {
    pub(super) fn human(&self) -> Vec<u8> {
        let table = self.table;
        let mut out = [b"image: ", self.name, b"\n"].concat();
        let mut text = String::new();
        let size = table.disk_size;
        let _ = writeln!(text, "virtual size: {} ({size} bytes)", human_size(size));
        match table.label {
            None => text.push_str("partition table: none\n"),
            Some(label) => {
                let copy = if is_backup(label) { " (backup)" } else { "" };
                let _ = writeln!(text, "partition table: {}{copy}", name_of(label));
                let _ = writeln!(text, "disk identifier: {}", identifier(label));
                let _ = writeln!(text, "sector size: {}", sector_size(label));
            }
        }
        let warnings = table.findings.iter().chain(&table.disputed);
        for fault in warnings {
            let _ = writeln!(text, "warning: {}", words::fault(fault));
        }
        if !table.partitions.is_empty() {
            text.push_str(
                "Partitions:\nNUMBER            START             SIZE  BOOT  TYPE                  NAME\n",
            );
        }
        for partition in &table.partitions {
            let (type_id, common) = kind(partition);
            let boot = if is_bootable(partition) { "yes" } else { "no" };
            let line = format!(
                "{:<6} {:>16} {:>16}  {boot:<4}  {:<20}  {}",
                partition.number,
                partition.start,
                partition.size,
                common.map_or(type_id, str::to_owned),
                Escaped(name(partition).unwrap_or_default()),
            );
            let _ = writeln!(text, "{}", line.trim_end());
            if let Some(fault) = &partition.fault {
                let _ = writeln!(text, "warning: {}", words::fault(fault));
            }
        }
        out.extend_from_slice(text.as_bytes());
        out
    }

    pub(super) fn json(&self) -> Json {
        let table = self.table;
        let partitions: Vec<Json> = table.partitions.iter().map(object).collect();
        let warnings: Vec<Json> = table
            .findings
            .iter()
            .map(|fault| Json::from(words::fault(fault).as_str()))
            .collect();
        Object::new()
            .with("filename", self.name)
            .with("virtual-size", table.disk_size)
            .with_some("label", table.label.map(name_of))
            .with_some("identifier", table.label.map(identifier).as_deref())
            .with_some("sector-size", table.label.map(sector_size))
            .with_some("backup", table.label.map(is_backup))
            .with_some("disputed", table.disputed.as_ref().map(words::fault).as_deref())
            .with("warnings", warnings)
            .with("partitions", partitions)
            .into()
    }
}

fn object(partition: &Partition) -> Json {
    let (type_id, common) = kind(partition);
    let (id, attributes) = match &partition.kind {
        PartitionKind::Gpt { id, attributes, .. } => {
            (Some(kinds::guid(id)), Some(format!("{attributes:#018x}")))
        }
        PartitionKind::Mbr { .. } => (None, None),
    };
    Object::new()
        .with("number", partition.number)
        .with("start", partition.start)
        .with("size", partition.size)
        .with("type", type_id.as_str())
        .with_some("type-name", common)
        .with_some("name", name(partition))
        .with_some("identifier", id.as_deref())
        .with_some("attributes", attributes.as_deref())
        .with("bootable", is_bootable(partition))
        .with_some("problem", partition.fault.as_ref().map(words::fault).as_deref())
        .into()
}

const fn name_of(label: Label) -> &'static str {
    match label {
        Label::Gpt { .. } => "gpt",
        Label::Mbr { .. } => "mbr",
    }
}

fn identifier(label: Label) -> String {
    match label {
        Label::Gpt { disk, .. } => kinds::guid(&disk),
        Label::Mbr { disk, .. } => format!("{disk:#010x}"),
    }
}

const fn sector_size(label: Label) -> u32 {
    match label {
        Label::Gpt { sector_size, .. } | Label::Mbr { sector_size, .. } => sector_size,
    }
}

const fn is_backup(label: Label) -> bool {
    matches!(label, Label::Gpt { is_backup: true, .. })
}

/// What it is for, as its table says it, and the common name of that.
fn kind(partition: &Partition) -> (String, Option<&'static str>) {
    match &partition.kind {
        PartitionKind::Gpt { type_id, .. } => {
            let text = kinds::guid(type_id);
            let common = kinds::of_gpt(&text);
            (text, common)
        }
        PartitionKind::Mbr { type_id, .. } => (format!("{type_id:#04x}"), kinds::of_mbr(*type_id)),
    }
}

fn name(partition: &Partition) -> Option<&[u8]> {
    match &partition.kind {
        PartitionKind::Gpt { name, .. } => Some(name.as_bytes()),
        PartitionKind::Mbr { .. } => None,
    }
}

const fn is_bootable(partition: &Partition) -> bool {
    match &partition.kind {
        PartitionKind::Gpt { attributes, .. } => *attributes & LEGACY_BOOT != 0,
        PartitionKind::Mbr { is_active, .. } => *is_active,
    }
}
