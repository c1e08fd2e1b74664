//! The control socket: a Unix stream on which each connection asks one thing.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

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

/// The socket in the file system. Dropping it removes what was made, and nothing that others put
/// in its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// File system and number of the file.
    made: (u64, u64),
}

/// Requests that may wait for the router.
const CALLS: usize = 64;
/// A request line longer than this is refused.
const LONGEST_REQUEST: u64 = 64 * 1024;
/// Who asks nothing for so long is not served.
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// Opens the socket, for its owner and group only, and starts taking requests.
pub(crate) fn listen(management: &Management) -> Result<(mpsc::Receiver<Call>, SocketFile), Error> {
    let path = &management.socket;
    let (listener, file) = bind(path, management.group.as_deref())
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
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok((receiver, file))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|there| there == self.made) {
            // It is only a name without a listener that stays where this fails.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// File system and number of a file.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

fn bind(path: &Path, group: Option<&str>) -> io::Result<(UnixListener, SocketFile)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another router answers there; give each its own",
            ));
        }
        // What a crash left behind.
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    let file = SocketFile { path: path.to_owned(), made: identity(path)? };
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    let group = nix::unistd::Group::from_name(group.unwrap_or("weft"))?.map(|g| g.gid);
    if group.is_some() {
        nix::unistd::chown(path, None, group)?;
    }
    Ok((listener, file))
}

async fn serve(stream: UnixStream, calls: mpsc::Sender<Call>) {
    let (reader, mut writer) = stream.into_split();
    let mut line = Vec::new();
    let mut reader = BufReader::new(reader.take(LONGEST_REQUEST));
    let asked = reader.read_until(b'\n', &mut line);
    let Ok(Ok(_)) = tokio::time::timeout(REQUEST_TIME, asked).await else { return };
    let request: Request = match serde_json::from_slice(&line) {
        Ok(request) => request,
        Err(error) => {
            let error = format!("the router does not know this request: {error}");
            let help = Some("do the weft command and the running router have one version?".into());
            write(&mut writer, &Response::Failure(Failure { error, help, exit: 2 })).await;
            return;
        }
    };
    let endless = matches!(request, Request::Monitor { past_only: false, .. });
    let mut reader = reader.into_inner().into_inner();
    let (answers, mut responses) = mpsc::channel(64);
    if calls.send(Call { request, answers }).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            response = responses.recv() => match response {
                Some(response) if write(&mut writer, &response).await => {}
                _ => return,
            },
            () = gone(&mut reader), if endless => return,
        }
    }
}

/// Returns when the client closes its end: nobody else tells while there is nothing to write.
async fn gone(reader: &mut (impl AsyncReadExt + Unpin)) {
    let mut ignored = [0; 256];
    while reader.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
}

/// False when the client is gone.
async fn write(writer: &mut (impl AsyncWriteExt + Unpin), response: &Response) -> bool {
    let Ok(mut line) = serde_json::to_string(response) else { return false };
    line.push('\n');
    writer.write_all(line.as_bytes()).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener as Listener;

    #[tokio::test]
    async fn socket_a_crash_left_is_replaced_and_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weft.sock");
        drop(Listener::bind(&path).unwrap());
        let (listener, file) = bind(&path, None).unwrap();
        drop(listener);
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn socket_of_a_running_router_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weft.sock");
        let (_listener, _file) = bind(&path, None).unwrap();
        let error = bind(&path, None).unwrap_err();
        assert!(error.to_string().contains("another router answers there"), "{error}");
        assert!(path.exists());
    }

    #[tokio::test]
    async fn socket_others_put_in_its_place_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weft.sock");
        let (_listener, file) = bind(&path, None).unwrap();
        let other = folder.path().join("other");
        let _other = Listener::bind(&other).unwrap();
        fs::rename(&other, &path).unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn client_that_left_a_quiet_stream_is_noticed() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (calls, mut called) = mpsc::channel(1);
        let served = tokio::spawn(serve(ours, calls));
        let mut theirs = theirs;
        theirs.write_all(b"{\"request\":\"monitor\"}\n").await.unwrap();
        let call = called.recv().await.unwrap();
        drop(theirs);
        call.answers.closed().await;
        served.await.unwrap();
    }
}
