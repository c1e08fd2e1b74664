//! The other end of the router's control socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;
use weft_manage::api::{Answer, Request, Response};

use crate::exit::{BUG, DENIED, End, UNREACHABLE};

/// Asks one thing and waits for the answer.
pub(crate) fn ask(socket: &Path, request: &Request) -> Result<Answer, End> {
    let mut answers = Stream::open(socket, request)?;
    match answers.next()? {
        Some(Response::Answer(answer)) => Ok(answer),
        Some(Response::Item(_)) => Err(End::new(BUG, "the router sent a stream for an answer")),
        Some(Response::Failure(_)) | None => {
            Err(End::new(UNREACHABLE, "the router ended the conversation without an answer"))
        }
    }
}

/// Asks for a stream and hands each item to `each`, until it says stop or the router ends it.
pub(crate) fn follow(
    socket: &Path,
    request: &Request,
    mut each: impl FnMut(Value) -> bool,
) -> Result<(), End> {
    let mut answers = Stream::open(socket, request)?;
    while let Some(response) = answers.next()? {
        if let Response::Item(item) = response
            && !each(item)
        {
            break;
        }
    }
    Ok(())
}

struct Stream {
    lines: io::Lines<BufReader<UnixStream>>,
}

impl Stream {
    fn open(socket: &Path, request: &Request) -> Result<Self, End> {
        let unreachable = |error: io::Error| cannot_reach(socket, &error);
        let mut stream = UnixStream::connect(socket).map_err(unreachable)?;
        let line = serde_json::to_string(request).map_err(|e| End::new(BUG, e.to_string()))?;
        stream.write_all(line.as_bytes()).map_err(unreachable)?;
        stream.write_all(b"\n").map_err(unreachable)?;
        Ok(Self { lines: BufReader::new(stream).lines() })
    }

    /// The next line; a failure ends the command as the router says.
    fn next(&mut self) -> Result<Option<Response>, End> {
        let Some(line) = self.lines.next() else { return Ok(None) };
        let line = line.map_err(|error| End::new(UNREACHABLE, error.to_string()))?;
        let response = serde_json::from_str(&line).map_err(|error| {
            End::new(BUG, format!("the router's answer cannot be read: {error}"))
        })?;
        match response {
            Response::Failure(failure) => {
                Err(End::new(failure.exit, failure.error).maybe_help(failure.help))
            }
            other => Ok(Some(other)),
        }
    }
}

fn cannot_reach(socket: &Path, error: &io::Error) -> End {
    let at = socket.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            End::new(DENIED, format!("cannot reach the router at {at}: permission denied"))
                .help("join the group and log in again: sudo usermod -aG weft $USER")
        }
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            End::new(UNREACHABLE, format!("no router answers at {at}"))
                .help("start one with `weft run`, or name its socket with --socket")
        }
        _ => End::new(UNREACHABLE, format!("cannot reach the router at {at}: {error}")),
    }
}
