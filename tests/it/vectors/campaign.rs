//! Cases about a campaign: what is special to several runs, their certificates and their thresholds.

use std::fs;

use runproof::canon::{BlobRef, Sha256};
use runproof::rung::Profile;
use serde_json::{Value, json};

use super::{Case, Maker, certs, policy, signed};
use crate::env::TestEnv;
use crate::solve::{RIGHT, WRONG, place};

const RUN: &str = "urn:runproof:run-certificate:v1";
const EVIDENCE: [&str; 2] = ["--require", "evidence"];

/// Records a campaign of one instance: two seeds of the direct arm, the patch arm, one run certified and executed
/// again. `ci` is the key that signs.
pub(super) fn record() -> TestEnv {
    let env = place(&[WRONG, RIGHT]);
    let model = ["--model", "scripted:script.jsonl", "--quiet"];
    for (arm, seed, name, code) in
        [("direct-6", "42", "one", 0), ("direct-6", "137", "two", 0), ("patch", "42", "three", 1)]
    {
        let args = [&["solve", "task", "--arm", arm, "--seed", seed, "--name", name], &model[..]].concat();
        assert_eq!(env.run(&args).code, code, "{name}");
    }
    super::secret(&env, "ci");
    fs::create_dir(env.work().join("certificates")).unwrap();
    env.run(&["certify", "one", "--key", "ci", "-o", "certificates/one.dsse.json"]).sound();
    fs::remove_file(env.work().join("certificates/one.intoto.jsonl")).unwrap();
    env.run(&["certify", "two", "--key", "ci", "-o", "two.json"]).sound();
    env.run(&["replay", "one", "--live", "1", "--model", "scripted:script.jsonl"]).sound();
    let small = "name = \"small\"\ninstances = 1\nseeds = [42, 137]\nexecutions = 1\n";
    let set = |digest: &str| format!("{small}[data_set]\nname = \"one\"\ncount = 1\ndigest = \"{digest}\"\n");
    fs::write(env.work().join("p.toml"), set(&Sha256::of(b"").to_string())).unwrap();
    let found = env.run(&["check", "--runs", "all", "--profile", "p.toml", "--json"]).stdout;
    // What the data set's digest comes to is what the criterion says.
    let found: Value = serde_json::from_str(&found).unwrap();
    let criteria = found["rungs"][2]["criteria"].as_array().unwrap();
    let reason = criteria.iter().find(|one| one["name"] == "data-set-complete").unwrap()["reason"].as_str().unwrap();
    let profile = set(reason.rsplit(' ').next().unwrap());
    fs::write(env.work().join("two.toml"), profile.replace("instances = 1", "instances = 2")).unwrap();
    fs::write(env.work().join("p.toml"), profile).unwrap();
    let certify = ["certify", "--runs", "all", "--certificates", "certificates", "--key", "ci"];
    let good = ["--profile", "p.toml", "-o", "certificate.json", "--evidence", "evidence"];
    env.run(&[&certify[..], &good].concat()).sound();
    env.run(&[&certify[..], &["--profile", "two.toml", "-o", "failed.json"]].concat()).sound();
    env
}

/// The profile that the campaign does not reach, as a file beside it.
pub(super) fn failed_profile(env: &TestEnv) -> Vec<u8> {
    Profile::from_text(&fs::read_to_string(env.work().join("two.toml")).unwrap()).unwrap().to_bytes().unwrap()
}

/// Writes the campaign's manifest and its subject anew after the runs or executions were changed.
fn remade(value: &mut Value) {
    let mut lines = Vec::new();
    let mut push = |line: &Value| {
        lines.extend(serde_json_canonicalizer::to_vec(line).unwrap());
        lines.push(b'\n');
    };
    let list = |name: &str| value["predicate"][name].as_array().unwrap().clone();
    list("runs").iter().for_each(&mut push);
    list("executions").iter().for_each(|execution| push(&json!({ "execution": execution })));
    value["subject"][0]["digest"] = digest(&lines);
}

