//! How the steps ask the transcript: tests, files of the base tree, and anything else that is performed.

use serde_json::json;

use crate::canon::Blake3;
use crate::gate::environment::{Recipe, Setup, generated_files};
use crate::gate::{self, TestRequest};
use crate::instance::{Hidden, Instance, Repository};
use crate::model::{self, Provider, Request};
use crate::prompt::Budget;
use crate::transcript::{ActFailure, Ask, Done, Kind, Normaliser};

use super::live::{Changes, Live};
use super::steps::{Interruption, Solver, Tested, canonical_bytes, invalid};
use super::tests_mode::TestsMode;
use super::watch::{Phase, Step};

/// Bytes of a test log that are kept.
const LOG_CAP: u64 = 4 << 20;

impl<'l> Solver<'_, 'l> {
    /// Runs tests on the base tree with `changes`, `late` laid over both just before.
    pub(super) fn test(
        &mut self,
        stage: &str,
        attempt: u32,
        command: &str,
        tree: Blake3,
        changes: &Changes,
        late: &Hidden,
    ) -> Result<Tested, Interruption> {
        let request = TestRequest {
            command: command.to_owned(),
            env: self.instance.test_env.clone(),
            environment: self.environment_name()?,
            generated: generated_files(repository_name(self.instance), &self.instance.version),
            included: self.instance.included.clone(),
            timeout_seconds: self.instance.timeout_seconds.unwrap_or(self.options.timeout_seconds),
            log_cap: LOG_CAP,
            tree,
            stage: if attempt == 0 { stage.to_owned() } else { format!("{stage} {attempt}") },
        };
        let hidden = self.visible_hidden();
        let normalise = |_: &[u8], raw: &[u8]| gate::normalise(raw).map_err(|error| error.to_string());
        let normaliser = Normaliser { name: gate::NORMALISER, apply: &normalise };
        let execution = self.perform(Kind::Test, &request.to_bytes(), normaliser, |live, _| {
            live.test(&request, &hidden, late, changes)
        })?;
        // Only lists of the tests that are run here are the harness's; a baseline's names are our own.
        let is_listed = self.options.tests == TestsMode::Oracle || !matches!(late, Hidden::None);
        let is_listed = is_listed || matches!(self.instance.hidden, Hidden::None);
        let reader = self.reader()?;
        let report = gate::report(if is_listed { reader } else { reader.strict() }, &execution);
        Ok(Tested { report, execution })
    }

    /// Names the environment by its content, as the folder of prepared ones does.
    fn environment_name(&self) -> Result<Option<String>, Interruption> {
        let instance = self.instance;
        let (Some(python), packages) = (&instance.env_python, &instance.env_packages) else {
            let setup = setup(instance).map(|setup| setup.name().to_owned());
            return Ok(setup.or_else(|| instance.image_id.as_deref().map(gate::Image::environment)));
        };
        Recipe::new(python, packages).map(|recipe| Some(recipe.name())).map_err(|error| invalid(&error))
    }

    /// Reads a file of the base tree.
    pub(super) fn read(&mut self, path: &str) -> Result<Vec<u8>, Interruption> {
        if let Some(bytes) = self.known.get(path) {
            return Ok(bytes.clone());
        }
        let request = canonical_bytes(&json!({"path": path}));
        let hidden = self.visible_hidden();
        let bytes = self.perform(Kind::File, &request, Normaliser::IDENTITY, |live, _| live.read(path, &hidden))?;
        self.known.insert(path.to_owned(), bytes.clone());
        Ok(bytes)
    }

    /// Asks the transcript for something of `kind`, as [`Solver::ask`] does.
    pub(super) fn perform(
        &mut self,
        kind: Kind,
        request: &[u8],
        normaliser: Normaliser<'_>,
        act: impl FnMut(&mut Live<'l>, &mut dyn FnMut(Step)) -> Result<Done, ActFailure>,
    ) -> Result<Vec<u8>, Interruption> {
        self.ask(&Ask { kind, request, normaliser }, act)
    }

    /// Asks the transcript; the act gets the live hands, or fails where there are none.
    pub(super) fn ask(
        &mut self,
        ask: &Ask<'_>,
        mut act: impl FnMut(&mut Live<'l>, &mut dyn FnMut(Step)) -> Result<Done, ActFailure>,
    ) -> Result<Vec<u8>, Interruption> {
        let (live, watch) = (&mut self.live, &mut self.watch);
        let mut act = || match live {
            Some(live) => act(live, watch),
            None => Err(ActFailure::fatal("a replay performs nothing")),
        };
        Ok(self.transcript.perform(ask, &mut act)?)
    }

    pub(super) fn budget(&self) -> Budget {
        self.options.budget()
    }

    /// The hidden tests as far as the loop may see them.
    pub(super) fn visible_hidden(&self) -> Hidden {
        match self.options.tests {
            TestsMode::Oracle => self.instance.hidden.clone(),
            TestsMode::Existing => Hidden::None,
        }
    }

    pub(super) fn began(&mut self, phase: Phase, attempt: u32) {
        (self.watch)(Step::Began(phase, attempt));
    }

    pub(super) fn ended(&mut self, phase: Phase, attempt: u32, summary: String) {
        (self.watch)(Step::Ended(phase, attempt, summary));
    }
}

/// Asks `perform` which model `name` is.
pub(super) fn ask_identity<E>(
    name: &str,
    provider: Provider,
    perform: impl FnOnce(&Ask<'_>) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let request = canonical_bytes(&json!({"model": name}));
    let apply = |_: &[u8], raw: &[u8]| model::identity(provider, raw).map_err(|error| error.to_string());
    let normaliser = Normaliser { name: model::normaliser(provider), apply: &apply };
    perform(&Ask { kind: Kind::Model, request: &request, normaliser })
}

/// Asks `perform` for a model's reply.
pub(super) fn ask_model<E>(
    request: &Request,
    perform: impl FnOnce(&Ask<'_>) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let apply = |sent: &[u8], raw: &[u8]| model::normalise(request, sent, raw).map_err(|error| error.to_string());
    let normaliser = Normaliser { name: model::normaliser(request.model.provider), apply: &apply };
    perform(&Ask { kind: Kind::ModelCall, request: &request.to_bytes(), normaliser })
}

/// Returns what fills the environment of an instance that has a command of its own for it.
pub fn setup(instance: &Instance) -> Option<Setup> {
    let command = instance.env_setup.as_deref()?;
    let base = instance.base_commit.as_deref().unwrap_or_default();
    let repository = match repository_name(instance) {
        // What has no name of its own is known by the instance's.
        "" => &instance.id,
        name => name,
    };
    Some(Setup::new(command, repository, base))
}

/// Returns `owner/name`, or nothing for a repository without a public name.
pub(super) fn repository_name(instance: &Instance) -> &str {
    match &instance.repository {
        Repository::Named(name) => name,
        _ => "",
    }
}
