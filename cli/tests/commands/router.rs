//! The other side of the control socket, played by the test: what the command asks for, what it
//! makes of the answer, and how it ends.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use insta::assert_snapshot;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Ended, weft};

/// A router that answers one request.
struct Router {
    _folder: TempDir,
    socket: PathBuf,
    asked: JoinHandle<Value>,
}

impl Router {
    /// Answers with these lines whatever it is asked.
    fn answering(lines: Vec<Value>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("weft.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut request).unwrap();
            for line in lines {
                writeln!(stream, "{line}").unwrap();
            }
            serde_json::from_str(&request).unwrap()
        });
        Self { _folder: folder, socket, asked }
    }

    /// Runs a command against it: how that ended, and what was asked.
    fn meets(self, words: &[&str]) -> (Ended, Value) {
        let socket = self.socket.to_str().unwrap();
        let ended = weft(&[words, &["--socket", socket]].concat());
        // A command that asked nothing must not leave us waiting.
        let _ = UnixStream::connect(&self.socket);
        let asked = self.asked.join().unwrap_or_else(|_| panic!("it asked nothing: {}", ended.err));
        (ended, asked)
    }
}

fn answer(noun: &str, items: &Value, summary: &Value) -> Value {
    json!({
        "schema": format!("weft.{noun}/1"), "node": "site1", "time": "2026-01-01T00:00:00.000Z",
        "items": items, "summary": summary,
    })
}

#[test]
fn router_that_is_not_there_ends_with_4_and_what_to_do() {
    for words in [&["status"][..], &["map-cache"], &["config", "reload"], &["lig", "10.0.0.1"]] {
        let ended = weft(&[&["--socket", "/no/such/weft.sock"], words].concat());
        assert_eq!((ended.code, ended.out.as_str()), (4, ""), "{words:?}");
        assert_eq!(
            ended.err,
            "error: no router answers at /no/such/weft.sock\n\
             help: start one with `weft run`, or name its socket with --socket\n"
        );
    }
}

#[test]
fn router_that_says_nothing_ends_with_4() {
    let (ended, _) = Router::answering(Vec::new()).meets(&["rloc"]);
    assert_eq!(ended.code, 4);
    assert!(ended.err.starts_with("error: the router ended the conversation"), "{}", ended.err);
}

#[test]
fn router_of_another_world_is_our_mistake() {
    let (ended, _) = Router::answering(vec![json!("hello")]).meets(&["rloc"]);
    assert_eq!(ended.code, 70);
}

#[test]
fn command_ends_as_the_router_says() {
    for code in [1, 3, 5, 6] {
        let failure = json!({ "error": "no mapping", "help": "wait", "exit": code });
        let (ended, _) = Router::answering(vec![failure]).meets(&["lig", "10.0.0.1"]);
        assert_eq!(ended.code, code);
        assert_eq!(ended.err, "error: no mapping\nhelp: wait\n");
    }
}

#[test]
fn health_is_an_exit_code() {
    for (healthy, code) in [(true, 0), (false, 1)] {
        let status = answer("status", &json!([]), &json!({ "healthy": healthy }));
        let (ended, asked) = Router::answering(vec![status]).meets(&["status", "--check"]);
        assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (code, "", ""));
        assert_eq!(asked, json!({ "request": "status" }));
    }
}

#[test]
fn map_cache_is_a_table_for_people_and_the_answer_for_programs() {
    let items = json!([{
        "eid": "10.2.0.0/16", "instance": 0, "kind": "learned", "packets": 12_345,
        "expires-in": 3600.0,
        "locators": [
            { "rloc": "198.51.100.7", "priority": 1, "weight": 75 },
            { "rloc": "2001:db8::7", "priority": 1, "weight": 25 },
        ],
    }, {
        "eid": "0.0.0.0/0", "instance": 0, "kind": "negative", "packets": 3, "expires-in": 900.0,
        "action": "natively-forward", "locators": [],
    }]);
    let whole = answer("map-cache", &items, &json!({ "total": 2 }));
    let (ended, asked) = Router::answering(vec![whole.clone()]).meets(&["mc", "--limit", "10"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(asked["request"], "map-cache");
    assert_eq!(asked["limit"], 10);
    assert_snapshot!(ended.out, @r#"
EID-PREFIX   IID  KIND      LOCATOR           PRI/WGT  PACKETS  EXPIRES
10.2.0.0/16  0    learned   198.51.100.7      1/75      12.3 k    1h 0m
                            2001:db8::7       1/25
0.0.0.0/0    0    negative  natively-forward                 3   15m 0s
"#);

    let (ended, _) = Router::answering(vec![whole.clone()]).meets(&["show", "map-cache", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap(), whole);
}

#[test]
fn difference_ends_with_1_if_that_was_asked() {
    let change = json!([{ "text": "~ itr.idle-timeout   \"5m\" \u{2192} \"10m\"   live" }]);
    let changed = answer("config-diff", &change, &Value::Null);
    let (ended, asked) =
        Router::answering(vec![changed.clone()]).meets(&["config", "diff", "/etc/weft/new.toml"]);
    assert_eq!(ended.code, 0);
    assert_eq!(asked, json!({ "request": "config-diff", "file": "/etc/weft/new.toml" }));
    assert_snapshot!(ended.out, @r#"
~ itr.idle-timeout   "5m" → "10m"   live
1 change
"#);
    let (ended, _) = Router::answering(vec![changed]).meets(&["config", "diff", "--exit-code"]);
    assert_eq!(ended.code, 1);
    let same = answer("config-diff", &json!([]), &Value::Null);
    let (ended, _) = Router::answering(vec![same]).meets(&["config", "diff", "--exit-code"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "no difference\n"));
}

#[test]
fn events_are_a_line_each_and_end_with_the_router() {
    let events = vec![json!({ "type": "rloc-down" }), json!({ "type": "rloc-up" })];
    let (ended, asked) = Router::answering(events).meets(&["monitor", "--json", "--last", "5"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(asked["request"], "monitor");
    assert_eq!(asked["last"], 5);
    assert_eq!(ended.out.lines().count(), 2, "{}", ended.out);
}
