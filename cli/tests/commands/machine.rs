//! The machine under the router: what is found depends on it, how it is told does not.

use serde_json::Value;

use super::weft;

const SITE: &str = r#"
[locator-set.wan]
rlocs = [{ interface = "no-such-interface" }]
[itr]
map-resolvers = ["198.51.100.2"]
[etr]
locator-set = "wan"
[[etr.map-server]]
address = "198.51.100.2"
key = "secret"
[[etr.database-mapping]]
eid-prefix = "192.168.1.0/24"
"#;

#[test]
fn doctor_names_what_is_wrong_with_its_remedy_and_ends_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weft.toml");
    std::fs::write(&file, SITE).unwrap();
    let file = file.to_str().unwrap();
    let words = ["doctor", "--config", file, "--socket", "/no/such/weft.sock"];
    let ended = weft(&words);
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    let said = "FAIL  uplink         there is no interface `no-such-interface`";
    assert!(ended.out.contains(said), "{}", ended.out);

    let ended = weft(&[&words[..], &["--json"]].concat());
    assert_eq!(ended.code, 1);
    let answer: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(answer["schema"], "weft.doctor/1");
    let items = answer["items"].as_array().unwrap();
    let uplink = items.iter().find(|item| item["check"] == "uplink").unwrap();
    assert_eq!(uplink["state"], "FAIL");
    let failed = items.iter().filter(|item| item["state"] == "FAIL").count();
    assert_eq!(answer["summary"]["problems"], failed);
    assert!(items.iter().all(|item| item["state"] == "ok" || item["fix"].is_string()), "{items:?}");
}

#[test]
fn doctor_refuses_a_configuration_with_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weft.toml");
    std::fs::write(&file, "[dataplane]\ndriver = \"dpdk\"\n").unwrap();
    let ended = weft(&["doctor", "--config", file.to_str().unwrap()]);
    assert_eq!(ended.code, 3);
    assert!(ended.err.contains("one of: auto, ebpf, tun, none"), "{}", ended.err);
}
