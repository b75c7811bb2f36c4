//! Sizes and numbers, with the reference tool's grammar and messages.

use crate::release::{self, Fact};
use crate::stop::{Step, Stop};

/// Why a word is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// It does not have the form.
    Form,
    /// It does not fit.
    Range,
}

/// A size: decimal, or a decimal fraction if a suffix larger than `b` follows, or hexadecimal without suffix.
///
/// Suffixes are powers of 1024. Fractions of a byte round half up.
///
/// # Errors
/// [`Bad`].
pub fn size(word: &[u8]) -> Result<u64, Bad> {
    let text = skip_blanks(word);
    let (negative, text) = sign(text);
    let digits = leading(text, u8::is_ascii_digit);
    let (whole, rest) = text.split_at(digits);
    if negative {
        // The reference tool reads the number first, so that `-1` is out of range and `-1k` has the wrong form.
        let out_of_range = release::has(Fact::NegativeSizesAreOutOfRange);
        return Err(if digits > 0 && rest.is_empty() && out_of_range {
            Bad::Range
        } else {
            Bad::Form
        });
    }
    if whole == b"0" && matches!(rest.first(), Some(b'x' | b'X')) {
        return hexadecimal(rest.get(1..).unwrap_or_default());
    }
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(after) => after.split_at(leading(after, u8::is_ascii_digit)),
        None => (&b""[..], rest),
    };
    if digits + fraction.len() == 0 {
        return Err(Bad::Form);
    }
    let scale = match rest {
        [] => 0,
        [suffix] => shift(*suffix).ok_or(Bad::Form)?,
        _ => return Err(Bad::Form),
    };
    let whole = decimal(whole)?;
    if scale == 0 && fraction.iter().any(|digit| *digit != b'0') {
        return Err(Bad::Form);
    }
    let part = scaled_fraction(fraction, scale);
    u64::try_from((u128::from(whole) << scale) + u128::from(part)).map_err(|_| Bad::Range)
}

/// A signed integer in C bases: decimal, `0x` hexadecimal, `0` octal.
///
/// # Errors
/// [`Bad`].
pub fn integer(word: &[u8]) -> Result<i64, Bad> {
    let (negative, text) = sign(skip_blanks(word));
    let (radix, digits) = match text {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest),
        _ => (10, text),
    };
    let magnitude = in_radix(digits, radix)?;
    let value = if negative {
        -i128::from(magnitude)
    } else {
        i128::from(magnitude)
    };
    i64::try_from(value).map_err(|_| Bad::Range)
}

/// An unsigned integer in C bases, as options of a format take it.
///
/// # Errors
/// [`Bad`].
pub fn unsigned(word: &[u8]) -> Result<u64, Bad> {
    let (negative, text) = sign(skip_blanks(word));
    let (radix, digits) = match text {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest),
        _ => (10, text),
    };
    let magnitude = in_radix(digits, radix)?;
    // strtoull negates modulo 2^64; so does the reference tool.
    Ok(if negative {
        magnitude.wrapping_neg()
    } else {
        magnitude
    })
}

/// A size within bounds, for an option called `what`; else the reference tool's message.
///
/// # Errors
/// The message.
pub fn size_within(what: &str, word: &[u8], low: u64, high: u64) -> Step<u64> {
    match size(word) {
        Ok(value) if (low..=high).contains(&value) => Ok(value),
        Err(Bad::Form) => Err(no_form(what, word)),
        Ok(_) | Err(Bad::Range) => Err(out_of_range(what, low, high)),
    }
}

/// An integer within bounds, for an option called `what`; else the reference tool's message.
///
/// # Errors
/// The message.
pub fn integer_within(what: &str, word: &[u8], low: u64, high: u64) -> Step<u64> {
    match integer(word) {
        Ok(value) => match u64::try_from(value) {
            Ok(value) if (low..=high).contains(&value) => Ok(value),
            _ => Err(out_of_range(what, low, high)),
        },
        Err(Bad::Form) => Err(no_form(what, word)),
        Err(Bad::Range) => Err(out_of_range(what, low, high)),
    }
}

/// Why a parameter called `name` takes no such size, in the reference tool's words.
#[must_use]
pub fn bad_parameter(name: &str, word: &[u8], bad: Bad) -> Vec<u8> {
    match bad {
        Bad::Range => [b"Value '", word, b"' is out of range for parameter '", name.as_bytes(), b"'"].concat(),
        Bad::Form => format!(
            "Parameter '{name}' expects a non-negative number below 2^64\nOptional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively."
        )
        .into_bytes(),
    }
}

fn no_form(what: &str, word: &[u8]) -> Stop {
    if !release::has(Fact::BadNumbersAreQuoted) {
        let first = format!("Invalid {what} specified. You may use k, M, G, T, P or E suffixes for");
        let second = "kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.";
        return Stop::Messages(vec![first.into_bytes(), second.into()]);
    }
    let end: &[u8] = if release::has(Fact::BadNumbersEndInAFullStop) {
        b"'."
    } else {
        b"'"
    };
    Stop::Message([b"Invalid ", what.as_bytes(), b" specified: '", word, end].concat())
}

fn out_of_range(what: &str, low: u64, high: u64) -> Stop {
    Stop::say(format!(
        "Invalid {what} specified. Must be between {low} and {high}."
    ))
}

