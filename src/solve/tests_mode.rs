//! Which tests the loop may see.

use serde::{Deserialize, Serialize};

/// Which tests drive the loop; every figure that comes of a run carries the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TestsMode {
    /// Only tests that were there before the fix; the hidden ones grade the result after the loop.
    #[serde(rename = "existing-tests")]
    Existing,
    /// The hidden tests are in the red gate and feed the loop.
    #[serde(rename = "oracle-tests")]
    Oracle,
}

impl TestsMode {
    /// Returns the label that stands on every figure.
    pub fn label(self) -> &'static str {
        match self {
            Self::Existing => "existing-tests",
            Self::Oracle => "oracle-tests",
        }
    }
}