fn digest(bytes: &[u8]) -> Value {
    let blob = BlobRef::of(bytes);
    json!({"blake3": blob.blake3.to_hex(), "sha256": blob.sha256.to_hex()})
}

/// The place of the run with that arm and seed in the list of runs.
fn run_of(value: &Value, arm: &str, seed: u64) -> usize {
    let runs = value["predicate"]["runs"].as_array().unwrap();
    runs.iter().position(|run| run["arm"] == arm && run["seed"] == seed).unwrap()
}

struct Campaign<'m> {
    maker: &'m mut Maker,
    good: Value,
    failed: Value,
}

impl Campaign<'_> {
    fn case(&mut self, name: &str, what: &str, payload: &Value, exit: i32, reason: &'static str) -> &mut Case {
        let payload = serde_json_canonicalizer::to_vec(payload).unwrap();
        let case = self.maker.add(name, what, signed(&payload, &["ci"]), exit, reason);
        (case.evidence, case.of) = (true, "campaign");
        case.args = EVIDENCE.to_vec();
        case
    }

    /// A validly signed statement with one thing changed.
    fn changed(&mut self, name: &str, what: &str, change: impl FnOnce(&mut Value), exit: i32, reason: &'static str) {
        let mut value = self.good.clone();
        change(&mut value);
        self.case(name, what, &value, exit, reason);
    }

    /// The good certificate with one thing of the evidence changed.
    fn beside(&mut self, name: &str, what: &str, changes: Value, exit: i32, reason: &'static str) -> &mut Case {
        let good = self.good.clone();
        let case = self.case(name, what, &good, exit, reason);
        case.changes = changes.as_array().unwrap().clone();
        case
    }

    fn under(&mut self, name: &str, what: &str, change: impl FnOnce(&mut Value), exit: i32, reason: &'static str) {
        let mut policy = policy();
        change(&mut policy["rules"][1]);
        let good = self.good.clone();
        let case = self.case(name, what, &good, exit, reason);
        (case.evidence, case.args, case.policy) = (false, Vec::new(), Some(policy));
    }
}

pub(super) fn cases(maker: &mut Maker) {
    let (good, failed) = (maker.campaign.clone(), maker.failed.clone());
    let [good, failed] = [good, failed].map(|payload| serde_json::from_slice(&payload).unwrap());
    let mut campaign = Campaign { maker, good, failed };
    whole(&mut campaign);
    runs(&mut campaign);
    rungs(&mut campaign);
    profiles(&mut campaign);
    evidence(&mut campaign);
    certificates(&mut campaign);
}

fn whole(campaign: &mut Campaign<'_>) {
    let good = campaign.good.clone();
    campaign.case("C00_untouched", "a campaign; nothing is wrong", &good, 0, "").args = Vec::new();
    let failed = campaign.failed.clone();
    campaign.case("C01_rung_failed", "a rung that failed and is certified as failed", &failed, 0, "").args =
        vec!["--profile", "../../campaign/failed.profile.json"];
    let what = "a campaign under the type of a run";
    campaign.changed("C02_type_of_a_run", what, |v| v["predicateType"] = json!(RUN), 3, "statement");
    let what = "a member that the schema does not have";
    campaign.changed("C03_unknown_member", what, |v| v["predicate"]["waived"] = json!(true), 3, "statement");
    let what = "a rung that the policy asks for and the campaign did not reach";
    campaign.under("C04_rung_required", what, |rule| rule["requireRungs"] = json!([65_537]), 0, "");
    let mut strict = policy();
    strict["rules"][1]["requireRungs"] = json!([641, 274_177]);
    let case = campaign.case("C04_rung_not_reached", what, &failed, 1, "rung-required");
    (case.evidence, case.args, case.policy) = (false, Vec::new(), Some(strict));
    let what = "a rule about other instances";
    campaign.under("C05_other_instance", what, |rule| rule["instances"] = json!(["django__*"]), 1, "rule");
    let what = "the key may certify runs only";
    campaign.under("C06_key_for_runs_only", what, |rule| rule["predicateType"] = json!(RUN), 1, "rule");
}

