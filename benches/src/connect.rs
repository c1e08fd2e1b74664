//! How long a TCP connection takes to be established.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::parse;

/// Longer than the kernel's first retransmissions of a SYN, so that a lost one shows as a slow
/// connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// `listen ADDRESS PORT`: accepts connections until the standard input ends.
pub(crate) fn listen(words: &[&str]) -> Result<Value, String> {
    let at = endpoint(words)?;
    let listener = TcpListener::bind(at).map_err(|error| format!("{at}: {error}"))?;
    let accepted = std::thread::spawn(move || listener.incoming().map(drop).count());
    let mut nothing = [0; 64];
    while std::io::stdin().read(&mut nothing).is_ok_and(|length| length > 0) {}
    Ok(json!({ "failed": accepted.is_finished() }))
}

/// `connect ADDRESS PORT`: one connection, and the milliseconds until it was there.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub(crate) fn connect(words: &[&str]) -> Result<Value, String> {
    let to = endpoint(words)?;
    let began = Instant::now();
    TcpStream::connect_timeout(&to, PATIENCE).map_err(|error| format!("{to}: {error}"))?;
    Ok(json!({ "connect_ms": began.elapsed().as_secs_f64() * 1e3 }))
}

fn endpoint(words: &[&str]) -> Result<SocketAddr, String> {
    let [address, port] = words else { return Err(crate::HELP.into()) };
    Ok(SocketAddr::new(parse(address)?, parse(port)?))
}
