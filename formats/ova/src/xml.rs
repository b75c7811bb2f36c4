//! As much of XML as descriptors have: elements and attributes, one after the other.
//!
//! There are no entities but the five that XML itself has, and numbers of characters. A DOCTYPE, which could declare others, is refused.

use alloc::vec::Vec;

use instar_disk::fault::ova as faults;
use instar_disk::{Fault, Result, from_usize};

/// Elements within elements. Ours: descriptors have six or seven.
const DEPTH_MAX: usize = 64;
/// Attributes of an element. Ours.
const ATTRIBUTES_MAX: usize = 64;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'x> {
    /// An element begins.
    Open(Element<'x>),
    /// The element that began last ends.
    Close,
}

/// The beginning of an element.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Element<'x> {
    /// With its prefix.
    pub(crate) name: &'x [u8],
    /// Names with their prefixes, and values.
    pub(crate) attributes: Vec<(&'x [u8], Vec<u8>)>,
}

/// A document, as far as it has been read.
#[derive(Debug)]
pub(crate) struct Reader<'x> {
    whole: usize,
    rest: &'x [u8],
    open: Vec<&'x [u8]>,
    /// The last element had no content.
    is_empty: bool,
    /// The root has ended.
    is_over: bool,
}

impl<'x> Reader<'x> {
    /// A document in UTF-8.
    pub(crate) fn new(document: &'x [u8]) -> Self {
        Self {
            whole: document.len(),
            rest: document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document),
            open: Vec::new(),
            is_empty: false,
            is_over: false,
        }
    }

    /// Elements that are open.
    pub(crate) fn depth(&self) -> usize {
        self.open.len()
    }

    /// What comes next; none behind the root.
    ///
    /// # Errors
    /// `XML`, `XML_DOCTYPE`, `XML_ENTITY`, `XML_DEPTH`.
    pub(crate) fn next(&mut self) -> Result<Option<Event<'x>>> {
        if self.is_empty {
            self.is_empty = false;
            return Ok(Some(self.close()));
        }
        while let Some(start) = self.rest.iter().position(|byte| *byte == b'<') {
            let (text, rest) = self.rest.split_at_checked(start).unwrap_or_default();
            if self.open.is_empty() && !text.trim_ascii().is_empty() {
                return Err(self.wrong());
            }
            self.rest = rest;
            if rest.starts_with(b"<?") {
                self.skip(b"?>")?;
            } else if rest.starts_with(b"<!--") {
                self.skip(b"-->")?;
            } else if rest.starts_with(b"<![CDATA[") && !self.open.is_empty() {
                self.skip(b"]]>")?;
            } else if rest.starts_with(b"<!") {
                return Err(Fault::new(faults::XML_DOCTYPE).with([self.at()]));
            } else if rest.starts_with(b"</") {
                return self.end().map(Some);
            } else {
                return self.begin().map(Some);
            }
        }
        if !self.is_over || !self.rest.trim_ascii().is_empty() {
            return Err(self.wrong());
        }
        Ok(None)
    }

    fn close(&mut self) -> Event<'x> {
        self.open.pop();
        self.is_over = self.open.is_empty();
        Event::Close
    }

    /// Goes on behind `mark`.
    fn skip(&mut self, mark: &[u8]) -> Result<()> {
        // Not one that the beginning is a part of: `<!-->` is no comment.
        let body = self
            .rest
            .get(mark.len().saturating_add(1).min(4)..)
            .unwrap_or_default();
        let found = body.windows(mark.len()).position(|bytes| bytes == mark);
        let rest = found.and_then(|at| body.get(at.checked_add(mark.len())?..));
        self.rest = rest.ok_or_else(|| self.wrong())?;
        Ok(())
    }

    fn end(&mut self) -> Result<Event<'x>> {
        self.rest = self.rest.get(2..).unwrap_or_default();
        let name = self.name();
        if self.open.last() != Some(&name) {
            return Err(self.wrong());
        }
        self.space();
        self.expect(b">")?;
        Ok(self.close())
    }

    fn begin(&mut self) -> Result<Event<'x>> {
        if self.is_over {
            return Err(self.wrong());
        }
        if self.open.len() >= DEPTH_MAX {
            let numbers = [self.at(), from_usize(DEPTH_MAX)];
            return Err(Fault::new(faults::XML_DEPTH).with(numbers));
        }
        self.expect(b"<")?;
        let name = self.name();
        if name.is_empty() {
            return Err(self.wrong());
        }
        let mut attributes: Vec<(&[u8], Vec<u8>)> = Vec::new();
        loop {
            let spaced = self.space();
            if self.rest.starts_with(b"/>") {
                self.is_empty = true;
                self.expect(b"/>")?;
                break;
            }
            if self.rest.starts_with(b">") {
                self.expect(b">")?;
                break;
            }
            let (name, value) = self.attribute()?;
            let is_known = attributes.iter().any(|(known, _)| *known == name);
            if !spaced || is_known || attributes.len() >= ATTRIBUTES_MAX {
                return Err(self.wrong());
            }
            attributes.push((name, value));
        }
        self.open.push(name);
        Ok(Event::Open(Element { name, attributes }))
    }

    fn attribute(&mut self) -> Result<(&'x [u8], Vec<u8>)> {
        let name = self.name();
        if name.is_empty() {
            return Err(self.wrong());
        }
        self.space();
        self.expect(b"=")?;
        self.space();
        let quote = match self.rest.first() {
            Some(quote @ (b'"' | b'\'')) => *quote,
            _ => return Err(self.wrong()),
        };
        let rest = self.rest.get(1..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == quote || *byte == b'<');
        let (value, rest) = end
            .and_then(|end| rest.split_at_checked(end))
            .ok_or_else(|| self.wrong())?;
        let value = self.text(value)?;
        self.rest = rest;
        self.expect(&[quote])?;
        Ok((name, value))
    }

    /// A value, with what stands in it for characters put in.
    fn text(&self, mut value: &[u8]) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        while let Some(at) = value.iter().position(|byte| *byte == b'&') {
            let (before, rest) = value.split_at_checked(at).unwrap_or_default();
            let end = rest.iter().position(|byte| *byte == b';');
            let (word, rest) = end
                .and_then(|end| rest.split_at_checked(end))
                .ok_or_else(|| self.wrong())?;
            let word = word.strip_prefix(b"&").unwrap_or_default();
            let character = character(word)
                .ok_or_else(|| Fault::new(faults::XML_ENTITY).with([self.at()]).named(word))?;
            text.extend_from_slice(before);
            text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            value = rest.get(1..).unwrap_or_default();
        }
        text.extend_from_slice(value);
        Ok(text)
    }

    /// A name, or nothing.
    fn name(&mut self) -> &'x [u8] {
        let part =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-' | b'.' | 0x80..);
        let end = self.rest.iter().position(|byte| !part(byte));
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        name
    }

    /// Passes white space, and says whether there was some.
    fn space(&mut self) -> bool {
        let rest = self.rest.trim_ascii_start();
        let passed = rest.len() < self.rest.len();
        self.rest = rest;
        passed
    }

    fn expect(&mut self, word: &[u8]) -> Result<()> {
        self.rest = self.rest.strip_prefix(word).ok_or_else(|| self.wrong())?;
        Ok(())
    }

    fn at(&self) -> u64 {
        from_usize(self.whole.saturating_sub(self.rest.len()))
    }

    fn wrong(&self) -> Fault {
        Fault::new(faults::XML).with([self.at()])
    }
}

/// The character that a reference stands for.
fn character(word: &[u8]) -> Option<char> {
    match word {
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"amp" => Some('&'),
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        _ => {
            let (digits, radix) = match (word.strip_prefix(b"#x"), word.strip_prefix(b"#")) {
                (Some(digits), _) => (digits, 16),
                (None, digits) => (digits?, 10),
            };
            let digits = core::str::from_utf8(digits).ok()?;
            let number = u32::from_str_radix(digits, radix).ok()?;
            char::from_u32(number).filter(|character| *character != '\0')
        }
    }
}

#[cfg(test)]
mod tests;