fn runs(campaign: &mut Campaign<'_>) {
    campaign.changed(
        "C10_no_run",
        "no run",
        |v| {
            let none = json!([]);
            (v["predicate"]["runs"], v["predicate"]["arms"], v["predicate"]["executions"]) =
                (none.clone(), none.clone(), none);
            remade(v);
        },
        1,
        "empty",
    );
    campaign.changed(
        "C11_run_left_out",
        "a run that did not come out well is left out, all digests made anew",
        |v| {
            v["predicate"]["runs"].as_array_mut().unwrap().retain(|run| run["arm"] != "patch");
            v["predicate"]["arms"].as_array_mut().unwrap().retain(|arm| arm["arm"] != "patch");
            remade(v);
        },
        1,
        "rung",
    );
    campaign.changed(
        "C12_instance_missing",
        "the only instance of the data set has another name",
        |v| {
            for run in v["predicate"]["runs"].as_array_mut().unwrap() {
                run["instance"] = json!("other");
            }
            remade(v);
        },
        1,
        "manifest",
    );
    campaign.changed(
        "C13_run_twice",
        "a run is there twice",
        |v| {
            let again = v["predicate"]["runs"][0].clone();
            v["predicate"]["runs"].as_array_mut().unwrap().insert(0, again);
            remade(v);
        },
        3,
        "statement",
    );
    campaign.changed(
        "C14_place_twice",
        "two runs of one instance with the same arm and seed",
        |v| {
            let mut again = v["predicate"]["runs"][0].clone();
            again["manifest"] = digest(b"another one");
            let list = v["predicate"]["runs"].as_array_mut().unwrap();
            list.push(again);
            list.sort_by_key(|run| {
                serde_json::to_string(&(&run["instance"], &run["arm"], run["seed"].as_u64(), &run["manifest"])).unwrap()
            });
            remade(v);
        },
        3,
        "statement",
    );
    let reverse = |v: &mut Value| {
        v["predicate"]["runs"].as_array_mut().unwrap().reverse();
        remade(v);
    };
    campaign.changed("C15_runs_unsorted", "the runs are out of order", reverse, 3, "statement");
    let attempts = |v: &mut Value| v["predicate"]["runs"][0]["attempts"] = json!(1);
    let what = "another number of attempts, the manifest as it was";
    campaign.changed("C16_attempts_changed", what, attempts, 1, "manifest");
    campaign.changed(
        "C17_result_changed",
        "the run that failed is said to be resolved, all digests made anew",
        |v| {
            let at = run_of(v, "patch", 42);
            v["predicate"]["runs"][at]["result"] = json!("resolved");
            for arm in v["predicate"]["arms"].as_array_mut().unwrap() {
                if arm["arm"] == "patch" {
                    arm["resolved"] = json!(1);
                }
            }
            remade(v);
        },
        1,
        "manifest",
    );
    let counted = |v: &mut Value| v["predicate"]["arms"][0]["resolved"] = json!(0);
    campaign.changed("C18_arm_miscounted", "an arm that does not follow from the runs", counted, 3, "statement");
    campaign.changed(
        "C19_execution_left_out",
        "a re-execution is left out, all digests made anew",
        |v| {
            v["predicate"]["executions"] = json!([]);
            remade(v);
        },
        1,
        "rung",
    );
    let better = |v: &mut Value| v["predicate"]["models"][0]["name"] = json!("scripted:better");
    campaign.changed("C20_model_changed", "another model than answered", better, 1, "fact");
    let other = |v: &mut Value| v["predicate"]["tests"] = json!(["oracle-tests"]);
    campaign.changed("C21_tests_changed", "other tests than drove the loops", other, 1, "fact");
    let tool = |v: &mut Value| v["predicate"]["tools"][0]["version"] = json!("9.9.9");
    campaign.changed("C22_tool_changed", "another tool than drove the runs", tool, 1, "fact");
}

