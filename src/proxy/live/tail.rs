//! Where a stream says that it is over. From there on it is held back until the whole is durable.

/// How lines begin that end a stream of events. Text of the model cannot: a line feed within it is escaped.
const LINES: [&[u8]; 9] = [
    b"data: [DONE]",
    b"data:[DONE]",
    b"event: message_stop",
    b"event:message_stop",
    b"event: response.completed",
    b"event: response.incomplete",
    b"event: response.failed",
    b"data: {\"type\":\"response.completed\"",
    b"data: {\"type\":\"message_stop\"",
];
/// What ends a stream of lines; within a text of the model its quotes are escaped.
const DONE: [&[u8]; 2] = [b"\"done\":true", b"\"done\": true"];

/// Says whether a line is an object that says so itself: arguments of a tool may have a member of that name.
fn is_done(line: &[u8]) -> bool {
    let value: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
    value.get("done").and_then(serde_json::Value::as_bool).unwrap_or_default()
}

/// Finds the end in a stream that grows.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Where the line begins that is not yet complete.
    line: usize,
}

impl Tail {
    /// Looks through what came since the last call; returns where the end begins.
    pub(super) fn find(&mut self, stream: &[u8], is_lines: bool) -> Option<usize> {
        loop {
            let rest = &stream[self.line..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let line = &rest[..end.unwrap_or(rest.len())];
            let is_end = match is_lines {
                true => DONE.iter().any(|mark| line.windows(mark.len()).any(|part| part == *mark)) && is_done(line),
                false => LINES.iter().any(|start| line.starts_with(start)),
            };
            if is_end {
                return Some(self.line);
            }
            self.line += end? + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(stream: &str, is_lines: bool) -> Option<usize> {
        let bytes = stream.as_bytes();
        let at_once = Tail::default().find(bytes, is_lines);
        // Byte by byte comes to the same place.
        let mut tail = Tail::default();
        let slowly = (0..=bytes.len()).find_map(|to| tail.find(&bytes[..to], is_lines));
        assert_eq!(at_once, slowly);
        at_once
    }

    #[test]
    fn only_the_real_end_is_one() {
        assert_eq!(found("data: {\"x\":\"[DONE]\"}\n\ndata: [DONE]\n\n", false), Some(22));
        assert_eq!(found("data: 1\r\n\r\nevent: message_stop\r\ndata: {}\r\n\r\n", false), Some(11));
        assert_eq!(found("data: \"event: message_stop\"\n\n", false), None);
        assert_eq!(found("{\"a\":\"\\\"done\\\":true\",\"done\":false}\n", true), None);
        assert_eq!(found("{\"message\":{\"arguments\":{\"done\":true}},\"done\":false}\n", true), None);
        assert_eq!(found("{\"done\":false}\n{\"x\":1,\"done\":true}\n", true), Some(15));
    }
}
