//! Which partition of a disk, as `--partition` says it: a number, perhaps behind the name of a table.

use instar_abi::partitions::{PartitionChoice, TableChoice};

use super::number;
use crate::show::Escaped;
use crate::stop::{Step, Stop};

/// Reads `[gpt:|backup:|mbr:]N`.
///
/// # Errors
/// The message.
pub fn choice(word: &[u8]) -> Step<PartitionChoice> {
    let cut = word.iter().position(|byte| *byte == b':');
    let (table, number) = match cut {
        None => (Some(TableChoice::Agreed), word),
        Some(at) => (
            named(word.get(..at).unwrap_or_default()),
            word.get(at.saturating_add(1)..).unwrap_or_default(),
        ),
    };
    let number = number::unsigned(number)
        .ok()
        .and_then(|number| u32::try_from(number).ok());
    match (table, number) {
        (Some(table), Some(number)) if number > 0 => Ok(PartitionChoice { table, number }),
        _ => Err(Stop::say(format!(
            "--partition expects a number from 1 on, perhaps behind gpt:, backup: or mbr:, such as 2 or gpt:2, not '{}'",
            Escaped(word)
        ))),
    }
}

/// Reads the name of a table, for `info --partitions`.
///
/// # Errors
/// The message.
pub fn table(word: &[u8]) -> Step<TableChoice> {
    if word.is_empty() {
        return Ok(TableChoice::Agreed);
    }
    named(word).ok_or_else(|| {
        Stop::say(format!(
            "--partitions expects gpt, backup or mbr, not '{}'",
            Escaped(word)
        ))
    })
}

/// The choice as a word that [`choice`] reads.
#[must_use]
pub fn word(choice: PartitionChoice) -> String {
    let named = TableChoice::NAMED
        .iter()
        .find(|(_, table)| *table == choice.table);
    match named {
        Some((name, _)) => format!("{name}:{}", choice.number),
        None => choice.number.to_string(),
    }
}

fn named(word: &[u8]) -> Option<TableChoice> {
    let mut tables = TableChoice::NAMED.into_iter();
    tables
        .find(|(name, _)| name.as_bytes() == word)
        .map(|(_, table)| table)
}

#[cfg(test)]
mod tests {
    use super::{choice, table, word};

    #[test]
    fn a_partition_is_a_number_perhaps_behind_a_table() {
        for text in ["1", "128", "gpt:3", "backup:4294967295", "mbr:5"] {
            assert_eq!(word(choice(text.as_bytes()).unwrap()), text);
        }
        for bad in [
            "",
            "0",
            "-1",
            "x",
            "gpt",
            "gpt:",
            "gpt:0",
            ":1",
            "GPT:1",
            "dos:1",
            "mbr:1:2",
            "4294967296",
            "1.5",
        ] {
            assert!(choice(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(table(b"").is_ok() && table(b"backup").is_ok());
        assert!(table(b"sun").is_err());
    }
}
