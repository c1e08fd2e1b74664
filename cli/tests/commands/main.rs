//! The command as people and scripts meet it: what it prints and how it ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod configuration;
mod decoding;
mod documents;
mod machine;
mod manual;
mod router;

use std::io::Write;
use std::process::{Command, Stdio};

/// How a command ended, and all it said.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

/// Runs `weft`, away from the machine's own router and from where its operator is.
fn weft(words: &[&str]) -> Ended {
    weft_reading("", words)
}

/// The same, with something on its standard input.
fn weft_reading(input: &str, words: &[&str]) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_weft"))
        .args(words)
        .env_remove("WEFT_SOCKET")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary is built with the test");
    let mut stdin = child.stdin.take().expect("it is piped");
    // Who reads nothing may be gone already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it was started");
    let text = |octets| String::from_utf8(octets).expect("it prints UTF-8");
    Ended {
        code: output.status.code().expect("no signal ends it"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}
