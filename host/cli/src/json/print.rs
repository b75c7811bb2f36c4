//! The two shapes in which JSON is printed.

use std::fmt::Write;

use super::{Json, text};

/// Indented by four spaces, one member a line, without a newline at the end.
#[must_use]
pub fn pretty(value: &Json) -> String {
    let mut out = String::new();
    write(&mut out, value, Some(0));
    out
}

/// On one line, a space after each `:` and `,`.
#[must_use]
pub fn one_line(value: &Json) -> String {
    let mut out = String::new();
    write(&mut out, value, None);
    out
}

fn write(out: &mut String, value: &Json, depth: Option<usize>) {
    let inner = depth.map(|depth| depth + 1);
    match value {
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Number(value) => {
            let _ = write!(out, "{value}");
        }
        Json::Text(bytes) => text::quote(out, bytes),
        Json::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(out, index == 0, inner);
                write(out, item, inner);
            }
            close(out, ']', depth);
        }
        Json::Object(object) => {
            out.push('{');
            for (index, (key, value)) in object.in_order().into_iter().enumerate() {
                separate(out, index == 0, inner);
                text::quote(out, key.as_bytes());
                out.push_str(": ");
                write(out, value, inner);
            }
            close(out, '}', depth);
        }
    }
}

fn separate(out: &mut String, first: bool, depth: Option<usize>) {
    match depth {
        Some(depth) => {
            out.push_str(if first { "" } else { "," });
            line(out, depth);
        }
        None => out.push_str(if first { "" } else { ", " }),
    }
}

fn close(out: &mut String, bracket: char, depth: Option<usize>) {
    if let Some(depth) = depth {
        line(out, depth);
    }
    out.push(bracket);
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str("    ");
    }
}
