//! Certificates of campaigns as a person uses them: up to 65537, from a folder and from a store, and what is refused.

use std::fs;
use std::path::Path;

use runproof::canon::{BlobRef, Sha256};
use runproof::certificate::{Envelope, PAYLOAD_TYPE, SecretKey, pae};
use serde_json::{Value, json};

use crate::certificate::base64;
use crate::env::TestEnv;
use crate::solve::{RIGHT, WRONG, place};

const PROFILE: &str = "name = \"small\"\ninstances = 1\nseeds = [42, 137]\nexecutions = 1\n";

/// Two seeds of the direct arm and the patch arm on one instance, one run certified and executed again, and a profile
/// that pins the data set.
fn campaign() -> TestEnv {
    let env = place(&[WRONG, RIGHT]);
    let solve = |arm: &str, seed: &str, name: &str| {
        let model = ["--model", "scripted:script.jsonl", "--quiet"];
        env.run(&[&["solve", "task", "--arm", arm, "--seed", seed, "--name", name], &model[..]].concat())
    };
    solve("direct-6", "42", "one").sound();
    solve("direct-6", "137", "two").sound();
    assert_eq!(solve("patch", "42", "three").code, 1);
    env.run(&["key", "new", "k"]).sound();
    fs::create_dir(env.work().join("certificates")).unwrap();
    env.run(&["certify", "one", "--key", "k", "-o", "certificates/one.dsse.json"]).sound();
    env.run(&["replay", "one", "--live", "1", "--model", "scripted:script.jsonl"]).sound();
    let set = |digest: &str| format!("{PROFILE}[data_set]\nname = \"one\"\ncount = 1\ndigest = \"{digest}\"\n");
    fs::write(env.work().join("p.toml"), set(&Sha256::of(b"").to_string())).unwrap();
    let output = env.run(&["check", "--runs", "all", "--profile", "p.toml", "--json"]);
    let found: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let criteria = found["rungs"][2]["criteria"].as_array().unwrap();
    let reason = criteria.iter().find(|one| one["name"] == "data-set-complete").unwrap()["reason"].as_str().unwrap();
    fs::write(env.work().join("p.toml"), set(reason.rsplit(' ').next().unwrap())).unwrap();
    env
}

const CERTIFY: [&str; 7] = ["certify", "--runs", "all", "--profile", "p.toml", "--key", "k"];

fn verified(env: &TestEnv, more: &[&str]) -> (i32, Value) {
    let output = env.run(&[&["verify", "c.json", "--key", "k.pub", "--json"], more].concat());
    (output.code, serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}")))
}

#[test]
fn a_campaign_is_certified_up_to_65537_and_verified_from_folder_and_store() {
    let env = campaign();
    let check = ["check", "--runs", "all", "--profile", "p.toml", "--rung", "65537"];
    assert_eq!(env.run(&check).code, 5);
    let whole = [&check[..], &["--certificates", "certificates", "--key", "k.pub"]].concat();
    assert_eq!(env.run(&whole).code, 0);
    let more = ["--certificates", "certificates", "-o", "c.json"];
    env.run(&[&CERTIFY[..], &more, &["--evidence", "evidence"]].concat()).sound();
    let first = fs::read(env.work().join("c.json")).unwrap();
    env.run(&[&CERTIFY[..], &more].concat()).sound();
    assert_eq!(fs::read(env.work().join("c.json")).unwrap(), first, "issued twice");
    let (code, found) = verified(&env, &["--evidence", "evidence"]);
    assert_eq!((code, found["level"].as_str()), (0, Some("replay")), "{found}");
    let rungs = found["statement"]["predicate"]["rungs"].as_array().unwrap();
    let results: Vec<_> = rungs.iter().map(|rung| (rung["rung"].as_u64().unwrap(), rung["result"].clone())).collect();
    assert_eq!(results, [641, 274_177, 65_537].map(|label| (label, json!("PASSED"))));
    let store = ["--evidence", ".runproof/transcripts.sqlite"];
    assert_eq!(verified(&env, &store).0, 5, "without the profile");
    assert_eq!(verified(&env, &[&store[..], &["--profile", "p.toml"]].concat()).0, 5, "without the certificates");
    let both = ["--profile", "p.toml", "--certificates", "certificates"];
    assert_eq!(verified(&env, &[&store[..], &both].concat()).0, 0);
    refused_evidence(&env);
    refused_statements(&env, &first);
}

/// One thing of the evidence is changed, then put back.
fn refused_evidence(env: &TestEnv) {
    let folder = env.work().join("evidence");
    let with = |path: &Path, change: &dyn Fn(&Path)| {
        let bytes = fs::read(path).unwrap();
        change(path);
        let found = verified(env, &["--evidence", "evidence"]);
        fs::write(path, bytes).unwrap();
        (found.0, found.1["reason"].as_str().unwrap_or_default().to_owned())
    };
    let one = |name: &str| fs::read_dir(folder.join(name)).unwrap().next().unwrap().unwrap().path();
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    assert_eq!(with(&one("manifests"), &flip), (1, "blob".into()));
    assert_eq!(with(&one("blobs"), &flip), (1, "blob".into()));
    assert_eq!(with(&one("manifests"), &remove), (5, "level".into()));
    assert_eq!(with(&one("blobs"), &remove), (5, "level".into()));
    let easier = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, text.replace("\"instances\":1", "\"instances\":2")).unwrap();
    };
    assert_eq!(with(&folder.join("profile.json"), &easier), (1, "manifest".into()));
    let void = |path: &Path| fs::write(path, "{}").unwrap();
    assert_eq!(with(&folder.join("certificates/one.dsse.json"), &void), (1, "rung".into()));
    // A link is not followed, even to the right file.
    let (own, other) = (folder.join("certificates/one.dsse.json"), env.work().join("certificates/one.dsse.json"));
    let link = |path: &Path| {
        fs::remove_file(path).unwrap();
        std::os::unix::fs::symlink(&other, path).unwrap();
    };
    link(&own);
    let found = verified(env, &["--evidence", "evidence"]);
    assert_eq!((found.0, found.1["reason"].as_str()), (1, Some("rung")));
    fs::remove_file(&own).unwrap();
    fs::copy(&other, &own).unwrap();
    assert_eq!(verified(env, &["--evidence", "evidence"]).0, 0);
}

