//! Foreign text made harmless to look at: nothing in it can drive a terminal or turn the text around it.

/// Says whether a character turns the direction of the text around it, is another kind of line end, or has no shape.
fn misleads(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// Returns text with control characters other than line feed and tab, and characters that mislead, written out.
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() && c != '\n' && c != '\t') || misleads(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// As [`printable`], on one line: foreign text cannot add lines of its own to a table.
pub fn printable_line(text: &str) -> String {
    printable(text).replace('\n', "\\n").replace('\t', "\\t")
}

/// Returns text as HTML shows it, in an element or in a quoted attribute.
pub(super) fn html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + text.len() / 16);
    for c in printable(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        assert_eq!(printable("a\u{202e}b\u{7}\r\n\t\u{200b}"), "a\\u{202e}b\\u{7}\\r\n\t\\u{200b}");
        assert_eq!(printable_line("a\nb"), "a\\nb");
        assert_eq!(html("</script>'\"&\u{2028}"), "&lt;/script&gt;&#39;&quot;&amp;\\u{2028}");
    }
}
