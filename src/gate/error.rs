//! What can go wrong around a test run, as opposed to in it.

use std::io;
use std::path::PathBuf;

use super::Level;
use crate::canon::CanonError;

/// Says why tests could not be run or their record not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// Bytes that are no record of a test run.
    #[error("the record of the test run is malformed: {0}")]
    Malformed(String),
    /// Bytes that are no test request.
    #[error("the test request is malformed: {0}")]
    Request(#[from] CanonError),
    /// A sandbox level that this machine does not give.
    #[error("the sandbox level {level} cannot be had here: {reason}")]
    LevelUnavailable {
        /// Level asked for.
        level: Level,
        /// What the attempt said.
        reason: String,
    },
    /// No sandbox at all works here, and running without one was not asked for.
    #[error("no sandbox can be had here: {0}")]
    NoSandbox(String),
    /// A sandbox that failed while it was set up.
    #[error("the sandbox could not be set up: {0}")]
    Setup(String),
    /// A prepared environment that is not there.
    #[error("the environment {name} has not been prepared (looked at {})", .path.display())]
    EnvironmentMissing {
        /// Its name.
        name: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// No program of a container engine.
    #[error("there is no container engine here ({0})")]
    EngineMissing(String),
    /// Something that no image can be called.
    #[error("{0:?} is not the name of an image")]
    ImageName(String),
    /// An image that is not here.
    #[error("the image {0} is not here")]
    ImageMissing(String),
    /// An image whose content is another than the one asked for.
    #[error("the image {name} has the content {found}, not {wanted}")]
    ImageOther {
        /// What it is called.
        name: String,
        /// The content here.
        found: String,
        /// The content asked for.
        wanted: String,
    },
    /// A container engine that did not do what it was asked to, with the end of what it said.
    #[error("the container engine failed to {what}: {said}")]
    Engine {
        /// The step, as a verb phrase.
        what: String,
        /// Its words.
        said: String,
    },
    /// A Python version or package list that no environment can be made of.
    #[error("the environment is not well described: {0}")]
    Recipe(String),
    /// No interpreter of the version that an environment needs.
    #[error("there is no Python {version} here ({looked})")]
    InterpreterMissing {
        /// Version asked for.
        version: String,
        /// What was found instead.
        looked: String,
    },
    /// A program that builds environments and failed, with the end of what it said.
    #[error("the attempt to {what} failed:\n{said}")]
    Prepare {
        /// The step, as a verb phrase.
        what: String,
        /// The last lines of its output.
        said: String,
    },
    /// A file operation that failed.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The path concerned.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