fn rungs(campaign: &mut Campaign<'_>) {
    let figure = |v: &mut Value| v["predicate"]["rungs"][1]["figures"]["feedback-verified/retries"] = json!(9);
    campaign.changed("C30_figure_changed", "a figure of a rung", figure, 1, "rung");
    let left = |v: &mut Value| {
        let _ = v["predicate"]["rungs"].as_array_mut().unwrap().pop();
    };
    campaign.changed("C31_rung_left_out", "a rung that comes out and is left out", left, 1, "rung");
    let failed = |v: &mut Value| v["predicate"]["rungs"][1]["result"] = json!("FAILED");
    campaign.changed("C32_rung_above_failed", "a rung passed above one that failed", failed, 1, "ladder");
    let contradicted = |v: &mut Value| v["predicate"]["rungs"][2]["result"] = json!("FAILED");
    campaign.changed("C33_rung_contradicted", "a rung whose evidence says the opposite", contradicted, 1, "rung");
    let none = |v: &mut Value| v["predicate"]["rungs"][2]["evidence"] = json!([]);
    campaign.changed("C34_rung_without_evidence", "a rung that names no evidence", none, 3, "statement");
    // The certificate that was honest about it, with the claims of the one that reached everything.
    let mut claimed = campaign.failed.clone();
    claimed["predicate"]["rungs"] = campaign.good["predicate"]["rungs"].clone();
    let what = "a rung is claimed that was not reached";
    campaign.case("C35_rung_not_reached", what, &claimed, 1, "rung").args =
        [&["--profile", "../../campaign/failed.profile.json"], &EVIDENCE[..]].concat();
}

fn profiles(campaign: &mut Campaign<'_>) {
    campaign.changed(
        "C40_profile_unknown",
        "a profile that nobody has",
        |v| {
            v["subject"][1]["digest"] = digest(b"unknown");
            v["predicate"]["profile"]["digest"] = json!(Sha256::of(b"unknown").to_hex());
        },
        1,
        "manifest",
    );
    let what = "the digest of the profile is not that of the subject";
    let other = |v: &mut Value| v["predicate"]["profile"]["digest"] = json!("0".repeat(64));
    campaign.changed("C41_profile_digest", what, other, 1, "fact");
    let other = |v: &mut Value| v["predicate"]["profile"]["name"] = json!("strict");
    campaign.changed("C42_profile_renamed", "another name than the profile has", other, 1, "fact");
    let what = "the evidence lacks the profile";
    campaign.beside("C43_profile_missing", what, json!([{"remove": "profile.json"}]), 5, "level");
    let what = "the evidence has another profile";
    let easier = json!([{"put": ["../../campaign/failed.profile.json", "profile.json"]}]);
    campaign.beside("C44_profile_replaced", what, easier, 1, "manifest");
    let what = "the profile of the evidence is none";
    campaign.beside("C45_profile_malformed", what, json!([{"write": ["profile.json", "{}}"]}]), 1, "blob");
    let digest = campaign.good["predicate"]["profile"]["digest"].clone();
    let what = "the policy names the profile by its digest";
    campaign.under("C46_profile_by_digest", what, |rule| rule["profiles"] = json!([digest]), 0, "");
    let what = "the policy names a profile by its name, which is the signer's own";
    campaign.under("C46_profile_by_name", what, |rule| rule["profiles"] = json!(["small"]), 1, "rule");
    let what = "the policy wants another profile";
    campaign.under("C46_profile_not_wanted", what, |rule| rule["profiles"] = json!(["0".repeat(64)]), 1, "rule");
}

