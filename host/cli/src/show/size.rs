//! Sizes for people: three significant digits and a binary unit.

/// Units, each 1024 of the one before.
const UNITS: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// `bytes` as the reference tool shows it: the unit changes at 1000, so that 1023 bytes are `0.999 KiB`.
#[must_use]
pub fn human_size(bytes: u64) -> String {
    let unit = if bytes == 0 { 0 } else { unit(bytes) };
    let scaled = to_float(bytes) / to_float(1_u64 << (unit * 10));
    let name = UNITS
        .get(usize::try_from(unit).unwrap_or(0))
        .copied()
        .unwrap_or_default();
    format!("{} {name}B", three_digits(scaled))
}

/// The largest power of 1024 of which `bytes` is at least 1000/1024.
fn unit(bytes: u64) -> u32 {
    let enlarged = to_float(bytes) / (1000.0 / 1024.0);
    let exponent = (enlarged.to_bits() >> 52).saturating_sub(1023);
    u32::try_from(exponent / 10).unwrap_or(0)
}

/// The nearest double: what C's conversion gives.
#[expect(
    clippy::cast_precision_loss,
    reason = "three digits are shown; the rounding is the one meant"
)]
fn to_float(value: u64) -> f64 {
    value as f64
}

/// C's `%.3g`.
fn three_digits(value: f64) -> String {
    let scientific = format!("{value:.2e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (0..3).contains(&exponent) {
        let decimals = usize::try_from(2 - exponent).unwrap_or(0);
        return trimmed(&format!("{value:.decimals$}")).to_owned();
    }
    if (-4..0).contains(&exponent) {
        let decimals = usize::try_from(2 - exponent).unwrap_or(0);
        return trimmed(&format!("{value:.decimals$}")).to_owned();
    }
    format!("{}e{exponent:+03}", trimmed(mantissa))
}

fn trimmed(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::human_size;

    #[test]
    fn sizes_look_as_the_reference_tool_shows_them() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1, "1 B"),
            (512, "512 B"),
            (999, "999 B"),
            (1000, "0.977 KiB"),
            (1023, "0.999 KiB"),
            (1024, "1 KiB"),
            (1_234_944, "1.18 MiB"),
            (237_568, "232 KiB"),
            (721_408, "704 KiB"),
            (1_023_897, "1e+03 KiB"),
            (1_024_000, "0.977 MiB"),
            (1 << 30, "1 GiB"),
            (1_073_995_776, "1 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(human_size(bytes), shown, "{bytes}");
        }
    }
}
