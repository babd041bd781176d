//! The same statement in forms that other tools know, and a verification's result as a SLSA summary.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::dsse::{Envelope, PAYLOAD_TYPE};
use super::predicate::RungResult;
use super::reason::{Decision, Problem, Reason};
use super::statement::Statement;
use super::verify::Report;
use crate::canon::json as canonical;

/// Type of the standard in-toto predicate about test results.
const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";
const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Returns the statement with the standard test-result predicate: it passed if every certified rung did.
pub fn test_result(statement: &Statement) -> Vec<u8> {
    let rungs = statement.rungs();
    let passed = !rungs.is_empty() && rungs.iter().all(|claim| claim.result == RungResult::Passed);
    let named = |wanted: RungResult| {
        let chosen = rungs.iter().filter(|claim| claim.result == wanted);
        chosen.map(|claim| format!("rung-{}", claim.rung)).collect::<Vec<_>>()
    };
    let files: Vec<Value> = rungs
        .iter()
        .flat_map(|claim| &claim.evidence)
        .map(|file| json!({"name": file.name, "digest": file.digest}))
        .collect();
    let value = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": statement.subject,
        "predicateType": TEST_RESULT,
        "predicate": {
            "result": if passed { "PASSED" } else { "FAILED" },
            "configuration": files,
            "passedTests": named(RungResult::Passed),
            "failedTests": named(RungResult::Failed),
        },
    });
    canonical::to_bytes(&value).expect("strings and digests")
}

/// Returns a Sigstore bundle v0.3 with the key's hint and no log entry.
///
/// # Errors
/// An envelope with more than one signature: a bundle holds exactly one.
pub fn sigstore_bundle(envelope: &Envelope) -> Result<Vec<u8>, Problem> {
    let [entry] = envelope.signatures.as_slice() else {
        let message =
            format!("a Sigstore bundle holds exactly one signature, the certificate has {}", envelope.signatures.len());
        return Err(Problem::new(Reason::Envelope, message));
    };
    let value = json!({
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": entry.hint.as_deref().unwrap_or_default()}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": STANDARD.encode(&envelope.payload), "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": STANDARD.encode(&entry.signature)}],
        },
    });
    let mut bytes = canonical::to_bytes(&value).expect("strings only");
    bytes.push(b'\n');
    Ok(bytes)
}

/// Returns a SLSA verification summary of a report, unsigned; `policy` is the policy's SHA-256, `day` the day.
pub fn verification_summary(report: &Report, policy: Option<crate::canon::Sha256>, day: &super::Date) -> Value {
    let subject = report.statement.as_ref().map(|statement| json!(statement.subject)).unwrap_or_else(|| json!([]));
    let policy = policy.map_or_else(|| json!({}), |digest| json!({"digest": {"sha256": digest.to_hex()}}));
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": SUMMARY,
        "predicate": {
            "verifier": {"id": "urn:runproof:verifier", "version": {"runproof": env!("CARGO_PKG_VERSION")}},
            "timeVerified": format!("{day}T00:00:00Z"),
            "resourceUri": "urn:runproof:transcript",
            "policy": policy,
            "inputAttestations": report.payload.map(|digest| json!([{"digest": {"sha256": digest.to_hex()}}])).unwrap_or_else(|| json!([])),
            "verificationResult": if report.decision == Decision::Accepted { "PASSED" } else { "FAILED" },
            "verifiedLevels": [format!("RUNPROOF_LEVEL_{}", report.level.word().to_uppercase())],
        },
    })
}
