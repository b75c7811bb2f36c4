//! Text for the macros of man(7).

use super::Edition;

/// A page that is being written.
#[derive(Debug)]
pub(super) struct Roff(String);

impl Roff {
    /// Begins the page `name` of section 1.
    pub(super) fn new(name: &str, edition: Edition<'_>) -> Self {
        let Edition { version, date } = edition;
        let name = name.to_uppercase();
        Self(format!(
            ".\\\" Written from the tables of options; changes belong there.\n.nr HY 0\n.TH {} 1 {} {} {}\n.ad l\n",
            argument(&name),
            argument(date),
            argument(&format!("instar {version}")),
            argument("User Commands"),
        ))
    }

    pub(super) fn heading(&mut self, title: &str) {
        self.line(&format!(".SH {}", argument(title)));
    }

    pub(super) fn subheading(&mut self, title: &str) {
        self.line(&format!(".SS {}", argument(title)));
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        self.line(".PP");
        self.text(text);
    }

    /// A term, which is set already, and what it means.
    pub(super) fn entry(&mut self, term: &str, meaning: &str) {
        self.line(".TP");
        self.line(term);
        self.text(meaning);
    }

    /// Words, filled into lines. What stands between backquotes is to be typed.
    pub(super) fn text(&mut self, text: &str) {
        let mut set = String::new();
        for (number, part) in text.split('`').enumerate() {
            if number % 2 == 1 {
                set.push_str(&bold(part));
                continue;
            }
            let words = part.split_inclusive(char::is_whitespace);
            set.extend(words.map(word));
        }
        let words: Vec<&str> = set.split_whitespace().collect();
        self.line(&guarded(&words.join(" ")));
    }

    /// Words that are set already.
    pub(super) fn raw(&mut self, set: &str) {
        self.line(&guarded(set));
    }

    /// Lines to be typed, as they stand.
    pub(super) fn typed(&mut self, comment: &str, command: &str) {
        self.line(".PP");
        self.text(comment);
        self.line(".PP\n.RS 4\n.EX");
        self.raw(&escaped(command));
        self.line(".EE\n.RE");
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }
}

/// Text to be typed.
pub(super) fn bold(text: &str) -> String {
    format!("\\fB{}\\fP", escaped(text))
}

/// Text in whose place something else is typed.
pub(super) fn italic(text: &str) -> String {
    format!("\\fI{}\\fP", escaped(text))
}

/// Text whose hyphens are those of options.
pub(super) fn escaped(text: &str) -> String {
    plain(text).replace('-', "\\-")
}

/// A word of prose: hyphens join words, unless it is an option, a number or a name in a file system.
fn word(word: &str) -> String {
    let inner = word.trim_start_matches(['(', '"', '\'', '[']);
    let is_code = inner.starts_with('-') || inner.contains("--") || inner.contains(['/', '=', '_']);
    if is_code { escaped(word) } else { plain(word) }
}

/// Characters that mean something else to troff, or look otherwise when it has set them.
fn plain(text: &str) -> String {
    let mut set = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => set.push_str("\\e"),
            '\'' => set.push_str("\\(aq"),
            '`' => set.push_str("\\(ga"),
            '^' => set.push_str("\\(ha"),
            '~' => set.push_str("\\(ti"),
            other => set.push(other),
        }
    }
    set
}

/// A line that begins like a request is text all the same.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) {
        format!("\\&{line}")
    } else {
        line.to_owned()
    }
}

/// One argument of a macro.
fn argument(text: &str) -> String {
    format!("\"{}\"", escaped(text).replace('"', "\\(dq"))
}
