//! The order of arms: that of the source document's phases, whatever else there is behind.

/// The configurations that the source document compares, in its order.
pub(super) const DOCUMENT: [&str; 6] =
    ["patch", "direct-1", "direct-2", "direct-6", "direct-6+skills", "direct-6+fallback"];

/// Sorts names of arms, each once.
pub(super) fn in_order<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<&str> = names.into_iter().collect();
    let place = |name: &str| DOCUMENT.iter().position(|known| *known == name).unwrap_or(DOCUMENT.len());
    names.sort_by_key(|name| (place(name), *name));
    names.dedup();
    names.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_arms_come_first() {
        let names = ["direct-6", "a", "patch", "direct-1+window", "direct-1", "patch"];
        assert_eq!(in_order(names), ["patch", "direct-1", "direct-6", "a", "direct-1+window"]);
    }
}
