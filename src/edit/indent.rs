//! Indentation: moving a block sideways, and exchanging tabs and spaces.

use std::borrow::Cow;

/// Returns the white space at the start of a line.
pub(super) fn of(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// Returns the indentation of the first line that is not blank.
pub(super) fn of_first<S: AsRef<str>>(lines: &[S]) -> Option<&str> {
    lines.iter().map(AsRef::as_ref).find(|line| !line.trim().is_empty()).map(of)
}

/// Moves all lines so that an indentation of `from` becomes `to`; `None` if some line is not indented that far, or the
/// two have nothing in common.
pub(super) fn shifted(lines: &[String], from: &str, to: &str) -> Option<Vec<String>> {
    let one = |line: &String| {
        if line.trim().is_empty() {
            return Some(line.clone());
        }
        if let Some(more) = to.strip_suffix(from) {
            return Some(format!("{more}{line}"));
        }
        let less = from.strip_suffix(to)?;
        line.strip_prefix(less).map(str::to_owned)
    };
    lines.iter().map(one).collect()
}

/// Gives the first line that is not blank this indentation, and leaves the others.
pub(super) fn first_moved(lines: &[String], to: &str) -> Vec<String> {
    let mut lines = lines.to_vec();
    if let Some(first) = lines.iter_mut().find(|line| !line.trim().is_empty()) {
        *first = format!("{to}{}", first.trim_start_matches([' ', '\t']));
    }
    lines
}

/// What a text's lines are indented with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Nothing,
    Tabs,
    /// Spaces, and how many for one level.
    Spaces(usize),
    Mixed,
}

/// What became of tabs and spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Converted {
    /// They were as in the file.
    Same,
    /// They were exchanged.
    Changed(Vec<String>),
    /// They cannot be exchanged exactly.
    Impossible,
}

/// Gives `body` the file's kind of indentation; `old` are the lines of the file that it replaces.
pub(super) fn converted(body: &[String], file: Unit, old: &[Cow<'_, str>]) -> Converted {
    let convert = |one: &dyn Fn(&str) -> Option<String>| {
        let line = |line: &String| {
            let indent = of(line);
            Some(format!("{}{}", one(indent)?, &line[indent.len()..]))
        };
        body.iter().map(line).collect::<Option<Vec<_>>>().map_or(Converted::Impossible, Converted::Changed)
    };
    match (file, unit(body)) {
        (Unit::Tabs, Unit::Spaces(width)) => {
            // The first lines of both tell how wide a tab is meant to be; a whole block may be indented deeper than one.
            let anchor = of_first(old).map_or(0, str::len).max(1);
            let first = of_first(body).map_or(0, str::len);
            let width = if first.is_multiple_of(anchor) && first / anchor > 1 { first / anchor } else { width };
            // A single space is no level: such a line is aligned with something.
            if width < 2 {
                return Converted::Impossible;
            }
            convert(&|indent| (indent.len() % width == 0).then(|| "\t".repeat(indent.len() / width)))
        }
        (Unit::Spaces(width), Unit::Tabs) => convert(&|indent| Some(" ".repeat(indent.len() * width))),
        (Unit::Tabs | Unit::Spaces(_), Unit::Mixed) => Converted::Impossible,
        _ => Converted::Same,
    }
}

/// Returns what lines are indented with.
pub(super) fn unit<S: AsRef<str>>(lines: &[S]) -> Unit {
    let mut unit = Unit::Nothing;
    for line in lines.iter().map(AsRef::as_ref).filter(|line| !line.trim().is_empty()) {
        let indent = of(line);
        let own = match (indent.contains('\t'), indent.contains(' ')) {
            (false, false) => continue,
            (true, true) => Unit::Mixed,
            (true, false) => Unit::Tabs,
            (false, true) => Unit::Spaces(indent.len()),
        };
        unit = match (unit, own) {
            (Unit::Nothing, own) => own,
            (Unit::Tabs, Unit::Tabs) => Unit::Tabs,
            // One level is the greatest width that all share; continuation lines may make it smaller.
            (Unit::Spaces(a), Unit::Spaces(b)) => Unit::Spaces(greatest_common_divisor(a, b)),
            _ => Unit::Mixed,
        };
    }
    unit
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn blocks_move_sideways() {
        assert_eq!(shifted(&lines("a\n  b\n\nc"), "", "    ").unwrap(), lines("    a\n      b\n\n    c"));
        assert_eq!(shifted(&lines("      a\n    b"), "    ", "  ").unwrap(), lines("    a\n  b"));
        assert_eq!(shifted(&lines("  a\nb"), "  ", ""), None);
        assert_eq!(shifted(&lines("\ta"), "\t", "  "), None);
    }

    #[test]
    fn tabs_and_spaces_are_exchanged_exactly_or_not_at_all() {
        let file = |text: &'static str| text.lines().map(Cow::Borrowed).collect::<Vec<_>>();
        let tabs = file("a\n\tb\n\t\tc");
        let spaces = file("a\n  b\n    c");
        let converted = |body: &str, file: &[Cow<'_, str>]| super::converted(&lines(body), unit(file), &[]);
        assert_eq!(converted("    a\n        b", &tabs), Converted::Changed(lines("\ta\n\t\tb")));
        assert_eq!(converted("\ta\n\t\tb", &spaces), Converted::Changed(lines("  a\n    b")));
        assert_eq!(converted("\ta\n    b", &tabs), Converted::Impossible);
        assert_eq!(converted("  a", &spaces), Converted::Same);
        assert_eq!(converted("\ta", &file("\ta\n  b")), Converted::Same);
        assert_eq!(converted("    a\n     b", &tabs), Converted::Impossible);
    }

    #[test]
    fn the_replaced_lines_tell_how_wide_a_tab_is() {
        let file = "a\n\tb\n\t\tc".lines().map(Cow::Borrowed).collect::<Vec<_>>();
        let inner = converted(&lines("        c = 1\n        d = 2"), unit(&file), &file[2..]);
        assert_eq!(inner, Converted::Changed(lines("\t\tc = 1\n\t\td = 2")));
        let outer = converted(&lines("    b = 1"), unit(&file), &file[1..2]);
        assert_eq!(outer, Converted::Changed(lines("\tb = 1")));
    }
}
