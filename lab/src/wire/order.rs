//! Orders to a running wire: one line, one answer, over its Unix socket. The orders are the words
//! after `link LINK` in a lab file, plus `hello`, which only asks whether the wire is there.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::action::{Action, LinkChange};

/// Neither side of the socket is ever busy for long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest order.
const LINE_LIMIT: u64 = 256;

/// Gives an order to the wire that listens at `socket`, and waits until it is carried out.
pub fn order(socket: &Path, order: &str) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{order}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match answer.trim_end() {
        "done" => Ok(()),
        "" => Err(io::Error::other("the wire has ended")),
        refused => Err(io::Error::other(refused.to_owned())),
    }
}

/// Reads one order, has it carried out, and answers.
pub(super) fn take(
    mut stream: UnixStream,
    obey: impl FnOnce(&LinkChange) -> Result<(), String>,
) -> io::Result<()> {
    use std::io::Read as _;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new((&stream).take(LINE_LIMIT)).read_line(&mut line)?;
    let result = match line.trim_end() {
        "hello" => Ok(()),
        order => match Action::parse(&format!("link wire {order}")) {
            Ok(Action::Link { change, .. }) => obey(&change),
            _ => Err(format!("`{order}` is not an order")),
        },
    };
    let answer = result.map_or_else(|refused| refused, |()| "done".to_owned());
    stream.write_all(format!("{answer}\n").as_bytes())
}