fn skip_blanks(word: &[u8]) -> &[u8] {
    let blanks = leading(word, |byte| matches!(byte, b' ' | b'\t'..=b'\r'));
    word.get(blanks..).unwrap_or_default()
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

fn leading(text: &[u8], is: impl Fn(&u8) -> bool) -> usize {
    text.iter().take_while(|byte| is(byte)).count()
}

fn hexadecimal(digits: &[u8]) -> Result<u64, Bad> {
    in_radix(digits, 16)
}

fn decimal(digits: &[u8]) -> Result<u64, Bad> {
    if digits.is_empty() {
        return Ok(0);
    }
    in_radix(digits, 10)
}

/// All of `digits`, at least one; a wrong digit counts before a number that is too large.
fn in_radix(digits: &[u8], radix: u32) -> Result<u64, Bad> {
    if digits.is_empty() || !digits.iter().all(|digit| char::from(*digit).is_digit(radix)) {
        return Err(Bad::Form);
    }
    let text = str::from_utf8(digits).map_err(|_| Bad::Form)?;
    u64::from_str_radix(text, radix).map_err(|_| Bad::Range)
}

fn shift(suffix: u8) -> Option<u32> {
    let power = b"bkmgtpe"
        .iter()
        .position(|letter| *letter == suffix.to_ascii_lowercase())?;
    u32::try_from(power).ok().map(|power| power * 10)
}

/// `0.digits` × 2^`scale`, rounded half up, in the reference tool's arithmetic: a double, so that of the largest suffixes the last
/// bits are gone.
fn scaled_fraction(digits: &[u8], scale: u32) -> u64 {
    let text = [b"0.", digits, b"0"].concat();
    let fraction = str::from_utf8(&text)
        .ok()
        .and_then(|text| text.parse::<f64>().ok());
    let unit = f64::from_bits((u64::from(scale) + EXPONENT_BIAS) << MANTISSA_BITS);
    floor(fraction.unwrap_or(0.0) * unit + 0.5)
}

/// Bits of a double that follow its exponent, and what is added to that.
const MANTISSA_BITS: u32 = 52;
const EXPONENT_BIAS: u64 = 1023;

/// The whole part of a number below 2^63 that is not negative.
fn floor(number: f64) -> u64 {
    let bits = number.to_bits();
    let mantissa = (bits & ((1 << MANTISSA_BITS) - 1)) | 1 << MANTISSA_BITS;
    let Some(exponent) = (bits >> MANTISSA_BITS).checked_sub(EXPONENT_BIAS) else {
        return 0;
    };
    match exponent.checked_sub(u64::from(MANTISSA_BITS)) {
        Some(up) => mantissa << up.min(10),
        None => mantissa >> (u64::from(MANTISSA_BITS) - exponent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_reference_grammar() {
        let good: &[(&str, u64)] = &[
            ("1", 1),
            ("1k", 1024),
            ("1K", 1024),
            ("1.5k", 1536),
            ("1e", 1 << 60),
            ("0x10", 16),
            (" 1", 1),
            ("+1", 1),
            ("1b", 1),
            ("1.k", 1024),
            (".5M", 524_288),
            ("1.0", 1),
            ("08", 8),
            ("0.0001k", 0),
            ("0.00048828125k", 1),
            ("0.00146484375k", 2),
            ("1.0000001k", 1024),
            // Measured: doubles do not hold all 60 bits.
            ("7.9E", 9_108_079_886_394_091_136),
            ("0.1E", 115_292_150_460_684_704),
            ("1.999999999999999999999k", 2048),
            ("18446744073709551615", u64::MAX),
            ("0xffffffffffffffff", u64::MAX),
        ];
        for (word, value) in good {
            assert_eq!(size(word.as_bytes()), Ok(*value), "{word}");
        }
        for word in [
            "", ".", "x", "1.5", "1.5b", "1e3", "1Z", "1EB", "0x1k", "0x", "0b10", "inf", "nan", "1 ", "--1",
            "-1k", "-x", "1-1", "+-1", "-",
        ] {
            assert_eq!(size(word.as_bytes()), Err(Bad::Form), "{word}");
        }
        for word in ["-1", "-0", "18446744073709551616", "16E", "99999999999999999999"] {
            assert_eq!(size(word.as_bytes()), Err(Bad::Range), "{word}");
        }
    }

    #[test]
    fn integers_have_c_bases() {
        for (word, value) in [
            ("0", 0),
            ("010", 8),
            ("0x1F", 31),
            ("-1", -1),
            ("-0", 0),
            (" +7", 7),
        ] {
            assert_eq!(integer(word.as_bytes()), Ok(value), "{word}");
        }
        for word in ["", "1k", "08", "0x", "1 ", "x", "1.0"] {
            assert_eq!(integer(word.as_bytes()), Err(Bad::Form), "{word}");
        }
        assert_eq!(integer(b"9223372036854775808"), Err(Bad::Range));
    }

    #[test]
    fn messages_are_the_reference_tools() {
        assert_eq!(
            size_within("bs", b"0", 1, 2_147_483_647),
            Err(Stop::say(
                "Invalid bs specified. Must be between 1 and 2147483647."
            ))
        );
        assert_eq!(
            integer_within("count", b"08", 0, 9),
            Err(Stop::say("Invalid count specified: '08'."))
        );
    }
}