/// The statement is changed and signed anew by the trusted key.
fn refused_statements(env: &TestEnv, certificate: &[u8]) {
    let key = SecretKey::from_pem(&fs::read_to_string(env.work().join("k")).unwrap(), None).unwrap();
    let payload = Envelope::from_bytes(certificate).unwrap().payload;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_slice(&payload).unwrap();
        change(&mut value);
        let bytes = serde_json_canonicalizer::to_vec(&value).unwrap();
        let signature = json!({"keyid": key.public().keyid(), "sig": base64(&key.sign(&pae(PAYLOAD_TYPE, &bytes)))});
        let envelope = json!({"payload": base64(&bytes), "payloadType": PAYLOAD_TYPE, "signatures": [signature]});
        fs::write(env.work().join("c.json"), envelope.to_string()).unwrap();
        let found = verified(env, &["--evidence", "evidence"]);
        (found.0, found.1["reason"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(with(&|_| {}), (0, String::new()));
    let rungs = |value: &mut Value| value["predicate"]["rungs"].as_array_mut().unwrap().clone();
    // A rung that came out is left out; one claims other figures; one is claimed above one that failed.
    assert_eq!(with(&|value| value["predicate"]["rungs"] = json!(rungs(value)[..2])), (1, "rung".into()));
    let figure = |value: &mut Value| value["predicate"]["rungs"][1]["figures"]["feedback-verified/retries"] = json!(9);
    assert_eq!(with(&figure), (1, "rung".into()));
    let failed = |value: &mut Value| value["predicate"]["rungs"][1]["result"] = json!("FAILED");
    assert_eq!(with(&failed), (1, "ladder".into()));
    // A run that did not come out well is left out, all digests made anew.
    let chosen = |value: &mut Value| {
        let predicate = &mut value["predicate"];
        predicate["runs"].as_array_mut().unwrap().retain(|run| run["arm"] != "patch");
        predicate["arms"].as_array_mut().unwrap().retain(|arm| arm["arm"] != "patch");
        let mut lines = Vec::new();
        for run in predicate["runs"].as_array().unwrap() {
            lines.extend(serde_json_canonicalizer::to_vec(run).unwrap());
            lines.push(b'\n');
        }
        for execution in predicate["executions"].as_array().unwrap() {
            lines.extend(serde_json_canonicalizer::to_vec(&json!({ "execution": execution })).unwrap());
            lines.push(b'\n');
        }
        let blob = BlobRef::of(&lines);
        let digest = json!({"blake3": blob.blake3.to_hex(), "sha256": blob.sha256.to_hex()});
        value["subject"][0]["digest"] = digest;
    };
    assert_eq!(with(&chosen), (1, "rung".into()));
    let arms = |value: &mut Value| value["predicate"]["arms"][0]["resolved"] = json!(0);
    assert_eq!(with(&arms), (3, "statement".into()));
    let outcome = |value: &mut Value| value["predicate"]["runs"][0]["attempts"] = json!(1);
    assert_eq!(with(&outcome), (1, "manifest".into()));
    let none = |value: &mut Value| {
        value["predicate"]["runs"] = json!([]);
        value["predicate"]["arms"] = json!([]);
    };
    assert_eq!(with(&none), (1, "empty".into()));
    assert_eq!(with(&|value| value["predicate"]["waived"] = json!(true)), (3, "statement".into()));
}

#[test]
fn a_policy_names_the_profiles_and_instances_of_campaigns() {
    let env = campaign();
    env.run(&[&CERTIFY[..], &["-o", "c.json"]].concat()).sound();
    let pem = fs::read_to_string(env.work().join("k.pub")).unwrap();
    let keyid = runproof::certificate::PublicKey::from_pem(&pem).unwrap().keyid();
    let (_, found) = verified(&env, &[]);
    let digest = found["statement"]["predicate"]["profile"]["digest"].as_str().unwrap().to_owned();
    let with = |more: Value| {
        let mut rule = json!({"predicateType": "urn:runproof:campaign-certificate:v1", "keys": [keyid], "threshold": 1,
            "requireLevel": "signature"});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let policy = json!({"schema": 1, "version": 1, "expires": "2099-12-31", "rules": [rule],
            "keys": [{"keyid": keyid, "pem": pem, "name": "k", "status": "active", "reason": ""}]});
        fs::write(env.work().join("policy.json"), policy.to_string()).unwrap();
        let output = env.run(&["verify", "c.json", "--policy", "policy.json", "--json"]);
        let found: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (output.code, found["reason"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(with(json!({})), (0, String::new()));
    assert_eq!(with(json!({ "profiles": [digest] })), (0, String::new()));
    assert_eq!(with(json!({"profiles": ["small"]})), (1, "rule".into()), "a name is the signer's own");
    assert_eq!(with(json!({"instances": ["django__*"]})), (1, "rule".into()));
    assert_eq!(with(json!({"requireRungs": [641, 274_177]})), (0, String::new()));
    assert_eq!(with(json!({"requireRungs": [65_537]})), (1, "rung-required".into()));
    assert_eq!(with(json!({"requireLevel": "evidence"})), (5, "level".into()));
}
