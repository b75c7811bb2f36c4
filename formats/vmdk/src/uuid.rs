//! Identifiers as VirtualBox writes them into descriptors.

/// The bytes of `"01234567-89ab-cdef-0123-456789abcdef"`, with or without quotes and braces.
pub(crate) fn parse(text: &[u8]) -> Option<[u8; 16]> {
    let digits = text
        .iter()
        .filter(|byte| !matches!(byte, b'-' | b'"' | b'{' | b'}'))
        .map(|byte| char::from(*byte).to_digit(16));
    let mut uuid = [0_u8; 16];
    let mut count = 0_usize;
    for digit in digits {
        let digit = u8::try_from(digit?).ok()?;
        let byte = uuid.get_mut(count / 2)?;
        *byte = (*byte << 4) | digit;
        count = count.checked_add(1)?;
    }
    (count == 32).then_some(uuid)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_whole_identifiers_are_read() {
        let wanted = Some([
            0x3a, 0xae, 0xbc, 0x45, 0x36, 0xb0, 0x4a, 0x5e, 0x9c, 0x1d, 0xc3, 0x06, 0xd6, 0x62, 0x5d, 0x78,
        ]);
        assert_eq!(parse(b"\"3aaebc45-36b0-4a5e-9c1d-c306d6625d78\""), wanted);
        assert_eq!(parse(b"{3AAEBC45-36B0-4A5E-9C1D-C306D6625D78}"), wanted);
        for text in [
            &b""[..],
            b"\"\"",
            b"3aaebc45-36b0-4a5e-9c1d-c306d6625d7",
            b"3aaebc45-36b0-4a5e-9c1d-c306d6625d780",
            b"3aaebc45-36b0-4a5e-9c1d-c306d6625d7x",
        ] {
            assert_eq!(parse(text), None);
        }
    }
}
