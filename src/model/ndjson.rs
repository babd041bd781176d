//! Framing of newline-delimited JSON, as Ollama streams it.

/// Returns the lines of a stream that hold more than blanks, each with whether a line feed ended it.
pub(crate) fn lines(raw: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    raw.split_inclusive(|&byte| byte == b'\n')
        .map(|line| (line.trim_ascii(), line.ends_with(b"\n")))
        .filter(|(line, _)| !line.is_empty())
}

/// Returns how many lines a piece of a stream ends.
#[cfg(any(feature = "live", test))]
pub(crate) fn ended(piece: &[u8]) -> u32 {
    u32::try_from(piece.iter().filter(|&&byte| byte == b'\n').count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blank_lines_vanish_and_the_cut_one_is_marked() {
        let found: Vec<_> = lines(b"{\"a\":1}\r\n\n  \n{\"b\":2}\n{\"c\"").collect();
        assert_eq!(found, [(&b"{\"a\":1}"[..], true), (b"{\"b\":2}", true), (b"{\"c\"", false)]);
        assert_eq!(lines(b"").count(), 0);
    }

    proptest! {
        #[test]
        fn the_cuts_do_not_matter_to_the_count(raw in "[a\n]{0,60}", cut in 0usize..60) {
            let (raw, cut) = (raw.as_bytes(), cut.min(raw.len()));
            prop_assert_eq!(ended(&raw[..cut]) + ended(&raw[cut..]), ended(raw));
        }
    }
}
