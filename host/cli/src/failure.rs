//! `--failure`: why a command failed, in a line for programs. The words for people are on standard error, and are no one's to take apart.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use crate::console::descriptor;
use crate::flags::Id;
use crate::stop::{Step, Stop};

/// Where the line goes, if one is asked for.
#[derive(Debug, Default)]
pub(crate) struct Teller(Option<File>);

impl Teller {
    /// As the last such option asks.
    ///
    /// # Errors
    /// What is wrong with it, or that nothing can be written there.
    pub(crate) fn asked_for(options: &[(Id, OsString)]) -> Step<Self> {
        let Some((_, value)) = options.iter().rev().find(|(id, _)| *id == Id::Failure) else {
            return Ok(Self::default());
        };
        let number = value
            .as_bytes()
            .strip_prefix(b"json:")
            .and_then(|digits| str::from_utf8(digits).ok()?.parse().ok())
            .ok_or_else(|| Stop::say("--failure expects json:N, where N is an open descriptor"))?;
        let words = |error| format!("--failure=json: cannot write to descriptor {number}: {error}");
        let opened = descriptor(number).map_err(|error| Stop::say(words(error)))?;
        Ok(Self(Some(opened)))
    }

    /// Says why the command ends, if it fails. A reader that has gone away misses it.
    pub(crate) fn tell(&mut self, stop: &Stop) {
        if let (Some(to), Some(line)) = (&mut self.0, line(stop)) {
            let _ = to.write_all(line.as_bytes());
        }
    }
}

/// `{"cause": "system", "errno": 2}`
fn line(stop: &Stop) -> Option<String> {
    let cause = stop.cause()?;
    let errno = cause
        .errno()
        .map_or_else(|| "null".to_owned(), |number| number.to_string());
    Some(format!(
        "{{\"cause\": \"{}\", \"errno\": {errno}}}\n",
        cause.word()
    ))
}

#[cfg(test)]
mod tests {
    use instar_run::Cause;

    use super::line;
    use crate::stop::Stop;

    #[test]
    fn a_line_says_what_is_known_first() {
        let said = |stop: Stop| line(&stop);
        assert_eq!(said(Stop::Done), None);
        assert_eq!(said(Stop::Print(Vec::new())), None);
        assert_eq!(
            said(Stop::say("no such option")).as_deref(),
            Some("{\"cause\": \"arguments\", \"errno\": null}\n")
        );
        let missing = Stop::say("missing").because(Cause::System(Some(2)));
        assert_eq!(
            said(missing.because(Cause::Image).with_code(4)).as_deref(),
            Some("{\"cause\": \"system\", \"errno\": 2}\n")
        );
        assert_eq!(
            said(Stop::Signal(15)).as_deref(),
            Some("{\"cause\": \"interrupted\", \"errno\": null}\n")
        );
    }

    #[test]
    fn a_cause_changes_neither_the_words_nor_the_exit_code() {
        let stop = Stop::say("why")
            .because(Cause::Refused)
            .after(b"disk: ")
            .with_code(2);
        let coded = Stop::Coded(2, b"disk: why".to_vec());
        assert_eq!(stop, Stop::Caused(Cause::Refused, Box::new(coded)));
    }
}
