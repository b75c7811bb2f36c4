//! Numbers and words, good and bad.

use instar_tests::Dice;

/// A number as users and scripts write them: valid, odd, or none at all.
pub(crate) fn number(dice: &mut Dice, largest: u64) -> String {
    match dice.below(24) {
        0..=12 => (dice.below(largest.max(1) + 1)).to_string(),
        13..=15 => dice.scaled(41).to_string(),
        16 => format!("{}k", dice.below(2048)),
        17 => format!(
            "{}{}",
            dice.below(4),
            dice.of(&["M", "m", "K", "b", "B", "G", "T", "P", "E"])
        ),
        18 => format!(
            "{}.{}{}",
            dice.below(4),
            dice.below(100),
            dice.of(&["", "k", "M", "b"])
        ),
        19 => format!("0x{:x}", dice.scaled(21)),
        20 => format!("0{}", dice.scaled(13)),
        21 => format!("+{}", dice.scaled(13)),
        _ => dice.of(ODD).to_owned(),
    }
}

/// Numbers that are hardly any.
const ODD: &[&str] = &[
    "",
    "-1",
    "- 1",
    " 1",
    "1 ",
    "0",
    "00",
    "-0",
    "x",
    "1x",
    "1kk",
    "1KiB",
    "1e3",
    "1e",
    "1.",
    ".5k",
    ".5",
    "0.5k",
    "1.5",
    "1,5",
    "0x",
    "0x10k",
    "0x1p3",
    "1_000",
    "inf",
    "nan",
    "NaN",
    "infinity",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854774784",
    "9223372036854775295",
    "9223372036854775296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999",
    "8E",
    "7E",
    "7.99E",
    "16E",
    "0.0000000001k",
    "1e-1k",
    "1k512",
    "٣",
    "１",
    "1\t",
];

/// Formats by name, among them some that are none.
pub(crate) fn format(dice: &mut Dice) -> &'static str {
    dice.of(&[
        "raw",
        "raw",
        "qcow2",
        "qcow2",
        "vmdk",
        "vdi",
        "vpc",
        "vhdx",
        "qed",
        "qcow",
        "parallels",
        "luks",
        "bochs",
        "cloop",
        "dmg",
        "vhd",
        "QCOW2",
        "",
        "file",
        "nbd",
        "nonsense",
        "null-co",
    ])
}
