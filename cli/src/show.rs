//! Nouns that show what the router knows: a table for people, the answer itself for programs.

mod events;
mod lisp;
mod map_server;
mod numbers;
mod status;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use serde_json::Value;
use weft_manage::api::{Answer, Request};

use crate::arguments::{Global, MapCacheVerb, MapServerVerb, Noun, RegistrationVerb, RlocVerb};
use crate::client;
use crate::exit::{BUG, End, NO, Outcome};

/// Turns an answer into text for people.
type Render = fn(&Answer) -> String;

/// Shows a noun, once or again and again.
pub(crate) fn show(noun: Noun, global: &Global) -> Outcome {
    match noun {
        Noun::Monitor(monitor) => events::monitor(&monitor, global),
        Noun::Lig(lig) => lisp::lig(&lig, global),
        Noun::Status { check } => status::status(check, global),
        Noun::Counters { nonzero, delta } => numbers::counters(nonzero, delta, global),
        other => {
            let (request, render) = plain(other)?;
            repeat(global, || print(global, &client::ask(&global.socket, &request)?, render))
        }
    }
}

fn plain(noun: Noun) -> Result<(Request, Render), End> {
    Ok(match noun {
        Noun::MapCache { verb: Some(MapCacheVerb::Flush { eid, instance }), .. } => {
            (Request::MapCacheFlush { eid, instance: instance.id }, lisp::flushed)
        }
        Noun::MapCache { verb: None, eid: Some(eid), instance, limit } => (
            Request::MapCache { eid: Some(eid), instance: instance.id, limit },
            lisp::map_cache_detail,
        ),
        Noun::MapCache { verb: None, eid: None, instance, limit } => {
            (Request::MapCache { eid: None, instance: instance.id, limit }, lisp::map_cache)
        }
        Noun::Database => (Request::Database, lisp::database),
        Noun::Registration { verb: None } => (Request::Registration, lisp::registration),
        Noun::Registration { verb: Some(RegistrationVerb::Now) } => {
            (Request::RegistrationNow, |_| "registering\n".into())
        }
        Noun::Rloc { verb: None } => (Request::Rloc, lisp::rloc),
        Noun::Rloc { verb: Some(RlocVerb::Probe { rloc }) } => {
            (Request::RlocProbe { rloc: rloc.to_string() }, |_| "probing\n".into())
        }
        Noun::MapServer(MapServerVerb::Site { name }) => (Request::Site { name }, map_server::site),
        Noun::MapServer(MapServerVerb::Registration { eid, instance, limit }) => (
            Request::SiteRegistration { eid, instance: instance.id, limit },
            map_server::registration,
        ),
        Noun::MapServer(MapServerVerb::Refused) => (Request::SiteRefused, map_server::refused),
        Noun::MapResolver => (Request::MapResolver, map_server::map_resolver),
        Noun::Interface => (Request::Interface, numbers::interface),
        _ => return Err(End::new(BUG, "this command shows nothing")),
    })
}

/// Prints an answer, for programs or for people.
pub(crate) fn print(global: &Global, answer: &Answer, render: Render) -> Outcome {
    let text = if global.json { json_line(answer)? } else { render(answer) };
    out(&text)
}

/// An answer as one line of JSON.
pub(crate) fn json_line(answer: &Answer) -> Result<String, End> {
    let text = serde_json::to_string(answer).map_err(|e| End::new(BUG, e.to_string()))?;
    Ok(format!("{text}\n"))
}

/// Writes to standard output; a reader that has seen enough ends the command quietly.
pub(crate) fn out(text: &str) -> Outcome {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|_| End::silent(NO))
}

/// Does it once, or every few seconds with `--watch`, clearing the terminal between.
pub(crate) fn repeat(global: &Global, mut once: impl FnMut() -> Outcome) -> Outcome {
    let Some(seconds) = global.watch else { return once() };
    let pause = Duration::try_from_secs_f64(seconds.max(0.1))
        .map_err(|error| End::new(crate::exit::USAGE, format!("--watch {seconds}: {error}")))?;
    loop {
        if std::io::stdout().is_terminal() && !global.json {
            out("\x1b[2J\x1b[H")?;
        }
        once()?;
        std::thread::sleep(pause);
    }
}

/// Text of a field; a number as it is written; empty without.
pub(crate) fn text(item: &Value, key: &str) -> String {
    match item.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// A number of a field.
pub(crate) fn number(item: &Value, key: &str) -> Option<f64> {
    item.get(key).and_then(Value::as_f64)
}

/// A whole number of a field.
pub(crate) fn whole(item: &Value, key: &str) -> u64 {
    item.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// True or false of a field.
pub(crate) fn flag(item: &Value, key: &str) -> bool {
    item.get(key).and_then(Value::as_bool).unwrap_or_default()
}

/// The items of a field that is a list.
pub(crate) fn list<'a>(item: &'a Value, key: &str) -> &'a [Value] {
    item.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
