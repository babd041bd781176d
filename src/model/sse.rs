//! Framing of server-sent events (WHATWG HTML §9.2.6), independent of how the bytes were cut on their way.

/// The longest line, and the longest event, in bytes.
pub(crate) const LONGEST: usize = 16 << 20;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// The text after `event:`; empty where there was none.
    pub(crate) name: String,
    /// The bytes after `data:`, lines joined by line feeds.
    pub(crate) data: Vec<u8>,
    /// False for what the end of the stream cut off: no blank line had ended the event.
    pub(crate) complete: bool,
}

/// A line or an event is longer than 16 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Collects the events of a stream that arrives in pieces.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    first_line_done: bool,
    name: String,
    data: Option<Vec<u8>>,
}

impl Parser {
    /// Takes the next piece and hands each event that it completes to `each`.
    pub(crate) fn push(&mut self, piece: &[u8], each: &mut dyn FnMut(Event)) -> Result<(), TooLong> {
        for &byte in piece {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                // The second byte of CR LF ends no line of its own.
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    self.end_line(each)?;
                }
                _ if self.line.len() == LONGEST => return Err(TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    /// Ends the stream and returns what it cut off, if that held data.
    ///
    /// The standard drops such an event; servers that end with `data: [DONE]` and no blank line exist.
    pub(crate) fn finish(mut self) -> Result<Option<Event>, TooLong> {
        let mut last = None;
        if !self.line.is_empty() {
            self.end_line(&mut |event| last = Some(event))?;
        }
        let data = self.data.take();
        Ok(data.map(|data| Event { name: self.name, data, complete: false }).or(last))
    }

    fn end_line(&mut self, each: &mut dyn FnMut(Event)) -> Result<(), TooLong> {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.first_line_done, true) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            if let Some(data) = self.data.take() {
                each(Event { name, data, complete: true });
            }
            return Ok(());
        }
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(at) => (&line[..at], line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..])),
            None => (&line[..], &b""[..]),
        };
        match field {
            b"data" => {
                let data = match &mut self.data {
                    Some(data) => {
                        data.push(b'\n');
                        data
                    }
                    None => self.data.insert(Vec::new()),
                };
                if data.len() + value.len() > LONGEST {
                    return Err(TooLong);
                }
                data.extend_from_slice(value);
            }
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            // A comment starts with the colon; `id` and `retry` say nothing about the reply.
            _ => {}
        }
        Ok(())
    }
}

/// Returns the events of a whole stream.
pub(crate) fn events(raw: &[u8]) -> Result<Vec<Event>, TooLong> {
    let mut events = Vec::new();
    let mut parser = Parser::default();
    parser.push(raw, &mut |event| events.push(event))?;
    events.extend(parser.finish()?);
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(raw: &[u8]) -> Vec<(String, String, bool)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        events(raw).unwrap().into_iter().map(|event| (event.name, text(event.data), event.complete)).collect()
    }

    #[test]
    fn every_line_ending_comment_and_field_of_the_standard() {
        let raw = b"\xef\xbb\xbf: ping\r\n\r\nevent: a\rdata: 1\rdata:2\r\rid: 7\ndata\n\nretry: 1\nevent: lost\n\ndata:  x\n\n";
        let expected = [("a", "1\n2", true), ("", "", true), ("", " x", true)];
        assert_eq!(parts(raw), expected.map(|(name, data, complete)| (name.into(), data.into(), complete)));
    }

    #[test]
    fn what_the_end_cut_off_is_marked() {
        assert_eq!(
            parts(b"data: a\n\ndata: [DONE]"),
            [(String::new(), "a".into(), true), (String::new(), "[DONE]".into(), false)]
        );
        assert_eq!(parts(b"data: a\n"), [(String::new(), "a".into(), false)]);
        assert_eq!(parts(b"event: x\n"), []);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 1 << 20];
        let result = (0..17).try_for_each(|_| parser.push(&piece, &mut |_| ()));
        assert_eq!(result, Err(TooLong));
    }

    proptest! {
        #[test]
        fn the_cuts_do_not_matter(raw in "(data: ?[a-z]{0,3}|event: x|: c|\r|\n|\r\n|é){0,40}", cuts in prop::collection::vec(0usize..200, 0..8)) {
            let raw = raw.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(raw.len())).collect();
            cuts.sort_unstable();
            let (mut found, mut parser, mut from) = (Vec::new(), Parser::default(), 0);
            for cut in cuts.into_iter().chain([raw.len()]) {
                parser.push(&raw[from..cut], &mut |event| found.push(event)).unwrap();
                from = cut;
            }
            found.extend(parser.finish().unwrap());
            prop_assert_eq!(found, events(raw).unwrap());
        }
    }
}
