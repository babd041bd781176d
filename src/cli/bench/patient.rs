//! A model whose server may be away for a while.
//!
//! Whoever begins a single run wants to hear at once that nobody is there. A campaign of hours waits.

use crate::model::{Answer, Fault, Model, ModelError, Progress, Request};

/// Says of a server that cannot be reached that asking again may help.
pub(super) struct Patient(pub(super) Box<dyn Model>);

fn hopeful(error: ModelError) -> ModelError {
    let Fault::Unreachable { provider, reason, address, .. } = error.fault().clone() else { return error };
    let (sent, raw) = error.partial();
    ModelError::new(Fault::Unreachable { provider, reason, address, awaited: true }, sent.to_vec(), raw.to_vec())
}

impl Model for Patient {
    fn resolve(&mut self) -> Result<Answer, ModelError> {
        self.0.resolve().map_err(hopeful)
    }

    fn call(&mut self, request: &Request, progress: &mut dyn FnMut(Progress)) -> Result<Answer, ModelError> {
        self.0.call(request, progress).map_err(hopeful)
    }

    fn passed(&mut self, request: &Request) {
        self.0.passed(request);
    }
}
