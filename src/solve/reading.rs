//! How a run's logs are read, and what its verdicts say of that.

use serde_json::{Map, Value, json};

use super::steps::{Interruption, Solver};
use crate::gate::{Reader, TestReport};

impl Solver<'_, '_> {
    /// Returns how logs are read.
    pub(super) fn reader(&self) -> Result<Reader, Interruption> {
        self.reader.clone().map_err(Interruption::Invalid)
    }

    /// Adds to a verdict how its log was read: parser, listed names found under another one, and what was odd.
    pub(super) fn tell_reading(&self, data: &mut Map<String, Value>, report: &TestReport) {
        data.insert("reader".into(), json!(report.reader));
        let folded = report.folded(self.instance.fail_to_pass.iter().chain(&self.instance.pass_to_pass));
        if !folded.is_empty() {
            data.insert("folded".into(), json!(folded));
        }
        if !report.duplicates.is_empty() {
            data.insert("duplicates".into(), json!(report.duplicates));
        }
        if !report.unknown.is_empty() {
            data.insert("unknown".into(), json!(report.unknown));
        }
    }
}
