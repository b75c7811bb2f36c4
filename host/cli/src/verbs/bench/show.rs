//! The words of `bench`.

use std::time::Duration;

use super::args::Args;

/// Before the first request.
pub(super) fn beginning(args: &Args) -> String {
    let Args {
        count,
        depth,
        size,
        offset,
        flush_interval,
        ..
    } = args;
    let what = if args.write { "write" } else { "read" };
    let step = args.step();
    let mut text = format!(
        "Sending {count} {what} requests, {size} bytes each, {depth} in parallel (starting at offset {offset}, step size {step})\n"
    );
    if *flush_interval > 0 {
        text.push_str(&format!("Sending flush every {flush_interval} requests\n"));
    }
    text
}

/// After the last one.
pub(super) fn end(took: Duration) -> String {
    format!("Run completed in {:.3} seconds.\n", took.as_secs_f64())
}
