//! One parse, within limits, and the walk over its nodes.

use std::ops::ControlFlow;

use tree_sitter::{Node, ParseOptions, ParseState, Parser, Tree, TreeCursor};

use super::Language;

/// Files beyond this are not parsed.
const SIZE_LIMIT: usize = 4 << 20;
/// The parser reports after every hundred steps or so: a limit on steps, not on time, so that it binds alike everywhere.
const STEP_LIMIT: u32 = 400_000;

/// Parses `source`; `None` when it is too large or too hard.
pub(super) fn parse(language: Language, source: &[u8]) -> Option<Tree> {
    if source.len() > SIZE_LIMIT {
        return None;
    }
    let mut parser = Parser::new();
    parser.set_language(&language.grammar()).ok()?;
    let mut steps = 0;
    let mut progress = |_: &ParseState| {
        steps += 1;
        if steps > STEP_LIMIT { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = ParseOptions::new().progress_callback(&mut progress);
    parser.parse_with_options(&mut |offset, _| source.get(offset..).unwrap_or_default(), None, Some(options))
}

/// Walks a tree in preorder without recursion, since hostile files nest deeply.
pub(super) struct Walk<'tree> {
    cursor: TreeCursor<'tree>,
    /// Counted here: the cursor would walk up to the root for it.
    depth: u32,
    state: State,
}

enum State {
    Fresh,
    Visited,
    Done,
}

impl<'tree> Walk<'tree> {
    pub(super) fn new(tree: &'tree Tree) -> Self {
        Self { cursor: tree.walk(), depth: 0, state: State::Fresh }
    }

    /// Returns the next node and its depth; `descend` says whether the children of the last one are wanted.
    pub(super) fn next(&mut self, descend: bool) -> Option<(Node<'tree>, u32)> {
        match self.state {
            State::Done => return None,
            State::Fresh => self.state = State::Visited,
            State::Visited => {
                if descend && self.cursor.goto_first_child() {
                    self.depth += 1;
                } else {
                    while !self.cursor.goto_next_sibling() {
                        if !self.cursor.goto_parent() {
                            self.state = State::Done;
                            return None;
                        }
                        self.depth -= 1;
                    }
                }
            }
        }
        Some((self.cursor.node(), self.depth))
    }
}
