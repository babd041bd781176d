//! The argument tree. Doc comments here are the help texts.

use std::path::PathBuf;

use clap::{ArgMatches, Args, Parser, Subcommand};

use super::{Exit, Failure, Ui};

/// Records, replays and certifies runs of language-model coding agents.
#[derive(Debug, Parser)]
#[command(name = "runproof", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    verb: Verb,
}

impl Cli {
    /// Weighs where the values come from, which the parsed options do not tell: an option counts for more than the
    /// environment, and that for more than the configuration.
    pub(super) fn settle(&mut self, matches: &ArgMatches) {
        if let (Verb::Solve(args), Some((_, matches))) = (&mut self.verb, matches.subcommand()) {
            args.settle(matches);
        }
    }
}

/// Options of every verb.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The transcript store.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = ".runproof/transcripts.sqlite",
        env = "RUNPROOF_STORE"
    )]
    pub(crate) store: PathBuf,
    /// Defaults for the options; without it `runproof.toml` in the working folder, where there is one.
    #[arg(long, global = true, value_name = "FILE", env = "RUNPROOF_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Says only what was asked for, warnings and errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Records live runs on three bundled bugs with the embedded model and replays each offline.
    Demo(super::demo::DemoArgs),
    /// Works on one instance until its tests are green, and records everything.
    Solve(Box<super::solve::SolveArgs>),
    /// Runs a campaign: instances × arms × seeds, each a run of `solve`.
    Bench(Box<super::bench::BenchArgs>),
    /// Runs a command with a recording proxy between it and its models.
    #[cfg(feature = "live")]
    Record(Box<super::record::RecordArgs>),
    /// Replays a run offline and compares every byte.
    Replay(super::replay::ReplayArgs),
    /// Assesses a run, or several as a campaign, on the rungs 641, 274177 and 65537.
    Check(super::check::CheckArgs),
    /// Signs what a run or a campaign is worth: its transcript, its patch and the rungs that it reached.
    Certify(super::certify::CertifyArgs),
    /// Checks a certificate: who signed it, that the evidence says the same, and that a replay reproduces every byte.
    Verify(super::verify::VerifyArgs),
    /// Makes and shows Ed25519 keys.
    Key(super::key::KeyArgs),
    /// Lists the runs of the store, or the events of one run.
    Log(super::log::LogArgs),
    /// Shows a run: prompts, raw replies, edits with their codes, test results, the patch.
    Show(super::show::ShowArgs),
    /// Compares two runs event by event in canonical form.
    Diff(super::diff::DiffArgs),
    /// Shows what came of a campaign, of several runs or of one, for people.
    Report(super::report::ReportArgs),
    /// Builds the virtual environments that instances name.
    Prepare(super::prepare::PrepareArgs),
    /// Looks after the transcript store: checks, measures, compacts, exports and imports.
    Store(super::store::StoreArgs),
    /// Gets, lists and shows models.
    Model(super::model::ModelArgs),
    /// Prints a completion script for a shell.
    Completions(super::completions::CompletionsArgs),
}

/// Does what the command line says.
pub(super) fn dispatch(cli: Cli, ui: &mut Ui) -> Result<Exit, Failure> {
    let global = cli.global;
    match cli.verb {
        Verb::Demo(args) => super::demo::demo(&args, &global, ui),
        Verb::Solve(args) => super::solve::solve(&args, &global, ui),
        Verb::Bench(args) => super::bench::bench(&args, &global, ui),
        #[cfg(feature = "live")]
        Verb::Record(args) => super::record::record(&args, &global, ui),
        Verb::Replay(args) => super::replay::replay(&args, &global, ui),
        Verb::Check(args) => super::check::check(&args, &global, ui),
        Verb::Certify(args) => super::certify::certify(&args, &global, ui),
        Verb::Verify(args) => super::verify::verify(&args, &global, ui),
        Verb::Key(args) => super::key::key(&args, &global, ui),
        Verb::Log(args) => super::log::log(&args, &global, ui),
        Verb::Show(args) => super::show::show(&args, &global, ui),
        Verb::Diff(args) => super::diff::diff(&args, &global, ui),
        Verb::Report(args) => super::report::report(&args, &global, ui),
        Verb::Prepare(args) => super::prepare::prepare(&args, &global, ui),
        Verb::Store(args) => super::store::store(&args, &global, ui),
        Verb::Model(args) => super::model::model(&args, &global, ui),
        Verb::Completions(args) => super::completions::completions(&args, &global, ui),
    }
}
