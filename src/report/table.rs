//! A table as plain data: the terminal, Markdown and HTML print the same one.

/// Which runs are behind a number. Everything that is named must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The arm.
    pub arm: Option<String>,
    /// The seed.
    pub seed: Option<u32>,
    /// The word for how the run ended.
    pub ending: Option<&'static str>,
    /// Resolved at this attempt or before it.
    pub by: Option<u32>,
    /// A code that occurs in it.
    pub code: Option<String>,
    /// The instance.
    pub instance: Option<String>,
    /// Resolved by the fallback model.
    pub fallback: bool,
}

/// One cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// The runs behind it.
    pub filter: Option<Filter>,
    /// Whether it is a number, and stands to the right.
    pub number: bool,
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub(super) fn number(number: impl ToString) -> Self {
        Self { text: number.to_string(), number: true, ..Self::default() }
    }

    /// Links the cell to the runs behind it; nothing is behind a zero.
    #[must_use]
    pub(super) fn behind(mut self, filter: Filter) -> Self {
        let is_nothing = self.text == "0" || self.text.starts_with("0 of ");
        self.filter = (!is_nothing).then_some(filter);
        self
    }
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Its anchor.
    pub id: &'static str,
    /// The heading above it.
    pub title: String,
    /// What it shows, in a sentence.
    pub caption: String,
    /// The columns; the first holds what a row is about.
    pub head: Vec<String>,
    /// The rows, each as long as the head.
    pub rows: Vec<Vec<Cell>>,
    /// What there is to add, a paragraph each, in pieces.
    pub notes: Vec<Vec<Cell>>,
}
