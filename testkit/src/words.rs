//! The messages that the host would print.

use instar_disk::Fault;

/// The words for `fault`, with its numbers and its text.
///
/// # Panics
/// If its code has no words, or they want a text that it does not carry.
#[must_use]
pub fn words(fault: &Fault) -> String {
    let template = fault.code.template().unwrap();
    let errno = i32::try_from(fault.numbers[0]).unwrap_or(0);
    let mut said = template.replace("{errno}", &std::io::Error::from_raw_os_error(errno).to_string());
    for (index, number) in fault.numbers.iter().enumerate() {
        said = said.replace(&format!("{{{index}}}"), &number.to_string());
    }
    if template.contains("{text}") {
        let text = fault.text.as_ref().unwrap().as_bytes();
        said = said.replace("{text}", &String::from_utf8_lossy(text));
    }
    said
}
