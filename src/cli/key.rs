//! `key`: Ed25519 keys for certificates.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::certificate::{PublicKey, SecretKey};

use super::args::Global;
use super::keyfile::{ask_new, read_passphrase, read_public, read_secret, write_new};
use super::{Exit, Failure, FailureKind, Host, Ui};

/// Makes and shows Ed25519 keys.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes a key: FILE holds the private half (mode 600), FILE.pub the public one. Nothing is overwritten.
    New {
        /// Where the private key goes.
        file: PathBuf,
        /// Seals the private key under a passphrase, which is asked for.
        #[arg(long)]
        encrypt: bool,
        /// Takes the passphrase from the first line of a file.
        #[arg(long, value_name = "FILE", requires = "encrypt")]
        passphrase_file: Option<PathBuf>,
        /// Prints the public key's forms as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows a key's id, its public half as PEM, and its OpenSSH form.
    Show {
        /// A public or a private key.
        file: PathBuf,
        /// Opens an encrypted private key with the first line of a file.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Prints them as JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn key(args: &KeyArgs, _global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let (key, json) = match &args.verb {
        Verb::New { file, encrypt, passphrase_file, json } => {
            let mut public = file.clone().into_os_string();
            public.push(".pub");
            let public = PathBuf::from(public);
            for path in [file, &public] {
                if path.symlink_metadata().is_ok() {
                    let message = format!("{} is there already", path.display());
                    let hint = "keys are never overwritten; name another file";
                    return Err(Failure::new(FailureKind::Environment, message).hint(hint));
                }
            }
            let secret = SecretKey::from_seed(&Host::random()?);
            let text = match (encrypt, passphrase_file) {
                (false, _) => secret.to_pem(),
                (true, file) => {
                    let passphrase = file.as_deref().map_or_else(ask_new, read_passphrase)?;
                    let (salt, iv) = (Host::random()?, Host::random()?);
                    secret
                        .to_encrypted_pem(&passphrase, &salt, &iv)
                        .map_err(|error| Failure::new(FailureKind::Environment, error))?
                }
            };
            write_new(file, &text, 0o600)?;
            write_new(&public, &secret.public().to_pem(), 0o644)?;
            ui.say(format_args!("wrote {} and {}", file.display(), public.display()));
            (secret.public(), *json)
        }
        Verb::Show { file, passphrase_file, json } => {
            let public = match read_public(file) {
                Ok(key) => key,
                Err(failure) if failure.message.contains("PRIVATE KEY\"") => {
                    read_secret(file, passphrase_file.as_deref())?.public()
                }
                Err(failure) => return Err(failure),
            };
            (public, *json)
        }
    };
    show(&key, json, ui)?;
    Ok(Exit::Sound)
}

fn show(key: &PublicKey, json: bool, ui: &mut Ui) -> Result<(), Failure> {
    if json {
        return ui.json(&json!({"keyid": key.keyid(), "pem": key.to_pem(), "openssh": key.to_openssh()}));
    }
    ui.data(format_args!("keyid    {}", key.keyid()))?;
    ui.data(format_args!("openssh  {}", key.to_openssh()))?;
    ui.data(key.to_pem().trim_end())
}
