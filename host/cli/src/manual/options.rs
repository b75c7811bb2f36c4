//! What `-o` takes, format by format.

use instar_abi::Format;

use super::roff::{Roff, bold, italic};
use crate::create::{self, OptionRow};

/// The options of new images.
pub(super) fn of_new_images(roff: &mut Roff) {
    roff.heading("FORMAT OPTIONS");
    roff.text("These can follow `-o`. Each format also takes the options of the file below it, which are listed last.");
    for format in Format::ALL.into_iter().filter(|format| !format.is_read_only()) {
        roff.subheading(format.name());
        entries(roff, create::own_options(format));
    }
    roff.subheading("The file below");
    entries(roff, create::FILE_OPTIONS);
}

/// The options of images that exist.
pub(super) fn of_existing_images(roff: &mut Roff) {
    roff.heading("FORMAT OPTIONS");
    for format in Format::ALL {
        let rows = create::amend::options(format);
        if !rows.is_empty() {
            roff.subheading(format.name());
            entries(roff, rows);
        }
    }
}

fn entries(roff: &mut Roff, rows: impl IntoIterator<Item = &'static OptionRow>) {
    for row in rows {
        let term = format!("{}={}", bold(row.name), italic(row.kind.name()));
        match row.default {
            Some(default) => roff.entry(&term, &format!("{} (default {default})", row.help.trim_end())),
            None => roff.entry(&term, row.help),
        }
    }
}