fn evidence(campaign: &mut Campaign<'_>) {
    let name = |value: &Value, arm: &str, seed: u64| {
        let run = &value["predicate"]["runs"][run_of(value, arm, seed)];
        format!("manifests/{}", run["manifest"]["sha256"].as_str().unwrap())
    };
    let (one, two) = (name(&campaign.good, "direct-6", 42), name(&campaign.good, "direct-6", 137));
    let execution = campaign.good["predicate"]["executions"][0]["sha256"].as_str().unwrap().to_owned();
    let blobs = super::names(&certs().join("campaign/evidence/blobs"));
    let blob = |at: usize| format!("blobs/{}", blobs[at]);
    let cases = [
        ("C50_member_missing", "the evidence of a run is missing", json!([{"remove": one}]), 5, "level"),
        ("C51_members_swapped", "the evidence of two runs is exchanged", json!([{"swap": [one, two]}]), 1, "blob"),
        (
            "C52_member_replaced",
            "the evidence of a run is another's",
            json!([{"put": [format!("evidence/{two}"), one]}]),
            1,
            "blob",
        ),
        ("C53_member_linked", "the evidence of a run is a link", json!([{"link": [one]}]), 1, "evidence"),
        (
            "C54_execution_missing",
            "the evidence of a re-execution is missing",
            json!([{"remove": format!("manifests/{execution}")}]),
            5,
            "level",
        ),
        ("C55_blob_missing", "a blob is missing", json!([{"remove": blob(0)}]), 5, "level"),
        ("C56_blobs_swapped", "two blobs are exchanged", json!([{"swap": [blob(0), blob(1)]}]), 1, "blob"),
    ];
    for (name, what, changes, exit, reason) in cases {
        campaign.beside(name, what, changes, exit, reason);
    }
    campaign.beside("C57_blob_more", "a blob that no run names", json!([{"write": ["blobs/more", "x"]}]), 0, "");
    let good = campaign.good.clone();
    campaign.case("C58_evidence_of_a_run", "the evidence is that of a run", &good, 5, "level").of = "demo";
}

fn certificates(campaign: &mut Campaign<'_>) {
    let own = "certificates/one.dsse.json";
    let bytes = fs::read(certs().join("campaign/evidence").join(own)).unwrap_or_default();
    let text = String::from_utf8(bytes).unwrap_or_default();
    let payload = serde_json::from_str::<Value>(&text).unwrap_or_default()["payload"].clone();
    let edited = text.replacen("\"sig\":\"", "\"sig\":\"AAAA", 1);
    let stranger = super::signed_again(payload.as_str().unwrap_or_default(), "stranger");
    let other = "../../campaign/two.json";
    let cases = [
        ("C60_certificate_missing", "the certificate of a run is missing", json!([{"remove": own}]), 1, "rung"),
        (
            "C60_certificates_missing",
            "there is no folder of certificates",
            json!([{"remove": "certificates"}]),
            5,
            "level",
        ),
        ("C61_certificate_void", "the certificate of a run is none", json!([{"write": [own, "{}"]}]), 1, "rung"),
        (
            "C62_certificate_edited",
            "the signature of a run's certificate is damaged",
            json!([{"write": [own, edited]}]),
            1,
            "rung",
        ),
        (
            "C63_certificate_untrusted",
            "a run's certificate is signed by a stranger",
            json!([{"write": [own, stranger]}]),
            1,
            "rung",
        ),
        (
            "C64_certificate_of_another",
            "a run's certificate is about another run",
            json!([{"put": [other, own]}]),
            1,
            "rung",
        ),
        ("C65_certificate_linked", "a run's certificate is a link", json!([{"link": [own]}]), 1, "rung"),
    ];
    for (name, what, changes, exit, reason) in cases {
        campaign.beside(name, what, changes, exit, reason);
    }
}
