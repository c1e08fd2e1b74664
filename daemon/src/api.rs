//! The control socket: a Unix stream on which each connection asks one thing.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use weft_manage::api::{Failure, Request, Response};
use weft_manage::config::Management;

use crate::router::Error;

/// A request, and where its answers go. The connection ends when the sender is dropped.
#[derive(Debug)]
pub(crate) struct Call {
    /// What is asked.
    pub(crate) request: Request,
    /// Where the answers go.
    pub(crate) answers: mpsc::Sender<Response>,
}

/// Requests that may wait for the router.
const CALLS: usize = 64;
/// A request line longer than this is refused.
const LONGEST_REQUEST: u64 = 64 * 1024;

/// Opens the socket, for its owner and group only, and starts taking requests.
pub(crate) fn listen(management: &Management) -> Result<mpsc::Receiver<Call>, Error> {
    let path = &management.socket;
    let listener = bind(path, management.group.as_deref())
        .map_err(|source| Error::Socket { path: path.clone(), source })?;
    let (calls, receiver) = mpsc::channel(CALLS);
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(serve(stream, calls.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot take a management connection");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(receiver)
}

fn bind(path: &Path, group: Option<&str>) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // What a crash left behind; a live router holds the state file, so this is not its socket.
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    let group = nix::unistd::Group::from_name(group.unwrap_or("weft"))?.map(|g| g.gid);
    if group.is_some() {
        nix::unistd::chown(path, None, group)?;
    }
    Ok(listener)
}

async fn serve(stream: UnixStream, calls: mpsc::Sender<Call>) {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(LONGEST_REQUEST));
    if reader.read_line(&mut line).await.is_err() {
        return;
    }
    let request = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(error) => {
            let error = format!("the router does not know this request: {error}");
            let help = Some("do the weft command and the running router have one version?".into());
            write(&mut writer, &Response::Failure(Failure { error, help, exit: 2 })).await;
            return;
        }
    };
    let (answers, mut responses) = mpsc::channel(64);
    if calls.send(Call { request, answers }).await.is_err() {
        return;
    }
    while let Some(response) = responses.recv().await {
        if !write(&mut writer, &response).await {
            return;
        }
    }
}

/// False when the client is gone.
async fn write(writer: &mut (impl AsyncWriteExt + Unpin), response: &Response) -> bool {
    let Ok(mut line) = serde_json::to_string(response) else { return false };
    line.push('\n');
    writer.write_all(line.as_bytes()).await.is_ok()
}
